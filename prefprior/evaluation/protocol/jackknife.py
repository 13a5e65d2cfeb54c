"""Intervals of figures that are no means over users, by leaving users out one at a time.

Shapes: B users.
"""

import numpy as np
from scipy.stats import t

from prefprior.evaluation.protocol.bootstrap import LEVEL


def jackknife(
    value: float, without_B: np.ndarray, *, step: float = 0.0, low: float = 0.0, high: float = 1.0
) -> tuple[float, float]:
    """The 95 % interval of what `value` would be on average over other users, as many as these.

    Such a figure depends on how many users it is of: coverage grows with them. Resampling users with replacement would
    measure it on fewer, since some are drawn twice, and its interval would lie beside the value. Without each user in
    turn no list is there twice. The variance this gives is on average never below the true one (Efron & Stein 1981,
    doi:10.1214/aos/1176345462). Half a `step` is the continuity correction of a figure that moves in steps; `low` and
    `high` are the ends of what is possible.
    """
    count = len(without_B)
    variance = (count - 1) / count * ((without_B - without_B.mean()) ** 2).sum()
    half = float(t.ppf((1 + LEVEL) / 2, count - 1) * variance**0.5) + step / 2
    # The ends themselves may be off by rounding, and the value lies in its interval whatever they are.
    return min(max(value - half, low), value), max(min(value + half, high), value)
