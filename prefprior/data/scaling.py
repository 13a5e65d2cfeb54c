"""Ratings of different users on one scale from -1 (hated) to 1 (loved).

A user's centre and standard deviation are estimated from the history that a predictor sees and from nothing else, in
training and in use alike: a target never has a part in the scale it is measured on.
Shapes: B users, K history, X any number of ratings.
"""

from dataclasses import dataclass

import numpy as np

from prefprior.errors import require_choice
from prefprior.nodes import Loadable
from prefprior.ratings import RatingScale, RatingsTable


@dataclass(frozen=True)
class PersonScale:
    """Turns raw ratings into comparable ones; `centre` and `std` are the population's."""

    scale: RatingScale
    how: str
    weight: float
    centre: float
    std: float

    def signed(self, rating_BX: np.ndarray, history_BK: np.ndarray, valid_BK: np.ndarray) -> np.ndarray:
        """Raw ratings on [-1, 1], scaled by the raw histories of their users."""
        if self.how == "scale" or self.scale.liked_only or self.std == 0:
            return np.clip(self.scale.signed(rating_BX), -1, 1)
        # Shrunk towards the population (a conjugate normal prior worth `weight` ratings): three ratings say little.
        raw = np.where(valid_BK, history_BK, 0.0).astype(np.float64)
        n = valid_BK.sum(1, keepdims=True)
        centre = (raw.sum(1, keepdims=True) + self.weight * self.centre) / (n + self.weight)
        squares = (np.where(valid_BK, raw - centre, 0.0) ** 2).sum(1, keepdims=True)
        std = np.sqrt((squares + self.weight * self.std**2) / (n + self.weight))
        return np.clip((rating_BX - centre) / (std * self._reach), -1, 1).astype(np.float32)

    @property
    def _reach(self) -> float:
        # How many standard deviations reach the end of the scale: 1 for balanced likes and dislikes, 2 at most on finer
        # scales.
        ends = max(self.scale.high - self.centre, self.centre - self.scale.low)
        return min(2.0, ends / self.std)


class RatingScaling(Loadable):
    """The choice of how ratings are made comparable between users."""

    def __init__(self, *, how: str = "person", weight: float = 5.0) -> None:
        """`how`: "person" (own centre and standard deviation, shrunk by `weight` ratings to everybody's) or "scale"
        (linear)."""
        self.how = require_choice("scaling.how", how, ("person", "scale"))
        if not weight > 0:
            raise ValueError(f"scaling.weight must be above 0, got {weight}")
        self.weight = weight

    def fit(self, training: RatingsTable) -> PersonScale:
        """Estimates the population's centre and standard deviation on the training ratings."""
        if len(training) == 0:
            raise ValueError("there are no training ratings from which to estimate a rating scale")
        rating = training.rating_N[training.rated_N].astype(np.float64)
        if len(rating) == 0:  # choices only: there is nothing to make comparable
            return PersonScale(training.scale, self.how, self.weight, (training.scale.low + training.scale.high) / 2, 0)
        return PersonScale(training.scale, self.how, self.weight, float(rating.mean()), float(rating.std()))
