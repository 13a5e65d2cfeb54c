"""Who is shown how much: what lists of recommendations do to the catalogue.

Fairness among items follows the corrected measures of Rampisela et al. 2023 (arXiv:2311.01013): each is rescaled
between the least and the most even exposure that B lists of k items over N items can have, so that 0 and 1 are reached.

Shapes: B users, k list length, N catalogue.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

Number = float | np.ndarray  # of all lists, or (B,) of all but each user's


@dataclass(frozen=True, eq=False)
class Exposure:
    """How often items are shown, as the sums over items that all measures are functions of."""

    items: int
    total: Number  # of counts
    shown: Number  # items with any
    satisfied: Number  # items with an even share, rounded down
    squares: Number  # of counts
    logs: Number  # count x its logarithm
    ranked: Number  # count x how far its rank lies above the middle

    @classmethod
    def of(cls, count_N: np.ndarray) -> "Exposure":
        """Of items that were shown so often."""
        count_N = count_N.astype(np.int64)
        place_N = 2 * np.arange(1, len(count_N) + 1) - len(count_N) - 1
        return cls(
            items=len(count_N),
            total=float(count_N.sum()),
            shown=float((count_N > 0).sum()),
            satisfied=float((count_N >= even_share(count_N)).sum()),
            squares=float((count_N**2).sum()),
            logs=float(_log_product(count_N).sum()),
            ranked=float((place_N * np.sort(count_N)).sum()),
        )

    @classmethod
    def without_each(cls, top_BK: np.ndarray, items: int) -> "Exposure":
        """Of all lists but one, for each in turn: only the counts of that list's items differ, each by 1.

        An even share stays what it is among all B lists: it is part of what is measured.
        """
        count_N = np.bincount(top_BK.ravel(), minlength=items)
        every = cls.of(count_N)
        count_BK = np.sort(count_N[top_BK], axis=1)
        first_BK = np.searchsorted(np.sort(count_N), count_BK) + 1  # the lowest rank of each count
        # Of equal counts in one list, one each goes down at the lowest ranks: the order of all stays as it is.
        place_K = np.arange(count_BK.shape[1])
        begins_BK = np.diff(count_BK, axis=1, prepend=-1) > 0
        rank_BK = first_BK + place_K - np.maximum.accumulate(np.where(begins_BK, place_K, 0), axis=1)
        return cls(
            items=items,
            total=every.total - np.full(len(top_BK), float(top_BK.shape[1])),
            shown=every.shown - (count_BK == 1).sum(1),
            satisfied=every.satisfied - (count_BK == even_share(count_N)).sum(1),
            squares=every.squares - (2 * count_BK - 1).sum(1),
            logs=every.logs - (_log_product(count_BK) - _log_product(count_BK - 1)).sum(1),
            ranked=every.ranked - (2 * rank_BK - items - 1).sum(1),
        )


def even_share(count_N: np.ndarray) -> int:
    """What each item would be shown if exposure were even, rounded down, and at least once."""
    return max(int(count_N.sum()) // len(count_N), 1)


def coverage(exposure: Exposure) -> Number:
    """The share of items shown at all (qualification fairness, where all items qualify)."""
    return exposure.shown / exposure.items


def gini(exposure: Exposure) -> Number:
    """0 if all items are shown equally often, towards 1 if one takes all."""
    return exposure.ranked / (exposure.items * exposure.total)


def entropy(exposure: Exposure) -> Number:
    """Shannon entropy of exposure, as a share of its maximum."""
    if exposure.items == 1:
        return 1.0 + 0 * exposure.total
    return (np.log(exposure.total) - exposure.logs / exposure.total) / np.log(exposure.items)


def jain(exposure: Exposure) -> Number:
    """Jain's index (1984): the share of items that would be shown if exposure were even among them."""
    return exposure.total**2 / (exposure.items * exposure.squares)


def satisfied(exposure: Exposure) -> Number:
    """The share of items shown at least as often as an even split, rounded down, would have it."""
    return exposure.satisfied / exposure.items


Measure = Callable[[Exposure], Number]
PLAIN: dict[str, Measure] = {"coverage": coverage, "gini": gini, "entropy": entropy}
CORRECTED: dict[str, Measure] = {
    "fair_jain": jain,
    "fair_shown": coverage,
    "fair_satisfied": satisfied,
    "fair_entropy": entropy,
    "fair_gini": gini,
}


def exposure(top_BK: Tensor, items: int) -> dict[str, float]:
    """Coverage, Gini and entropy of what the lists show, and the corrected fairness measures."""
    rows_BK = top_BK.numpy()
    shown = Exposure.of(np.bincount(rows_BK.ravel(), minlength=items))
    return {name: float(value) for name, value in _figures(shown, *rows_BK.shape).items()}


def exposure_without_each(top_BK: Tensor, items: int) -> dict[str, np.ndarray]:
    """The figures of `exposure` without each user's list in turn, (B,) each: what a jackknife takes."""
    rows_BK = top_BK.numpy()
    return {name: np.asarray(v) for name, v in _figures(Exposure.without_each(rows_BK, items), *rows_BK.shape).items()}


def exposure_steps(top_BK: Tensor, items: int) -> dict[str, float]:
    """How far one item more, or one less, moves each figure of `exposure`; 0 for those that do not count items."""
    rows_BK = top_BK.numpy()
    shown = Exposure.of(np.bincount(rows_BK.ravel(), minlength=items))
    more = replace(shown, shown=shown.shown + 1, satisfied=shown.satisfied + 1)
    before, after = (_figures(counted, *rows_BK.shape) for counted in (shown, more))
    return {name: float(np.abs(after[name] - before[name])) for name in before}


def _figures(shown: Exposure, lists: int, k: int) -> dict[str, Number]:
    """All figures; of the corrected ones, those whose ends for so many lists of k differ."""
    found = {f"{name}_{k}": measure(shown) for name, measure in PLAIN.items()}
    worst, best = extremes(lists, k, shown.items)
    for name, measure in CORRECTED.items():
        low, high = float(measure(worst)), float(measure(best))
        if abs(high - low) > 1e-12:
            found[f"{name}_{k}"] = (measure(shown) - low) / (high - low)
    return found


def extremes(lists: int, k: int, items: int) -> tuple[Exposure, Exposure]:
    """The least and the most even exposure that lists of k items can have."""
    worst, best = np.zeros(items, dtype=np.int64), np.full(items, lists * k // items)
    worst[:k] = lists
    best[: lists * k % items] += 1
    return Exposure.of(worst), Exposure.of(best)


def _log_product(count: np.ndarray) -> np.ndarray:
    return count * np.log(np.maximum(count, 1))
