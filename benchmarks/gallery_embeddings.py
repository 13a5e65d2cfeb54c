"""How much of the time of making users' embeddings is spent inside the networks.

    python benchmarks/gallery_embeddings.py --people 1000 --json out.json

Per user: candidates are sampled, compared with the history, scored, chosen, and scored beside a thousand real pictures,
as `python sample.py` does before it decodes. Inside the networks is what the calls of prior and retriever take:
encoding, conditions, predictions and scores. Solver, guidance and selection are the rest.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from side_by_side import arguments, fake_history, fake_space, report

from prefprior.gallery.embeddings import PersonalEmbeddings
from prefprior.gallery.settings import GallerySettings
from prefprior.gallery.users import GalleryUser
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
    """Embeddings for everybody, and the share of time."""
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
    real = torch.randn(args.catalogue, args.dim, generator=torch.Generator().manual_seed(0))
    settings = GallerySettings(
        checkpoint="", checkpoint_sha256=None, space=space.name, space_fingerprint="", decoder="",
        sampler=predictor.sampler, n=args.n,
    )  # fmt: skip
    catalogue = Catalogue(space, [str(i) for i in range(len(real))], real)
    embeddings = PersonalEmbeddings(predictor=predictor, settings=settings, catalogue=catalogue)
    history = fake_history(args.people, args.history, args.dim)
    users = [
        GalleryUser(name, "test", history.take([row]), [""] * args.history, [0.0] * args.history, None)
        for row, name in enumerate(history.users)
    ]
    embeddings.of(users[0])  # what the first call sets up is not of interest
    watch = Stopwatch()
    watch.watch(prior, CALLS)
    watch.watch(retriever, SCORE_CALLS)
    start = time.perf_counter()
    for user in users:
        embeddings.of(user)
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
