"""Which of many differences are there: paired tests over users, corrected for how many comparisons are made."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t


def paired_p(difference_B: np.ndarray) -> float:
    """The two-sided p value of a mean difference of 0 over users who have one (not NaN), by the t-test."""
    known = difference_B[~np.isnan(difference_B)]
    if len(known) < 2:
        return 1.0
    mean, error = known.mean(), known.std(ddof=1) / np.sqrt(len(known))
    # What all users have alike, but for rounding, is no estimate of how users differ.
    if error <= 1e-12 * abs(mean):
        return 0.0 if mean else 1.0
    return float(2 * t.sf(abs(mean) / error, len(known) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted so that all below a level may be believed together (Holm 1979): each is multiplied by the
    number of those that are not smaller, and is at least the adjusted one of every smaller."""
    adjusted, reached = [1.0] * len(p_values), 0.0
    for smaller, place in enumerate(np.argsort(p_values, kind="stable")):
        reached = max(reached, min((len(p_values) - smaller) * p_values[place], 1.0))
        adjusted[place] = reached
    return adjusted
