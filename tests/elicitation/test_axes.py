"""Questions along axes: what pairs are made, and which of them is asked."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.data.embedding.text_axes import TextAxes
from prefprior.elicitation.axes import pairs_along
from prefprior.elicitation.policies.axes import Axes
from prefprior.inference.steering import Steering
from tests.elicitation.conftest import situation

DIM = 10


def pictures(count: int, seed: int) -> Tensor:
    return 4 * normalize(torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed)) + 0.5, dim=1)


def test_the_two_of_a_pair_differ_along_one_axis_only() -> None:
    axes = TextAxes(("one", "other"), torch.eye(DIM)[:2])
    real_PD = normalize(pictures(2000, 0), dim=1)
    pair_SVD = pairs_along(axes, pictures(5, 1), real_PD, 0.75)
    assert pair_SVD.shape == (10, 2, DIM)
    position_SVK = Steering(axes, [0.0, 0.0], real_PD).positions(pair_SVD)
    apart_SK = position_SVK[:, 1] - position_SVK[:, 0]
    expected_SK = torch.tensor([[1.5, 0.0]] * 5 + [[0.0, 1.5]] * 5)
    torch.testing.assert_close(apart_SK, expected_SK, atol=0.02, rtol=0)
    torch.testing.assert_close(pair_SVD.norm(dim=2), torch.full((10, 2), 4.0))


def test_the_pair_that_divides_tastes_is_asked_and_none_twice(draws: torch.Generator) -> None:
    """Three pairs: all prefer the first of pair 0, half of them the first of pair 1, and nobody cares about pair 2."""
    utility_PN = torch.zeros(4, 6)
    utility_PN[:, 0] = 3
    utility_PN[:2, 2], utility_PN[2:, 3] = 3, 3
    open_N = torch.ones(6, dtype=torch.bool)
    policy = Axes(words=["darker"])
    assert policy.choose(situation(utility_PN, 2, open_N=open_N), draws) == [2, 3]
    open_N[3] = False  # one of them was shown
    assert policy.choose(situation(utility_PN, 2, open_N=open_N), draws) in ([0, 1], [4, 5])


def test_words_that_name_no_axis_are_refused() -> None:
    with pytest.raises(ValueError, match=r"there is no axis 'drker'.*darker"):
        Axes(words=["drker"])
    with pytest.raises(ValueError, match="must name at least one axis"):
        Axes(words=[])
