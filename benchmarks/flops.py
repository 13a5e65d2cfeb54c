"""How much of what the machine can do a training step does: its FLOP/s beside a plain matrix product's, in one run.

    python benchmarks/flops.py --dtype fp32 --json out.json
    python benchmarks/flops.py --dtype bf16

FLOPs are those of the matrix products and attentions of forward and backward, counted by torch while they run; what
norms, activations and the optimiser do counts as time, not as work. The plain product is (2048 x 2048) (2048 x 2048).
`products_share` is what the matrix products of an eager step, without its attentions, reach with nothing between them.
"""

from collections.abc import Callable
from typing import Any

import torch
from side_by_side import arguments, fake_batch, interleaved, light_prior, loss_of, report, training
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.objectives.denoising import Denoising

SIDE = 2048
# Turns until the allocator has found its memory: before, fresh pages are paid for, which training does once. Here that
# would be paid by one side alone; where two kinds of step are compared, both pay.
WARM = 6
PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm)


class Products(TorchDispatchMode):
    """Notes the factors of every matrix product, as they lie in memory; of like ones, one is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.factors: list[tuple[Tensor, Tensor]] = []
        self._kept: dict[tuple[Any, ...], Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in PRODUCTS:
            left, right = args[-2:]
            self.factors.append((self._like(left, 0), self._like(right, 1)))
        return func(*args, **(kwargs or {}))

    def _like(self, factor: Tensor, side: int) -> Tensor:
        layout = (side, factor.shape, factor.stride(), factor.dtype)
        if layout not in self._kept:
            self._kept[layout] = torch.empty_like(factor).normal_()
        return self._kept[layout]


def products_of(step: Callable[[], None]) -> Callable[[], None]:
    """All matrix products of a step, on random numbers, one after the other."""
    with Products() as noted:
        step()

    def run() -> None:
        for left, right in noted.factors:
            torch.matmul(left, right)

    return run


def main() -> None:
    """Times both and prints the share."""
    parser = arguments(__doc__, people=64, history=16, dim=1280)
    parser.add_argument("--targets", type=int, default=4)
    parser.add_argument("--noise-samples", type=int, default=4)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--side", type=int, default=SIDE)
    args = parser.parse_args()
    low = args.dtype == "bf16"
    module = training(light_prior(args), Denoising(schedule=CosineSchedule(), noise_samples=args.noise_samples)).to(
        args.device
    )
    prior = module.model.prior
    batch = fake_batch(args.people, args.history, args.targets, args.dim).to(args.device)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-5, fused=True)
    side = torch.randn(args.side, args.side, device=args.device, dtype=torch.bfloat16 if low else torch.float32)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(args.device, dtype=torch.bfloat16, enabled=low):
            total = loss_of(module, batch, torch.Generator(args.device).manual_seed(0))
        total.backward()
        optimizer.step()

    def product() -> None:
        for _ in range(4):
            side @ side

    own_products = products_of(step)
    with FlopCounterMode(display=False) as step_counter:
        step()
    with FlopCounterMode(display=False) as products_counter:
        own_products()
    if args.compile:
        for network in prior.networks():
            network.compile()
    contenders = {"step": step, "own_products": own_products, "product": product}
    seconds = interleaved(contenders, args.rounds, warm=WARM)
    achieved, plain = step_counter.get_total_flops() / seconds["step"], 4 * 2 * args.side**3 / seconds["product"]
    products = products_counter.get_total_flops() / seconds["own_products"]
    report(
        args,
        {
            "parameters": sum(p.numel() for p in prior.parameters()),
            "step_gflop": step_counter.get_total_flops() / 1e9,
            "step_s": seconds["step"],
            "step_gflops": achieved / 1e9,
            "plain_gflops": plain / 1e9,
            "products_share": products / plain,
            "share": achieved / plain,
        },
    )


if __name__ == "__main__":
    main()
