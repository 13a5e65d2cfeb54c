"""Bounds of lengths: those of the pictures around a sample's direction, learned from a part of the catalogue."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.models import lengths as module
from prefprior.models.lengths import KEPT, NEAR, TRIMMED, Lengths
from prefprior.space import Space
from tests.models.conftest import DIM, training_data


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def around(axis: int, length: float, count: int = 400) -> Tensor:
    """Pictures in directions near an axis, from .9 to 1.1 times as long as said."""
    directions = normalize(torch.eye(DIM)[axis] + 0.1 * draws(count, DIM, seed=axis), dim=1)
    return directions * length * torch.linspace(0.9, 1.1, count)[:, None]


@pytest.fixture
def lengths() -> Lengths:
    """Of pictures of length 1 in one direction and of length 10 in another."""
    made = Lengths(DIM)
    made.learn(torch.cat([around(0, 1.0), around(1, 10.0)]))
    return made


def test_nothing_is_bounded_before_anything_is_learned() -> None:
    raw = draws(3, 4, DIM)
    assert torch.equal(Lengths(DIM).bounded(raw), raw)


@pytest.mark.parametrize(("axis", "length"), [(0, 1.0), (1, 10.0)])
@pytest.mark.parametrize(("factor", "bound"), [(0.1, 0.9), (5.0, 1.1)])
def test_samples_are_as_long_as_the_pictures_around_them(
    lengths: Lengths, axis: int, length: float, factor: float, bound: float
) -> None:
    samples = around(axis, factor * length, count=50)
    found = lengths.bounded(samples).norm(dim=1) / length
    assert ((found >= 0.9) & (found <= 1.1)).all()
    torch.testing.assert_close(found, torch.full_like(found, bound), atol=0.09, rtol=0)


def test_a_length_that_pictures_have_is_kept(lengths: Lengths) -> None:
    samples = normalize(around(1, 1.0, count=50), dim=1) * 10
    torch.testing.assert_close(lengths.bounded(samples), samples)


def test_the_direction_is_kept(lengths: Lengths) -> None:
    samples = 30 * draws(2, 5, DIM)
    torch.testing.assert_close(normalize(lengths.bounded(samples), dim=-1), normalize(samples, dim=-1))


def test_outliers_bound_nothing() -> None:
    lengths, pictures = Lengths(DIM), around(0, 1.0, count=NEAR)
    pictures[:TRIMMED] *= 100
    lengths.learn(pictures)
    assert lengths.bounded(1000 * pictures).norm(dim=1).max() < 1.2


def test_fewer_pictures_than_are_asked_for_are_enough() -> None:
    lengths = Lengths(DIM)
    lengths.learn(around(0, 1.0, count=1))
    torch.testing.assert_close(lengths.bounded(draws(6, DIM)).norm(dim=1), torch.full((6,), 0.9))


def test_samples_in_parts_are_bounded_alike(lengths: Lengths, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = 30 * draws(3, 7, DIM)
    whole = lengths.bounded(samples)
    monkeypatch.setattr(module, "AT_ONCE", 4)
    torch.testing.assert_close(lengths.bounded(samples), whole)


def test_under_autocast_neighbours_are_the_same(lengths: Lengths) -> None:
    samples = 30 * draws(50, DIM)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(lengths.bounded(samples), lengths.bounded(samples.clone()))
        found = lengths.bounded(samples)
    assert torch.equal(found, lengths.bounded(samples))


def test_a_part_of_a_large_catalogue_is_kept_the_same_each_time(space: Space) -> None:
    data = training_data(space, draws(KEPT + 100, DIM).half(), [1] * (KEPT + 100))
    first, second = Lengths(DIM), Lengths(DIM)
    first.prepare(data)
    second.prepare(data)
    assert len(first.length_P) == KEPT
    assert torch.equal(first.length_P, second.length_P)


def test_vectors_of_zeros_are_no_pictures() -> None:
    lengths = Lengths(DIM)
    lengths.learn(torch.cat([torch.zeros(50, DIM), around(0, 1.0)]))
    assert lengths.length_P.min() > 0.5


def test_what_was_learned_is_loaded_into_a_new_one(lengths: Lengths) -> None:
    loaded = Lengths(DIM)
    loaded.load_state_dict(lengths.state_dict())
    samples = 30 * draws(5, DIM)
    assert torch.equal(loaded.bounded(samples), lengths.bounded(samples))


def test_pictures_of_another_dimension_are_not_loaded(lengths: Lengths) -> None:
    with pytest.raises(RuntimeError, match="direction_PD"):
        Lengths(DIM + 1).load_state_dict(lengths.state_dict())
