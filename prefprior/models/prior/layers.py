"""The parts every prior is made of: attention, gated MLPs, scalar features, modulated residual blocks.

Shapes: B batch, N tokens, C conditions per batch row, S draws per condition, W width, H heads, E head
width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from prefprior.models.prior.cpu_kernels import RMSNorm, attention, swiglu

EPS = 1e-6  # of RMS norms; fp32's own epsilon is too small once activations are bf16


def hidden_width(width: int, ratio: float) -> int:
    """Hidden width of a gated MLP with the cost of a plain one of `ratio`; a multiple of 32 keeps matmuls aligned."""
    return max(32, 32 * round(width * ratio * 2 / 3 / 32))


class GatedMLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        hidden = hidden_width(width, ratio)
        self.enter = nn.Linear(width, 2 * hidden, bias=False)
        self.leave = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(swiglu(self.enter(x)))


class SelfAttention(nn.Module):
    """Multi-head attention over tokens of which some may be invalid; queries and keys are normalised (QK-norm)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.leave = nn.Linear(width, width, bias=False)
        # Unbounded attention logits are what makes half precision diverge (Dehghani et al. 2023, arXiv:2302.05442).
        self.query_norm = RMSNorm(width // heads, eps=EPS)
        self.key_norm = RMSNorm(width // heads, eps=EPS)

    def forward(self, x_BNW: Tensor, valid_BN: Tensor) -> Tensor:
        batch, length, width = x_BNW.shape
        qkv = self.qkv(x_BNW).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each B H N E
        q, k = self.query_norm(q).to(v.dtype), self.key_norm(k).to(v.dtype)
        mixed = attention(q, k, v, valid_BN[:, None, None, :])  # B H N E
        return self.leave(mixed.transpose(1, 2).reshape(batch, length, width))


class EncoderBlock(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int, ratio: float, dropout: float) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(width, eps=EPS)
        self.attention = SelfAttention(width, heads)
        self.mlp_norm = RMSNorm(width, eps=EPS)
        self.mlp = GatedMLP(width, ratio)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BNW: Tensor, valid_BN: Tensor) -> Tensor:
        x_BNW = x_BNW + self.dropout(self.attention(self.attention_norm(x_BNW), valid_BN))
        return x_BNW + self.dropout(self.mlp(self.mlp_norm(x_BNW)))


class ScalarFeatures(nn.Module):
    """Sines and cosines of a scalar on [-1, 1] or [0, 1], then a small MLP."""

    frequencies: Tensor

    def __init__(self, width: int, features: int = 64) -> None:
        super().__init__()
        # From half a turn over [0, 1] to 64 turns: finer than any schedule or rating scale needs.
        self.register_buffer("frequencies", math.pi * 2 ** torch.linspace(0, 7, features // 2), persistent=False)
        self.enter = nn.Linear(features + 1, width)
        self.leave = nn.Linear(width, width)

    def forward(self, scalar: Tensor) -> Tensor:
        angle = scalar[..., None].float() * self.frequencies
        features = torch.cat([scalar[..., None].float(), angle.sin(), angle.cos()], dim=-1)
        return self.leave(silu(self.enter(features)))


class ModulatedBlock(nn.Module):
    """Residual block whose normalised input is shifted, scaled and gated by the condition (AdaLN-zero, DiT,
    arXiv:2212.09748), with a gated MLP and attention to the history side by side (PaLM, arXiv:2204.02311).

    Side by side they share one matrix product in and one out, which on small batches is what a step costs.
    """

    def __init__(self, width: int, heads: int, ratio: float, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads")
        self.heads = heads
        self.hidden = hidden_width(width, ratio)
        self.norm = RMSNorm(width, eps=EPS, elementwise_affine=False)
        self.query_norm = RMSNorm(width // heads, eps=EPS)
        self.enter = nn.Linear(width, 2 * self.hidden + width, bias=False)
        self.leave = nn.Linear(self.hidden + width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x_BCSW: Tensor,
        shift: Tensor,
        scale: Tensor,
        gate: Tensor,
        keys_BHNE: Tensor,
        values_BHNE: Tensor,
        valid_BN: Tensor,
    ) -> Tensor:
        """`shift`, `scale` and `gate` broadcast to B C S W."""
        batch, conditions, draws, width = x_BCSW.shape
        h = torch.addcmul(shift, self.norm(x_BCSW), 1 + scale)  # B C S W
        gated, query = self.enter(h).split([2 * self.hidden, width], dim=-1)
        query = query.reshape(batch, conditions * draws, self.heads, -1).transpose(1, 2)  # B H CS E
        query = self.query_norm(query).to(values_BHNE.dtype)
        read = attention(query, keys_BHNE, values_BHNE, valid_BN[:, None, None])  # B H CS E
        read = read.transpose(1, 2).reshape(batch, conditions, draws, width)
        update = self.leave(torch.cat([swiglu(gated), read.to(gated.dtype)], dim=-1))
        return torch.addcmul(x_BCSW, gate, self.dropout(update))
