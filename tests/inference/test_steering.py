"""prefprior/inference/steering.py: embeddings move along axes by standard deviations of real pictures."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.data.embedding.text_axes import TextAxes
from prefprior.inference.steering import Steering

DIM = 12


def pictures() -> Tensor:
    """Raw embeddings that vary three times as much along the first dimension, and share an offset."""
    raw = torch.randn(4000, DIM, generator=torch.Generator().manual_seed(0)) * 0.2
    raw[:, 0] *= 3
    return 5 * (raw + torch.ones(DIM))


def axes(*directions: list[float]) -> TextAxes:
    rows = [torch.tensor(row + [0.0] * (DIM - len(row))) for row in directions]
    return TextAxes(tuple(f"axis {i}" for i in range(len(rows))), normalize(torch.stack(rows), dim=1))


def steering(strengths: list[float], *directions: list[float]) -> Steering:
    return Steering(axes(*directions), strengths, normalize(pictures(), dim=1))


def test_positions_are_standard_scores_of_real_pictures() -> None:
    at = steering([1.0], [0.0, 1.0]).positions(pictures())
    assert abs(float(at.mean())) < 1e-4
    assert abs(float(at.std()) - 1) < 1e-3


@pytest.mark.parametrize("strength", [-2.0, 0.5, 1.5])
def test_a_picture_moves_by_exactly_the_strength(strength: float) -> None:
    steer, raw = steering([strength], [1.0, -1.0]), pictures()[:50]
    shift = steer.positions(steer.moved(raw)) - steer.positions(raw)
    torch.testing.assert_close(shift, torch.full_like(shift, strength), atol=2e-3, rtol=0)


def test_each_of_several_axes_moves_by_its_own_strength() -> None:
    steer, raw = steering([1.0, -0.5], [1.0, 1.0], [0.0, 1.0, 1.0]), pictures()[:50]
    shift = steer.positions(steer.moved(raw)) - steer.positions(raw)
    torch.testing.assert_close(shift, torch.tensor([1.0, -0.5]).expand_as(shift), atol=2e-3, rtol=0)


def test_lengths_stay() -> None:
    raw = pictures()[:50]
    torch.testing.assert_close(steering([2.0], [0.0, 1.0]).moved(raw).norm(dim=1), raw.norm(dim=1))


def test_share_0_moves_nothing_and_a_share_is_one_for_each_row() -> None:
    steer, raw = steering([1.0], [0.0, 1.0]), pictures()[:3]
    shift = steer.positions(steer.moved(raw, torch.tensor([0.0, 0.5, 1.0]))) - steer.positions(raw)
    torch.testing.assert_close(shift[:, 0], torch.tensor([0.0, 0.5, 1.0]), atol=2e-3, rtol=0)


def test_the_step_is_the_smallest_by_how_pictures_vary() -> None:
    """A step along the words' own direction costs more in Mahalanobis distance for the same reading."""
    unit = normalize(pictures(), dim=1)
    direction = axes([1.0, 1.0, 0.5]).direction_KD[0]
    steer = Steering(axes([1.0, 1.0, 0.5]), [1.0], unit)
    inverse = torch.linalg.inv(torch.cov(unit.T) + 1e-6 * torch.eye(DIM))
    own, pattern = direction / (steer._read_KD[0] @ direction), steer._step_KD[0]
    assert float(steer._read_KD[0] @ pattern) == pytest.approx(1, abs=1e-4)
    assert float(pattern @ inverse @ pattern) < 0.8 * float(own @ inverse @ own)


def test_what_does_not_vary_with_the_readings_stays() -> None:
    """Two groups of dimensions vary independently, and the axis reads one of them only."""
    raw = torch.zeros(20_000, 4)
    draws = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0))
    raw[:, 0], raw[:, 1], raw[:, 2], raw[:, 3] = draws[:, 0], 2 * draws[:, 0], draws[:, 1], 10.0
    named = TextAxes(("first",), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    moved = Steering(named, [1.0], normalize(raw, dim=1)).moved(raw[:100]) / raw[:100].norm(dim=1, keepdim=True)
    step = moved - normalize(raw[:100], dim=1)
    assert float(step[:, 2].abs().mean()) < 0.05 * float(step[:, 0].abs().mean())
    torch.testing.assert_close(step[:, 1].mean() / step[:, 0].mean(), torch.tensor(2.0), atol=0.1, rtol=0)


def test_both_ends_of_one_axis_are_refused() -> None:
    with pytest.raises(ValueError, match="axis 0, axis 1 are not independent of each other: leave one of them out"):
        steering([1.0, 1.0], [0.0, 1.0], [0.0, -1.0])


def test_a_checkpoint_without_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="this checkpoint has none: train the prior again"):
        Steering(axes([1.0]), [1.0], torch.zeros(0, DIM))


def test_axes_of_another_space_are_refused() -> None:
    with pytest.raises(ValueError, match="axes of 12 dimensions cannot move embeddings of 5 dimensions"):
        Steering(axes([1.0]), [1.0], torch.zeros(10, 5))
