"""Intervals of means over users by resampling users, and paired differences between predictors.

Shapes: B users, R resamples.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """A mean over users, its 95 % interval, and how many users it is over."""

    value: float
    low: float
    high: float
    people: int


def weights(people: int, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """(R, B) how often each user is drawn; the same seed pairs the resamples of different predictors."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(people, np.full(people, 1 / people), size=resamples).astype(np.float32)


def interval(values_B: Tensor | np.ndarray, weights_RB: np.ndarray) -> Figure | None:
    """The mean over users for whom the value is defined (not NaN), with its interval; None if there are none."""
    values = np.asarray(values_B, dtype=np.float64)
    defined = np.isfinite(values)
    if not defined.any():
        return None
    drawn_RB = weights_RB[:, defined]
    total_R = drawn_RB.sum(1)
    # Counted from the first value, so that equal values have exactly their mean, however sums are rounded.
    origin = float(values[defined][0])
    from_origin = values[defined] - origin
    means_R = origin + (drawn_RB @ from_origin)[total_R > 0] / total_R[total_R > 0]
    low, high = np.quantile(means_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(origin + float(from_origin.mean()), float(low), float(high), int(defined.sum()))


def difference(first_B: Tensor | np.ndarray, second_B: Tensor | np.ndarray, weights_RB: np.ndarray) -> Figure | None:
    """The mean of first - second over users who have both, with its interval: a paired comparison."""
    return interval(np.asarray(first_B, dtype=np.float64) - np.asarray(second_B, dtype=np.float64), weights_RB)
