"""Intervals of what is no mean over users, where the truth is known by drawing users again and again."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from prefprior.evaluation.metrics.exposure import exposure, exposure_steps, exposure_without_each
from prefprior.evaluation.protocol.jackknife import jackknife

Draw = Callable[[np.random.Generator], torch.Tensor]
REPEATS = 250


def top(score_BN: np.ndarray, k: int) -> torch.Tensor:
    return torch.from_numpy(np.argpartition(-score_BN, k, axis=1)[:, :k].astype(np.int64))


def popular(people: int, items: int, k: int, slope: float) -> Draw:
    """Everybody's list is drawn by popularity, which falls with a power of the rank."""
    base_N = -slope * np.log(np.arange(1, items + 1))
    return lambda rng: top(base_N + rng.gumbel(size=(people, items)), k)


def tastes(people: int, items: int, k: int, dim: int) -> Draw:
    """Everybody is shown what lies in the direction of their taste."""
    item_ND = np.random.default_rng(0).normal(size=(items, dim))
    return lambda rng: top(rng.normal(size=(people, dim)) @ item_ND.T, k)


def kinds(people: int, items: int, k: int, count: int) -> Draw:
    """People are of a few kinds, some of them rare; lists of one kind are nearly the same."""
    liked_CN = 8 * np.random.default_rng(0).normal(size=(count, items))
    share_C = 1 / np.arange(1, count + 1)
    share_C /= share_C.sum()
    return lambda rng: top(liked_CN[rng.choice(count, people, p=share_C)] + rng.gumbel(size=(people, items)), k)


SETTINGS: dict[str, tuple[Draw, int]] = {
    "popular": (popular(60, 500, 10, 1.0), 500),
    "equally popular": (popular(60, 500, 10, 0.0), 500),
    "nearly all covered": (popular(100, 100, 10, 0.0), 100),
    "tastes": (tastes(40, 300, 10, 8), 300),
    "few people": (tastes(12, 200, 5, 3), 200),
    "kinds of people": (kinds(60, 300, 10, 12), 300),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_intervals_have_their_coverage(setting: str) -> None:
    draw, items = SETTINGS[setting]
    rng = np.random.default_rng(1)
    values: dict[str, list[float]] = {}
    bounds: dict[str, list[tuple[float, float]]] = {}
    for _ in range(REPEATS):
        lists = draw(rng)
        without, steps = exposure_without_each(lists, items), exposure_steps(lists, items)
        for name, value in exposure(lists, items).items():
            values.setdefault(name, []).append(value)
            bounds.setdefault(name, []).append(jackknife(value, without[name], step=steps[name]))
    for name, found in values.items():
        truth = float(np.mean(found))  # each is an unbiased estimate of what so many people are shown on average
        low, high = np.array(bounds[name]).T
        assert ((low <= truth) & (truth <= high)).mean() >= 0.92, name


def test_the_interval_of_a_mean_agrees_with_the_standard_one() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    without = (values.sum() - values) / 399
    low, high = jackknife(float(values.mean()), without)
    assert (high - low) / 2 == pytest.approx(1.966 * values.std(ddof=1) / 20, rel=1e-3)


def test_an_interval_is_within_the_range_and_contains_its_value() -> None:
    assert jackknife(0.99, np.array([0.9, 0.99, 0.8]))[1] == 1
    assert jackknife(1 + 1e-12, np.ones(5)) == (1 + 1e-12, 1 + 1e-12)
