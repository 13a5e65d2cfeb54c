"""How much of the time of drawing people's embeddings is spent inside the prior's own network.

    python benchmarks/gallery_drawing.py --people 1000 --json out.json

Per person: candidates are sampled, compared with the history, ranked, chosen, and ranked beside a thousand real
pictures, as `python sample.py` does before it decodes. Inside the network is what the prior's own calls take: encoding,
conditions, predictions and scores. Samplers, guidance and choosing are the rest.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from side_by_side import arguments, fake_history, fake_space, report

from prefprior.gallery.candidates import Drawer, Recipe
from prefprior.gallery.sampler import PriorSampler
from prefprior.gallery.users import Person
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.prior import Prior
from prefprior.models.retriever.two_tower import TwoTower
from prefprior.predictor import Catalogue

CALLS = ("encode_history", "condition", "predict")
SCORE_CALLS = ("score",)


class Stopwatch:
    """Seconds spent in some methods of an object, calls within calls once."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    def watch(self, thing: Any, methods: tuple[str, ...]) -> None:
        """Times these methods from now on."""
        for name in methods:
            object.__setattr__(thing, name, self._timed(getattr(thing, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            start = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.seconds += time.perf_counter() - start

        return timed


def main() -> None:
    """Draws for everybody and prints the share."""
    parser = arguments(__doc__, people=200, history=16, dim=64)
    parser.add_argument("--n", type=int, default=8)
    parser.add_argument("--catalogue", type=int, default=6000)
    args = parser.parse_args()
    space = fake_space(args.dim)
    torch.manual_seed(0)
    prior = Prior(space=space)
    retriever = TwoTower(space=space, scale=prior.scale, token_width=prior.width)
    model, objective = PreferenceModel(prior=prior, retriever=retriever), Denoising(schedule=LinearSchedule())
    predictor = TrainedPredictor(model=model, objective=objective, sampler=Sampler())
    sampler = PriorSampler(predictor)
    real = torch.randn(args.catalogue, args.dim, generator=torch.Generator().manual_seed(0))
    drawer = Drawer(
        space=space, sample=sampler, rank=sampler.rank, recipe=Recipe(n=args.n),
        catalogue=Catalogue(space, [str(i) for i in range(len(real))], real),
    )  # fmt: skip
    history = fake_history(args.people, args.history, args.dim)
    people = [
        Person(name, "test", history.take([row]), [""] * args.history, [0.0] * args.history, None)
        for row, name in enumerate(history.users)
    ]
    drawer.draw(people[0])  # what the first call sets up is not of interest
    watch = Stopwatch()
    watch.watch(prior, CALLS)
    watch.watch(retriever, SCORE_CALLS)
    start = time.perf_counter()
    for person in people:
        drawer.draw(person)
    whole = time.perf_counter() - start
    report(
        args,
        {
            "seconds": whole,
            "milliseconds_a_person": 1000 * whole / args.people,
            "share_inside_the_network": watch.seconds / whole,
        },
    )


if __name__ == "__main__":
    main()
