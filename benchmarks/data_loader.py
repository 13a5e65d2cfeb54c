"""How many batches come from memory for each that the default prior trains on, on the same cores.

    python benchmarks/data_loader.py --json out.json
    python benchmarks/data_loader.py --people 64 --history 128 --targets 32 --dim 1280

A training step is forward, backward and AdamW of the prior with its default arguments, on batches made beforehand.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from side_by_side import arguments, interleaved, loss_of, report, training

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.histories.draws import DrawRule
from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.prior import Prior
from prefprior.ratings import RatingScale, RatingsTable

GOAL = 10.0


class SyntheticSource:
    """Random ratings of random vectors, as many for each user as a history and its targets need, and half again."""

    name = "synthetic"

    def __init__(self, users: int, each: int, items: int, dim: int) -> None:
        random = np.random.default_rng(0)
        self.vectors = random.standard_normal((items, dim), dtype=np.float32).astype(np.float16)
        self.table = RatingsTable(
            source=self.name,
            scale=RatingScale(1, 5, 4),
            users=np.array([f"u{u}" for u in range(users)], dtype=object),
            items=np.array([f"i{i}" for i in range(items)], dtype=object),
            user_N=np.repeat(np.arange(users), each).astype(np.int32),
            item_N=(np.repeat(random.integers(items, size=users), each) + np.tile(np.arange(each), users)).astype(
                np.int32
            )
            % items,
            rating_N=random.integers(1, 6, users * each).astype(np.float32),
        )

    def ratings(self) -> RatingsTable:
        """The ratings."""
        return self.table

    def pictures(self) -> None:
        """None."""

    def embeddings(self) -> EmbeddingTable:
        """The vectors."""
        return EmbeddingTable.of("synthetic", [str(i) for i in self.table.items], self.vectors)


def trainer(prior: Prior, batch: PreferenceBatch) -> Callable[[], None]:
    """One training step as the default experiment takes it."""
    module = training(prior, Denoising(schedule=LinearSchedule(), prediction="velocity", times="logit_normal"))
    optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-5)

    def step() -> None:
        optimizer.zero_grad()
        loss_of(module, batch, torch.Generator().manual_seed(0)).backward()
        optimizer.step()

    return step


def taking(loader: Iterator[PreferenceBatch], count: int) -> Callable[[], None]:
    """Takes some batches of an endless iterator."""

    def take() -> None:
        for _ in range(count):
            next(loader)

    return take


def main() -> None:
    """Times the loader and the step in turns."""
    parser = arguments(__doc__, people=256, history=32, dim=64)
    parser.add_argument("--targets", type=int, default=8)
    parser.add_argument("--users", type=int, default=4000)
    parser.add_argument("--items", type=int, default=6000)
    args = parser.parse_args()
    each = (args.history + args.targets) * 3 // 2
    data = PreferenceDataModule(
        source=SyntheticSource(args.users, each, args.items, args.dim),
        batch_size=args.people,
        draws=DrawRule(history_cap=args.history, targets_per_user=args.targets),
        epoch_batches=10**9,
    )
    data.setup()
    batches = iter(data.train_dataloader())
    batch = next(batches)
    seconds = interleaved({"loader": taking(batches, 10), "step": trainer(Prior(space=data.space), batch)}, args.rounds)
    seconds["loader"] /= 10
    report(
        args,
        {
            "batches_per_second": 1 / seconds["loader"],
            "steps_per_second": 1 / seconds["step"],
            "batches_per_step": seconds["step"] / seconds["loader"],
            "goal": GOAL,
        },
    )


if __name__ == "__main__":
    main()
