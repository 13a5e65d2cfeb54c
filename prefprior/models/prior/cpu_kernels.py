"""Norms, gates and attention as fast as the CPU allows.

There, eager, a training step spends much of its time on what norms and gates read and write again and again; here
each is done in few passes over memory. Compiled, or on a GPU, PyTorch's own are as good and are used.

Shapes: `...` any, B batch, H heads, N keys, Q queries, E head width, W width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu


def _eager_on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


class RMSNorm(nn.RMSNorm):
    """Root-mean-square norm over the last dimension (Zhang & Sennrich 2019, arXiv:1910.07467)."""

    def forward(self, x: Tensor) -> Tensor:
        if _eager_on_cpu(x):
            assert self.eps is not None
            return _RMSNorm.apply(x, self.weight, self.eps)
        # PyTorch's fused kernel wants input and gain of one type; it computes in fp32 either way.
        gain_W = None if self.weight is None else self.weight.to(x.dtype)
        return rms_norm(x, self.normalized_shape, gain_W, self.eps)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain_W: Tensor | None, eps: float) -> Tensor:
        # One pass reads, one writes; no square of the whole tensor is ever stored.
        accumulated = torch.promote_types(x.dtype, torch.float32)
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=accumulated)
        inverse = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, inverse, gain_W)
        y = torch.mul(x, inverse, out=torch.empty_like(x))  # in fp32, rounded once
        return y if gain_W is None else y.mul_(gain_W)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, inverse, gain_W = ctx.saved_tensors
        unit = torch.mul(x, inverse, out=torch.empty_like(x))
        grad_gain = None
        if gain_W is None:
            product = (grad * unit).sum(-1, keepdim=True)
        else:
            both = grad * unit
            grad_gain = both.flatten(0, -2).sum(0, dtype=gain_W.dtype)
            product = (both @ gain_W.to(both.dtype))[..., None]
        # d/dx of x / rms(x): what of the gradient is across x, scaled; what is along x changes only the length.
        own = grad.clone() if gain_W is None else torch.mul(grad, gain_W, out=torch.empty_like(grad))
        own.sub_(unit.mul_(product.div_(x.shape[-1]))).mul_(inverse)
        return own, grad_gain, None


def attention(q_BHQE: Tensor, k_BHNE: Tensor, v_BHNE: Tensor, mask: Tensor) -> Tensor:
    """Scaled dot-product attention (B, H, Q, E) under a boolean mask."""
    if q_BHQE.device.type == "cpu" and v_BHNE.dtype != torch.float32 and torch.is_grad_enabled():
        # The backward pass of the CPU's half-precision kernel takes several times as long as that of its fp32 one.
        q, k, v = (part.float() for part in (q_BHQE, k_BHNE, v_BHNE))
        with torch.autocast("cpu", enabled=False):
            return scaled_dot_product_attention(q, k, v, attn_mask=mask).to(v_BHNE.dtype)
    return scaled_dot_product_attention(q_BHQE, k_BHNE, v_BHNE, attn_mask=mask)


def swiglu(opened_and_value: Tensor) -> Tensor:
    """silu(first half) * second half (Shazeer 2020, arXiv:2002.05202)."""
    if _eager_on_cpu(opened_and_value):
        return _SwiGLU.apply(opened_and_value)
    opened, value = opened_and_value.chunk(2, dim=-1)
    return silu(opened) * value


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        opened, value = both.chunk(2, dim=-1)
        return silu(opened).mul_(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        opened, value = both.chunk(2, dim=-1)
        out = torch.empty_like(both)
        to_opened, to_value = out.chunk(2, dim=-1)
        torch.mul(grad, silu(opened), out=to_value)
        torch.ops.aten.silu_backward.grad_input(grad * value, opened, grad_input=to_opened)
        return out
