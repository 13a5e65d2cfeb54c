"""What Lightning adds to a step: the whole fit, loader included, beside a bare loop over the same tensors.

python benchmarks/lightning_overhead.py --json out.json
"""

import logging
import tempfile
import time
import warnings
from functools import partial
from typing import Any

import lightning
import torch
from side_by_side import arguments, fake_batch, fake_space, interleaved, loss_of, report
from torch.utils.data import DataLoader, Dataset

from prefprior.callbacks.nan_guard import NanGuard
from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.module import PreferenceModule
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.prior import Prior
from prefprior.models.retriever.two_tower import TwoTower


class Batches(Dataset[PreferenceBatch]):
    """Batches that are there already."""

    def __init__(self, batches: list[PreferenceBatch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> PreferenceBatch:
        return self.batches[index]


class Clock(lightning.Callback):
    """Time from the first step's start to the last one's end: what is set up once is no part of a step."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Starts."""
        self.start = time.perf_counter()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stops."""
        self.seconds = time.perf_counter() - self.start


def main() -> None:
    """Times both and prints the ratio."""
    parser = arguments(__doc__, people=256, history=32, dim=64)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--targets", type=int, default=8)
    parser.set_defaults(width=128, depth=3)
    args = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    space = fake_space(args.dim)
    batches = [fake_batch(args.people, args.history, args.targets, args.dim)] * args.steps
    objective = Denoising(schedule=LinearSchedule(), prediction="velocity")
    optimizer = partial(torch.optim.AdamW, lr=1e-4)
    clocks: dict[str, list[float]] = {"bare": [], "lightning": []}

    def make() -> PreferenceModule:
        torch.manual_seed(0)
        prior = Prior(space=space, width=args.width, depth=args.depth, heads=max(1, args.width // 32))
        retriever = TwoTower(space=space, scale=prior.scale, token_width=prior.width)
        model = PreferenceModel(prior=prior, retriever=retriever)
        return PreferenceModule(model=model, objective=objective, optimizer=optimizer)

    def bare() -> None:
        module = make()
        made = optimizer(module.parameters())
        start = time.perf_counter()
        for step, batch in enumerate(batches):
            made.zero_grad()
            loss_of(module, batch, torch.Generator().manual_seed(step)).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            made.step()
        clocks["bare"].append(time.perf_counter() - start)

    def whole() -> None:
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            trainer = lightning.Trainer(
                accelerator="cpu", max_epochs=1, gradient_clip_val=1.0, logger=False, enable_checkpointing=False,
                enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
                callbacks=[clock, NanGuard()],
            )  # fmt: skip
            trainer.fit(make(), DataLoader(Batches(batches), batch_size=None))
        clocks["lightning"].append(clock.seconds)

    interleaved({"bare": bare, "lightning": whole}, args.rounds)
    median = {name: float(torch.tensor(seconds[1:]).median()) for name, seconds in clocks.items()}
    report(
        args,
        {f"{name}_ms_per_step": 1000 * value / args.steps for name, value in median.items()}
        | {"ratio": median["lightning"] / median["bare"]},
    )


if __name__ == "__main__":
    main()
