"""Jackknife intervals of exposure and of its paired differences, against simulations with a known truth."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from prefprior.evaluation.metrics.exposure import exposure, exposure_steps, exposure_without_each
from prefprior.evaluation.protocol.bootstrap import Figure
from prefprior.evaluation.protocol.jackknife import Jackknife

Draw = Callable[[np.random.Generator], torch.Tensor]
DrawPair = Callable[[np.random.Generator], tuple[torch.Tensor, torch.Tensor]]
REPEATS = 250
COVER = 0.92  # of nominally 0.95: the error of a share of 250 repeats is 0.014


def top(score_BN: np.ndarray, k: int) -> torch.Tensor:
    return torch.from_numpy(np.argpartition(-score_BN, k, axis=1)[:, :k].astype(np.int64))


def popular(users: int, items: int, k: int, slope: float) -> Draw:
    """All lists are drawn by popularity, which falls with a power of the rank."""
    base_N = -slope * np.log(np.arange(1, items + 1))
    return lambda rng: top(base_N + rng.gumbel(size=(users, items)), k)


def tastes(users: int, items: int, k: int, dim: int) -> Draw:
    """Each user's list has the items that lie in the direction of their taste."""
    item_ND = np.random.default_rng(0).normal(size=(items, dim))
    return lambda rng: top(rng.normal(size=(users, dim)) @ item_ND.T, k)


def groups(users: int, items: int, k: int, count: int) -> Draw:
    """Users belong to a few groups, some of them rare; lists within a group are nearly the same."""
    liked_CN = 8 * np.random.default_rng(0).normal(size=(count, items))
    share_C = 1 / np.arange(1, count + 1)
    share_C /= share_C.sum()
    return lambda rng: top(liked_CN[rng.choice(count, users, p=share_C)] + rng.gumbel(size=(users, items)), k)


def noisy_copy(users: int, items: int, k: int, noise: float) -> DrawPair:
    """Two predictors of one taste, the second with noise: their lists overlap."""
    item_ND = np.random.default_rng(0).normal(size=(items, 8))

    def draw(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        score_BN = rng.normal(size=(users, 8)) @ item_ND.T
        return top(score_BN, k), top(score_BN + noise * rng.normal(size=score_BN.shape), k)

    return draw


def personal_and_popular(users: int, items: int, k: int) -> DrawPair:
    """One predictor follows tastes, the other popularity."""
    personal, by_count = tastes(users, items, k, 8), popular(users, items, k, 1.0)
    return lambda rng: (personal(rng), by_count(rng))


def shared_groups(users: int, items: int, k: int) -> DrawPair:
    """Both predictors see the same groups of users, and show each group other items."""
    liked_2CN = 8 * np.random.default_rng(0).normal(size=(2, 10, items))

    def draw(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        group_B = (10 * rng.random(users) ** 2).astype(int)
        first_BN, second_BN = (liked_CN[group_B] + rng.gumbel(size=(users, items)) for liked_CN in liked_2CN)
        return top(first_BN, k), top(second_BN, k)

    return draw


def figures(lists_BK: torch.Tensor, items: int) -> dict[str, Jackknife]:
    without, steps = exposure_without_each(lists_BK, items), exposure_steps(lists_BK, items)
    return {name: Jackknife(value, without[name], steps[name]) for name, value in exposure(lists_BK, items).items()}


PAIRS: dict[str, tuple[DrawPair, int]] = {
    "noisy copy": (noisy_copy(60, 300, 10, 1.0), 300),
    "few users": (noisy_copy(12, 200, 5, 1.0), 200),
    "nearly all covered": (noisy_copy(100, 100, 10, 1.0), 100),
    "personal and popular": (personal_and_popular(60, 300, 10), 300),
    "groups of users": (shared_groups(60, 300, 10), 300),
}
SETTINGS: dict[str, tuple[Draw, int]] = {
    "popular": (popular(60, 500, 10, 1.0), 500),
    "equally popular": (popular(60, 500, 10, 0.0), 500),
    "nearly all covered": (popular(100, 100, 10, 0.0), 100),
    "tastes": (tastes(40, 300, 10, 8), 300),
    "few users": (tastes(12, 200, 5, 3), 200),
    "groups of users": (groups(60, 300, 10, 12), 300),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_intervals_have_their_coverage(setting: str) -> None:
    draw, items = SETTINGS[setting]
    rng = np.random.default_rng(1)
    require_coverage([{name: made.figure for name, made in figures(draw(rng), items).items()} for _ in range(REPEATS)])


@pytest.mark.parametrize("setting", PAIRS)
def test_intervals_of_paired_differences_have_their_coverage(setting: str) -> None:
    draw, items = PAIRS[setting]
    rng = np.random.default_rng(1)
    repeats = []
    for _ in range(REPEATS):
        first, second = (figures(lists, items) for lists in draw(rng))
        repeats.append({name: (first[name] - second[name]).figure for name in first})
    require_coverage(repeats)


def require_coverage(repeats: list[dict[str, Figure]]) -> None:
    for name in repeats[0]:
        value, low, high = np.array([(r[name].value, r[name].low, r[name].high) for r in repeats]).T
        truth = value.mean()  # each is an unbiased estimate of what so many users are shown on average
        assert ((low <= truth) & (truth <= high)).mean() >= COVER, name


def test_pairing_makes_the_interval_of_a_difference_narrower() -> None:
    rng = np.random.default_rng(0)
    lists = noisy_copy(60, 300, 10, 0.1)(rng)
    first, second = (figures(made, 300)["gini_10"] for made in lists)
    paired, *alone = (made.figure for made in (first - second, first, second))
    unpaired = sum((figure.high - figure.low) ** 2 for figure in alone) ** 0.5
    assert paired.high - paired.low < 0.8 * unpaired


def test_the_difference_of_equal_lists_is_0_within_a_step() -> None:
    lists = tastes(20, 100, 5, 4)(np.random.default_rng(0))
    coverage = figures(lists, 100)["coverage_5"]
    same = (coverage - coverage).figure
    assert (same.value, same.low, same.high) == (0, -coverage.step / 2, coverage.step / 2)


def test_the_interval_of_a_mean_agrees_with_the_standard_one() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    without = (values.sum() - values) / 399
    figure = Jackknife(float(values.mean()), without).figure
    assert (figure.high - figure.low) / 2 == pytest.approx(1.966 * values.std(ddof=1) / 20, rel=1e-3)


def test_an_interval_is_within_the_range_and_contains_its_value() -> None:
    assert Jackknife(0.99, np.array([0.9, 0.99, 0.8])).figure.high == 1
    beyond = Jackknife(1 + 1e-12, np.ones(5)).figure
    assert (beyond.low, beyond.high) == (1 + 1e-12, 1 + 1e-12)
