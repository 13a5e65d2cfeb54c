"""Users by what was made for them: neighbours in the order are alike."""

import numpy as np
import pytest

from prefprior.gallery.similar_users import most_alike, reduced, side_by_side


@pytest.fixture
def unit() -> np.ndarray:
    """Thirty tastes on a half circle, in a random order."""
    angle = np.linspace(0, np.pi, 30)
    return reduced(np.stack([np.cos(angle), np.sin(angle)], 1)[np.random.default_rng(0).permutation(30)])


def test_every_user_is_in_the_order_once(unit: np.ndarray) -> None:
    assert sorted(side_by_side(unit)) == list(range(30))


def test_neighbours_in_the_order_are_similar(unit: np.ndarray) -> None:
    step = np.linalg.norm(np.diff(unit[side_by_side(unit)], axis=0), axis=1)
    assert step.mean() < 0.5 * np.linalg.norm(np.diff(unit, axis=0), axis=1).mean()


def test_no_user_is_their_own_neighbour(unit: np.ndarray) -> None:
    assert all(i not in row for i, row in enumerate(most_alike(unit)))
