"""Two chains of elementwise steps, done in few passes over memory where no compiler does it: eager on the CPU.

There a training step spends a third of its time on what norms and gates read and write again and again. Compiled, or on
a GPU, PyTorch's own are as good and are used.

Shapes: `...` any, W width, G hidden width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu


def _eager_on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


class RMSNorm(nn.RMSNorm):
    """Root-mean-square norm over the last dimension (Zhang & Sennrich 2019, arXiv:1910.07467)."""

    def forward(self, x: Tensor) -> Tensor:
        if not _eager_on_cpu(x) or x.dtype != torch.float32:
            return super().forward(x)
        assert self.eps is not None
        return _RMSNorm.apply(x, self.weight, self.eps)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain_W: Tensor | None, eps: float) -> Tensor:
        # One pass reads, one writes; no square of the whole tensor is ever stored.
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        inverse = mean_square.add_(eps).rsqrt_()
        ctx.save_for_backward(x, inverse, gain_W)
        y = x * inverse
        return y if gain_W is None else y.mul_(gain_W)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, inverse, gain_W = ctx.saved_tensors
        unit = x * inverse
        grad_gain = None
        if gain_W is None:
            product = (grad * unit).sum(-1, keepdim=True)
        else:
            both = grad * unit
            grad_gain = both.flatten(0, -2).sum(0)
            product = (both @ gain_W)[..., None]
        # d/dx of x / rms(x): what of the gradient is across x, scaled; what is along x changes only the length.
        own = grad.clone() if gain_W is None else grad * gain_W
        own.sub_(unit.mul_(product.div_(x.shape[-1]))).mul_(inverse)
        return own, grad_gain, None


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
