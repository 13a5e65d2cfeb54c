"""A validated table of ratings: the common format of all sources.

Shapes: N ratings, U users, I items.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class RatingScale:
    """The scale a source rates on, and from which value on a rating counts as a like."""

    low: float
    high: float
    likes_from: float
    liked_only: bool = False  # every rating is a like: nothing is known of dislikes

    def __post_init__(self) -> None:
        if not self.low <= self.likes_from <= self.high:
            raise ValueError(f"a scale needs low <= likes_from <= high, got {self.low}, {self.likes_from}, {self.high}")

    def signed(self, rating: np.ndarray) -> np.ndarray:
        """Ratings on [-1, 1]; a liked-only source is all 1."""
        if self.liked_only or self.high == self.low:
            return np.ones_like(rating, dtype=np.float32)
        return (2 * (rating - self.low) / (self.high - self.low) - 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class RatingsTable:
    """Ratings in columns; users and items are codes into `users` and `items`. Absent is absent: never 0.

    `part_N` holds the source's own split ("train", "val", "test", or a finer name), "" where it says nothing.
    `pair_N` ties the two ratings of one paired comparison (Pick-a-Pic): equal non-negative codes, -1 for none.
    `shown_N` says which pictures were shown to the user by somebody else's choice; the user looked for the others.
    `propensity_N` is the probability in (0, 1] with which each rating came to be observed.
    `time_N` is in seconds since 1970, NaN where unknown. Ratings are sorted by (user, time, order in the file).
    """

    source: str
    scale: RatingScale
    users: np.ndarray  # (U,) str
    items: np.ndarray  # (I,) str
    user_N: np.ndarray  # int32
    item_N: np.ndarray  # int32
    rating_N: np.ndarray  # float32, on the source's scale
    time_N: np.ndarray | None = None  # float64
    part_N: np.ndarray | None = None  # str
    pair_N: np.ndarray | None = None  # int32
    shown_N: np.ndarray | None = None  # bool
    propensity_N: np.ndarray | None = None  # float32
    counts: dict[str, int] = field(default_factory=dict)  # what was set aside on the way in, by reason
    facts: dict[str, Any] = field(default_factory=dict)  # anything a source knows beyond ratings (JSON-able)

    def __len__(self) -> int:
        return len(self.user_N)

    @property
    def liked_N(self) -> np.ndarray:
        """Which ratings are likes."""
        return self.rating_N >= self.scale.likes_from

    def take(self, rows: np.ndarray) -> "RatingsTable":
        """A table of some rows; users and items keep their codes."""

        def pick(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[rows]

        return RatingsTable(
            source=self.source, scale=self.scale, users=self.users, items=self.items,
            user_N=self.user_N[rows], item_N=self.item_N[rows], rating_N=self.rating_N[rows],
            time_N=pick(self.time_N), part_N=pick(self.part_N), pair_N=pick(self.pair_N),
            shown_N=pick(self.shown_N), propensity_N=pick(self.propensity_N),
            counts=self.counts, facts=self.facts,
        )  # fmt: skip
