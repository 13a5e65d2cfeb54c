"""What a minute of training is worth: validation loss of the light prior beside the in-context one, on the world.

    python benchmarks/quality_in_time.py --seconds 60 --json out.json

Same trunk, same objective, same users in a batch. The light prior learns several targets from one encoded history; the
in-context prior, for which each target is a sequence of its own, is given one, and as many in a second line. How many
steps fit into the time is measured first, in turns; each then trains for its number of steps, its learning rate falling
over just these, and is measured on the same noisy targets of users it has never seen.
"""

import math
from collections.abc import Iterator

import torch
from side_by_side import arguments, interleaved, loss_of, report, training

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.histories.draws import DrawRule
from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.denoiser import DenoiserSize
from prefprior.models.prior.in_context import InContextPrior
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.prior.prior import Prior
from prefprior.world.source import WorldSource


class Contender:
    """A prior in training on its own stream of batches."""

    def __init__(self, prior: PriorNetwork, data: PreferenceDataModule, rate: float) -> None:
        self.prior, self.data, self.rate = prior, data, rate
        objective = Denoising(schedule=LinearSchedule(), prediction="velocity", times="logit_normal", noise_samples=2)
        self.module = training(prior, objective)
        self.optimizer = torch.optim.AdamW(prior.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
        self.batches = self._endless()
        self.taken = 0

    def step(self) -> None:
        """One training step."""
        self.optimizer.zero_grad()
        generator = torch.Generator().manual_seed(self.taken)
        loss_of(self.module, next(self.batches), generator).backward()
        torch.nn.utils.clip_grad_norm_(self.prior.parameters(), 1.0)
        self.optimizer.step()
        self.taken += 1

    def train(self, steps: int) -> None:
        """So many steps, from a warm-up to nothing."""
        for step in range(steps):
            warm = min(1.0, (step + 1) / (0.05 * steps))
            self.optimizer.param_groups[0]["lr"] = self.rate * warm * (1 + math.cos(math.pi * step / steps)) / 2
            self.step()

    @torch.no_grad()
    def loss(self, batches: list[PreferenceBatch]) -> float:
        """Mean denoising loss of validation users, with the same noise for all contenders."""
        self.prior.eval()
        generator = torch.Generator().manual_seed(0)
        losses = [loss_of(self.module, batch, generator) for batch in batches]
        self.prior.train()
        return float(torch.stack(losses).mean())

    def _endless(self) -> Iterator[PreferenceBatch]:
        loader = self.data.train_dataloader()
        while True:
            yield from loader


def main() -> None:
    """Trains all for the same time and prints their losses."""
    parser = arguments(__doc__, people=64, history=20, dim=64)
    parser.add_argument("--seconds", type=float, default=60, help="of training for each contender")
    parser.add_argument("--targets", type=int, default=6)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.set_defaults(width=128, depth=3, rounds=8)
    args = parser.parse_args()
    source = WorldSource()

    def data(targets: int) -> PreferenceDataModule:
        made = PreferenceDataModule(
            source=source,
            batch_size=args.people,
            draws=DrawRule(history_cap=args.history, targets_per_user=targets),
            epoch_batches=100,
        )
        made.setup()
        return made

    several, one = data(args.targets), data(1)
    sizes = {"space": several.space, "width": args.width, "depth": args.depth, "heads": max(1, args.width // 32)}

    def contenders() -> dict[str, Contender]:
        torch.manual_seed(0)
        size = DenoiserSize(width=args.width, depth=args.denoiser_depth, heads=sizes["heads"])
        light = Prior(**sizes, denoiser=size)
        return {
            "light": Contender(light, several, args.rate),
            "in_context_1": Contender(InContextPrior(**sizes), one, args.rate),
            f"in_context_{args.targets}": Contender(InContextPrior(**sizes), several, args.rate),
        }

    seconds = interleaved({name: made.step for name, made in contenders().items()}, args.rounds)
    held_out = list(several.fixed_loader("val"))
    figures: dict[str, float] = {}
    for name, made in contenders().items():
        steps = round(args.seconds / seconds[name])
        made.train(steps)
        figures |= {
            f"{name}_steps": steps,
            f"{name}_step_ms": 1000 * seconds[name],
            f"{name}_loss": made.loss(held_out),
        }
    report(args, figures)


if __name__ == "__main__":
    main()
