"""Jackknife intervals of figures that are not means over users, and of their paired differences.

Shapes: B users.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from prefprior.evaluation.protocol.bootstrap import LEVEL, Figure


@dataclass(frozen=True, eq=False)
class Jackknife:
    """A figure of all users together, and the same figure without each user in turn.

    Such a figure depends on the number of users: coverage grows with it. A bootstrap draws some users twice, so it
    would measure the figure on fewer users, and its interval would be biased. The jackknife repeats no user. On average
    its variance is never below the true one (Efron & Stein 1981, doi:10.1214/aos/1176345462).
    """

    value: float
    without_B: np.ndarray
    step: float = 0.0  # by which the figure moves, if it is discrete: half of it is the continuity correction
    low: float = 0.0  # the least and the greatest value that is possible
    high: float = 1.0

    @property
    def figure(self) -> Figure:
        """The 95 % interval of the figure's expectation over other samples of as many users."""
        count = len(self.without_B)
        variance = (count - 1) / count * ((self.without_B - self.without_B.mean()) ** 2).sum()
        half = float(t.ppf((1 + LEVEL) / 2, count - 1) * variance**0.5) + self.step / 2
        # Rounding may put a value beyond `low` or `high`. It lies in its interval all the same.
        low = min(max(self.value - half, self.low), self.value)
        high = max(min(self.value + half, self.high), self.value)
        return Figure(self.value, low, high, count)

    def __sub__(self, other: "Jackknife") -> "Jackknife":
        """The paired difference: each user is left out of both figures at once. Both are of the same users in the same
        order."""
        assert len(self.without_B) == len(other.without_B), "a paired difference is of the same users"
        return Jackknife(
            self.value - other.value,
            self.without_B - other.without_B,
            step=max(self.step, other.step),
            low=self.low - other.high,
            high=self.high - other.low,
        )
