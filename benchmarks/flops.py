"""How much of what the machine can do a training step does: its FLOP/s beside a plain matrix product's, in one run.

    python benchmarks/flops.py --dtype fp32 --json out.json
    python benchmarks/flops.py --dtype bf16

FLOPs are those of the matrix products and attentions of forward and backward, counted by torch while they run; what
norms, activations and the optimiser do counts as time, not as work. The plain product is (2048 x 2048) (2048 x 2048).
"""

import torch
from side_by_side import arguments, fake_batch, fake_space, interleaved, report
from torch.utils.flop_counter import FlopCounterMode

from prefprior.models.objectives.denoising import Denoising
from prefprior.models.paths import Cosine
from prefprior.models.prior import Prior

SIDE = 2048


def main() -> None:
    """Times both and prints the share."""
    parser = arguments(__doc__, people=64, history=16, dim=1280)
    parser.add_argument("--targets", type=int, default=4)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--side", type=int, default=SIDE)
    args = parser.parse_args()
    low = args.dtype == "bf16"
    heads = max(1, args.width // 64)
    prior = Prior(
        space=fake_space(args.dim), width=args.width, depth=args.depth, heads=heads,
        denoiser_width=args.width, denoiser_depth=args.denoiser_depth, denoiser_heads=heads,
    ).to(args.device)  # fmt: skip
    if args.compile:
        for network in prior.networks():
            network.compile()
    batch = fake_batch(args.people, args.history, args.targets, args.dim).to(args.device)
    objective = Denoising(path=Cosine(), prediction="v", draws=args.draws)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-5, fused=True)
    side = torch.randn(args.side, args.side, device=args.device, dtype=torch.bfloat16 if low else torch.float32)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(args.device, dtype=torch.bfloat16, enabled=low):
            total = objective.loss(prior, batch, torch.Generator(args.device).manual_seed(0)).total
        total.backward()
        optimizer.step()

    def product() -> None:
        for _ in range(4):
            side @ side

    with FlopCounterMode(display=False) as counter:
        step()
    seconds = interleaved({"step": step, "product": product}, args.rounds)
    achieved, plain = counter.get_total_flops() / seconds["step"], 4 * 2 * args.side**3 / seconds["product"]
    report(
        args,
        {
            "parameters": sum(p.numel() for p in prior.parameters()),
            "step_gflop": counter.get_total_flops() / 1e9,
            "step_s": seconds["step"],
            "step_gflops": achieved / 1e9,
            "plain_gflops": plain / 1e9,
            "share": achieved / plain,
        },
    )


if __name__ == "__main__":
    main()
