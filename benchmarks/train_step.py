"""A training step: targets a second of the light prior, several of which share one encoded history, beside the
in-context prior, where each needs a sequence of its own. Forward, backward and optimiser, fp32, one interleaved run.

    python benchmarks/train_step.py --json out.json
"""

from collections.abc import Callable

import torch
from side_by_side import arguments, fake_batch, fake_space, interleaved, light_prior, loss_of, report, training

from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.in_context import InContextPrior
from prefprior.models.prior.network import PriorNetwork


def stepper(prior: PriorNetwork, batch: PreferenceBatch, noise_samples: int) -> Callable[[], None]:
    """One whole training step of a prior."""
    module = training(prior, Denoising(schedule=CosineSchedule(), noise_samples=noise_samples))
    optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss_of(module, batch, torch.Generator().manual_seed(0)).backward()
        optimizer.step()

    return step


def main() -> None:
    """Times both and prints the ratio."""
    parser = arguments(__doc__, people=64, history=16, dim=1280)
    parser.add_argument("--targets", type=int, nargs="+", default=[4, 8, 16], help="of each person, by one history")
    parser.add_argument("--noise-samples", type=int, default=1, help="noisy versions of each target; both get as many")
    args = parser.parse_args()
    space = fake_space(args.dim)
    light = light_prior(args, space)
    steps = {
        f"light_{targets}": stepper(light, fake_batch(args.people, args.history, targets, args.dim), args.noise_samples)
        for targets in args.targets
    }
    in_context = InContextPrior(space=space, width=args.width, depth=args.depth, heads=args.width // 64)
    steps["in_context"] = stepper(in_context, fake_batch(args.people, args.history, 1, args.dim), args.noise_samples)
    seconds = interleaved(steps, args.rounds)
    rate = {f"light_{targets}": args.people * targets / seconds[f"light_{targets}"] for targets in args.targets}
    rate["in_context"] = args.people / seconds["in_context"]
    report(
        args,
        {f"{name}_step_s": value for name, value in seconds.items()}
        | {f"{name}_targets_per_s": value for name, value in rate.items()}
        | {f"ratio_{targets}": rate[f"light_{targets}"] / rate["in_context"] for targets in args.targets},
    )


if __name__ == "__main__":
    main()
