"""The denoiser: the light network that runs at every step.

Shapes: B users, N tokens attended to, C conditions per user, S noise samples per condition, V denoiser width,
M modulation, L blocks, H heads, E head width, D dimension.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from prefprior.errors import require_between
from prefprior.models.prior.conditions import Condition
from prefprior.models.prior.cpu_kernels import RMSNorm
from prefprior.models.prior.layers import EPS, ModulatedBlock, ScalarFeatures
from prefprior.models.recorded import Recorded


class DenoiserSize(Recorded):
    """How large a denoiser is; `ratio` is the cost of its gated MLPs, as the hidden ratio of a plain MLP."""

    def __init__(self, *, width: int = 192, depth: int = 3, heads: int = 4, ratio: float = 3.0) -> None:
        for name, value in {"width": width, "depth": depth, "heads": heads}.items():
            require_between(f"prior.denoiser.{name}", value, 1, 1024 if name in ("depth", "heads") else 65_536)
        require_between("prior.denoiser.ratio", ratio, 0, 64)
        self.width = width
        self.depth = depth
        self.heads = heads
        self.ratio = ratio


class Denoiser(nn.Module):
    """Modulated blocks over the noisy embedding, attending to the encoded history.

    Modulation is a sum of a part that depends on time only and a part that depends on user and condition only: in
    sampling the first is computed once per step for all users and the second once per sample, so that a step costs no
    more than the blocks themselves.
    """

    def __init__(self, *, dim: int, size: DenoiserSize, dropout: float) -> None:
        super().__init__()
        width, depth = size.width, size.depth
        self.enter = nn.Linear(dim, width)
        time_width = max(64, width // 4)
        self.time = ScalarFeatures(time_width)
        self.time_modulation = nn.Linear(time_width, depth * 3 * width + 2 * width)
        self.blocks = nn.ModuleList(ModulatedBlock(width, size.heads, size.ratio, dropout) for _ in range(depth))
        self.norm = RMSNorm(width, eps=EPS, elementwise_affine=False)
        self.leave = nn.Linear(width, dim)
        for layer in (self.time_modulation, self.leave):  # AdaLN-zero: every block starts as the identity
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, noisy_BCSD: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """The objective's prediction (B, C, S, D); time broadcasts over (B, C, S)."""
        modulation = self.time_modulation(silu(self.time(time))) + condition.modulation_BCM[:, :, None]  # B C S M
        # One chunk into all parts: each further cut costs the backward pass a tensor of the whole size.
        *parts, shift, scale = modulation.chunk(3 * len(self.blocks) + 2, dim=-1)  # each B C S V
        x = self.enter(noisy_BCSD)  # B C S V
        for layer, block in enumerate(self.blocks):
            keys_BHNE, values_BHNE = condition.keys_BHNE[layer], condition.values_BHNE[layer]
            x = block(x, *parts[3 * layer : 3 * layer + 3], keys_BHNE, values_BHNE, condition.valid_BN)
        return self.leave(torch.addcmul(shift, self.norm(x), 1 + scale))  # B C S D
