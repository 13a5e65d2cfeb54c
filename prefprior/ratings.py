"""A validated table of ratings: the common format of all sources.

Shapes: N ratings, U users, I items.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

DRAWN = "drawn"  # the part of a row whose user the splits assign, by the hash of the person


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

    def is_pick(self, rating: np.ndarray) -> np.ndarray:
        """Of items that were shown for a choice, which were picked."""
        return rating > (self.low + self.high) / 2

    def as_chosen(self, picked: np.ndarray) -> np.ndarray:
        """What stands in the place of ratings for items of a choice."""
        return np.where(picked, self.high, self.low)


@dataclass(frozen=True, eq=False)
class RatingsTable:
    """Ratings and choices in columns; users and items are codes into `users` and `items`. Absent is absent: never 0.

    `part_N` holds the source's own split ("train", "val", "test", or a finer name), "" where it says nothing, and
    `DRAWN` where it leaves the part to the splits although other rows have one: they draw it by the hash of the person.
    `question_N` ties the items that were shown together for one choice: equal non-negative numbers, the user's own, on
    adjacent rows; -1 for a rating. The "rating" of such a row is the top of the scale if the item was picked and the
    bottom if it was passed over, which says less than a dislike does.
    `shown_N` says which pictures were shown to the user by somebody else's choice; the user looked for the others.
    `propensity_N` is the probability in (0, 1] with which each rating came to be observed.
    `person_U` says whose users these are, where a person may be several: splits keep a person's users together.
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
    question_N: np.ndarray | None = None  # int64
    shown_N: np.ndarray | None = None  # bool
    propensity_N: np.ndarray | None = None  # float32
    person_U: np.ndarray | None = None  # (U,) str
    counts: dict[str, int] = field(default_factory=dict)  # what was set aside on the way in, by reason
    facts: dict[str, Any] = field(default_factory=dict)  # anything a source knows beyond ratings (JSON-able)

    def __len__(self) -> int:
        return len(self.user_N)

    @property
    def people_U(self) -> np.ndarray:
        """(U,) the person that each user is: themselves, where the source says nothing else."""
        return self.users if self.person_U is None else self.person_U

    @property
    def liked_N(self) -> np.ndarray:
        """Which rows are likes: ratings from the threshold on, and what was picked."""
        liked_N = self.rating_N >= self.scale.likes_from
        return liked_N if self.question_N is None else np.where(self.question_N >= 0, self.picked_N, liked_N)

    @property
    def rated_N(self) -> np.ndarray:
        """Which rows are ratings, and not items of a choice."""
        return np.ones(len(self), dtype=bool) if self.question_N is None else self.question_N < 0

    @property
    def picked_N(self) -> np.ndarray:
        """Which rows are items that were picked among others."""
        return ~self.rated_N & self.scale.is_pick(self.rating_N)

    @property
    def passed_N(self) -> np.ndarray:
        """Which rows are items that were passed over: shown for a choice, and not picked."""
        return ~self.rated_N & ~self.scale.is_pick(self.rating_N)

    @property
    def starts_answer_N(self) -> np.ndarray:
        """Which rows begin an answer: every rating does, and the first item of a question."""
        if self.question_N is None:
            return np.ones(len(self), dtype=bool)
        return starts_answer(self.user_N, self.question_N)

    def over_answers(self, reduce: np.ufunc, value_N: np.ndarray) -> np.ndarray:
        """(N,) for each row the values of its whole answer, reduced to one, such as by `np.maximum`."""
        begins = np.flatnonzero(self.starts_answer_N)
        return np.repeat(reduce.reduceat(value_N, begins), np.diff(np.append(begins, len(self))))

    def as_ratings(self) -> "RatingsTable":
        """Without questions: a pick is a rating at the top of the scale, and what was passed over is left out.

        What a predictor learns from that knows ratings only.
        """
        if self.question_N is None:
            return self
        return replace(self.take(np.flatnonzero(~self.passed_N)), question_N=None)

    def rows_of(self, users: Sequence[str]) -> dict[str, np.ndarray]:
        """The rows of some users; a table is sorted by user."""
        code = {str(self.users[code]): code for code in np.unique(self.user_N)}
        return {user: np.arange(*np.searchsorted(self.user_N, [code[user], code[user] + 1])) for user in users}

    def take(self, rows: np.ndarray) -> "RatingsTable":
        """A table of some rows; users and items keep their codes."""

        def pick(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[rows]

        return RatingsTable(
            source=self.source, scale=self.scale, users=self.users, items=self.items,
            user_N=self.user_N[rows], item_N=self.item_N[rows], rating_N=self.rating_N[rows],
            time_N=pick(self.time_N), part_N=pick(self.part_N), question_N=pick(self.question_N),
            shown_N=pick(self.shown_N), propensity_N=pick(self.propensity_N), person_U=self.person_U,
            counts=self.counts, facts=self.facts,
        )  # fmt: skip


def starts_answer(user_N: np.ndarray, question_N: np.ndarray) -> np.ndarray:
    """(N,) which rows begin an answer, where the items of a question are adjacent."""
    begins_N = np.ones(len(question_N), dtype=bool)
    begins_N[1:] = (question_N[1:] < 0) | (question_N[1:] != question_N[:-1]) | (user_N[1:] != user_N[:-1])
    return begins_N
