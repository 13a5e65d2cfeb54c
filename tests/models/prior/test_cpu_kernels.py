"""The hand-written chains give PyTorch's own values and gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from prefprior.models.prior.cpu_kernels import RMSNorm, attention, swiglu

# Contiguous, a view with its axes changed (as attention's heads are), and one that is read repeatedly.
LAYOUTS = {
    "plain": lambda g: torch.randn(3, 4, 5, 8, generator=g),
    "transposed": lambda g: torch.randn(3, 5, 4, 8, generator=g).transpose(1, 2),
    "expanded": lambda g: torch.randn(3, 1, 5, 8, generator=g).expand(3, 4, 5, 8),
}


def value_and_gradients(
    function: Callable[[Tensor], Tensor], x: Tensor, parameters: list[nn.Parameter], weights: Tensor
) -> tuple[Tensor, ...]:
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = function(x)
    return y.detach(), *torch.autograd.grad((y * weights).sum(), [x, *parameters])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gain", [True, False])
def test_the_norm_agrees_with_pytorch(layout: str, gain: bool) -> None:
    g = torch.Generator().manual_seed(0)
    x, weights = LAYOUTS[layout](g), torch.randn(3, 4, 5, 8, generator=g)
    theirs, ours = (kind(8, eps=1e-6, elementwise_affine=gain) for kind in (nn.RMSNorm, RMSNorm))
    if gain:
        for norm in (theirs, ours):
            norm.weight.data = torch.linspace(-1, 2, 8)
    expected, found = (value_and_gradients(n, x, list(n.parameters()), weights) for n in (theirs, ours))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_norm_of_zeros_is_zero_and_has_a_gradient() -> None:
    x = torch.zeros(2, 8, requires_grad=True)
    y = RMSNorm(8, eps=1e-6)(x)
    y.sum().backward()
    assert not y.any()
    assert x.grad.isfinite().all()


def test_the_norm_keeps_half_precision() -> None:
    assert RMSNorm(8, eps=1e-6).bfloat16()(torch.randn(2, 8).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gate_agrees_with_pytorch(layout: str, dtype: torch.dtype) -> None:
    g = torch.Generator().manual_seed(0)
    x, weights = LAYOUTS[layout](g).to(dtype), torch.randn(3, 4, 5, 4, generator=g).to(dtype)

    def plain(both: Tensor) -> Tensor:
        opened, value = both.chunk(2, dim=-1)
        return silu(opened) * value

    tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-5
    expected, found = (value_and_gradients(function, x, [], weights) for function in (plain, swiglu))
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("learning", [True, False])
def test_attention_agrees_with_pytorch(dtype: torch.dtype, learning: bool) -> None:
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 8, generator=g).to(dtype) for n in (4, 6, 6))
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])[:, None, None]
    with torch.set_grad_enabled(learning):
        found = attention(q, k, v, mask)
    assert found.dtype == dtype
    expected = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("gain", [True, False])
def test_gradients_agree_with_finite_differences(gain: bool) -> None:
    g = torch.Generator().manual_seed(0)
    norm = RMSNorm(4, eps=1e-6, elementwise_affine=gain).double()
    x = torch.randn(3, 4, dtype=torch.float64, generator=g, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (x,))
    assert torch.autograd.gradcheck(swiglu, (x,))
