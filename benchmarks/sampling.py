"""Sampling: the light denoiser beside the in-context prior, same trunk, same steps, same guidance, in one run.

    python benchmarks/sampling.py                 # embedding 1280, history 16, 8 heads x 64, 6 layers, 64 users
    python benchmarks/sampling.py --json out.json

What the in-context prior costs is measured on fewer embeddings a user (`--share`) and scaled up, because all of them
would take it many minutes; its cost is proportional to their number, every sequence being a batch row of its own.
"""

import torch
from side_by_side import arguments, fake_history, fake_space, interleaved, light_prior, report

from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.in_context import InContextPrior


def main() -> None:
    """Times both and prints the ratio."""
    parser = arguments(__doc__, people=64, history=16, dim=1280)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--share", type=int, default=64, help="the in-context prior does 1/share of the people's work")
    args = parser.parse_args()
    space = fake_space(args.dim)
    light = light_prior(args, space)
    in_context = InContextPrior(space=space, width=args.width, depth=args.depth, heads=args.width // 64)
    objective = Denoising(schedule=CosineSchedule(), prediction="v")
    sampler = Sampler(steps=args.steps, guidance=Guidance(history=2.0), candidates=1)
    history = fake_history(args.people, args.history, args.dim)
    predictors = {
        name: TrainedPredictor(model=PreferenceModel(prior=prior), objective=objective, sampler=sampler)
        for name, prior in (("light", light), ("in_context", in_context))
    }
    part = max(1, args.people * args.samples // args.share)  # one embedding each, for so many users
    few = history.take(torch.arange(part) % args.people)

    def sample_light() -> None:
        predictors["light"].sample(history, args.samples, torch.Generator().manual_seed(0))

    def sample_in_context() -> None:
        predictors["in_context"].sample(few, 1, torch.Generator().manual_seed(0))

    seconds = interleaved({"light": sample_light, "in_context_part": sample_in_context}, args.rounds)
    scale = args.people * args.samples / part
    whole = seconds["in_context_part"] * scale
    report(
        args,
        {
            "light_s": seconds["light"],
            "in_context_s": whole,
            "in_context_measured_share": 1 / scale,
            "light_ms_per_embedding": 1000 * seconds["light"] / (args.people * args.samples),
            "ratio": whole / seconds["light"],
        },
    )


if __name__ == "__main__":
    main()
