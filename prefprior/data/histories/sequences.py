"""Each user's ratings and choices in order.

Shapes: N rows, U users.
"""

from dataclasses import dataclass, replace

import numpy as np

from prefprior.data.hashing import id_hashes
from prefprior.data.histories.answers import Answers
from prefprior.ratings import RatingScale, RatingsTable

OPTIONAL = ("question_N", "shown_N", "propensity_N")  # columns that not every source has


@dataclass(frozen=True, eq=False)
class Sequences:
    """Ratings of many users laid end to end; within a user first those that may only be history, then by time."""

    users: list[str]
    start_U: np.ndarray  # int64: where a user's ratings begin
    count_U: np.ndarray  # int64
    past_U: np.ndarray  # int64: how many of them may only be history
    hash_U: np.ndarray  # uint64: of the user's id
    item_N: np.ndarray  # int32: rows of the catalogue
    rating_N: np.ndarray  # float32, on the source's scale
    question_N: np.ndarray | None = None  # int64: the user's own number of a choice, -1 for a rating
    shown_N: np.ndarray | None = None  # bool
    propensity_N: np.ndarray | None = None  # float32
    vector_N: np.ndarray | None = None  # rows of the table of embeddings, where those are not the catalogue's

    @classmethod
    def of(cls, targets: RatingsTable, past: RatingsTable | None = None) -> "Sequences":
        """The users of `targets`; those who have ratings in `past` take their history from there alone."""
        present = np.unique(targets.user_N)
        row_N = np.concatenate([np.arange(len(targets)), np.arange(len(past) if past is not None else 0)])
        old_N = np.arange(len(row_N)) >= len(targets)
        user_N = np.concatenate([targets.user_N, past.user_N if past is not None else targets.user_N[:0]])
        keep = ~old_N | np.isin(user_N, present)
        row_N, old_N, user_N = row_N[keep], old_N[keep], user_N[keep]
        order = np.lexsort((row_N, ~old_N, user_N))  # tables are in time order already
        row_N, old_N, user_N = row_N[order], old_N[order], user_N[order]

        def column(name: str) -> np.ndarray:
            new = getattr(targets, name)
            both = new if past is None else np.concatenate([new, getattr(past, name)])
            return both[row_N + np.where(old_N, len(targets), 0)]

        code_N = np.searchsorted(present, user_N)
        count = np.bincount(code_N, minlength=len(present)).astype(np.int64)
        users = [str(u) for u in targets.users[present]]
        return cls(
            users=users,
            start_U=np.cumsum(count) - count,
            count_U=count,
            past_U=np.bincount(code_N, weights=old_N, minlength=len(present)).astype(np.int64),
            hash_U=id_hashes(users),
            item_N=column("item_N"),
            rating_N=column("rating_N"),
            **{name: column(name) for name in OPTIONAL if getattr(targets, name) is not None},
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def rated_N(self) -> np.ndarray:
        """(N,) bool: which are ratings."""
        return np.ones(len(self.item_N), dtype=bool) if self.question_N is None else self.question_N < 0

    def liked_N(self, scale: RatingScale) -> np.ndarray:
        """(N,) bool: which are likes by the source's threshold, or picked."""
        if self.question_N is None:
            return np.ones(len(self.item_N), dtype=bool) if scale.liked_only else self.rating_N >= scale.likes_from
        liked_N = self.rated_N if scale.liked_only else self.rating_N >= scale.likes_from
        return np.where(self.rated_N, liked_N, scale.is_pick(self.rating_N))

    def answers(self, scale: RatingScale) -> Answers | None:
        """What histories and targets are drawn from; None where every row is a rating."""
        if self.question_N is None:
            return None
        passed_N = ~self.rated_N & ~scale.is_pick(self.rating_N)
        return Answers.of(self.start_U, self.count_U, self.past_U, self.question_N, passed_N)

    def only_ratings(self) -> "Sequences":
        """The same users without their choices."""
        if self.question_N is None:
            return self
        kept = np.flatnonzero(self.rated_N)
        before_N = np.append(0, self.rated_N.cumsum())
        end_U = self.start_U + self.count_U
        columns = {name: column[kept] for name in OPTIONAL if (column := getattr(self, name)) is not None}
        return replace(
            self,
            start_U=before_N[self.start_U],
            count_U=before_N[end_U] - before_N[self.start_U],
            past_U=before_N[self.start_U + self.past_U] - before_N[self.start_U],
            item_N=self.item_N[kept],
            rating_N=self.rating_N[kept],
            vector_N=None if self.vector_N is None else self.vector_N[kept],
            **{**columns, "question_N": None},
        )

    def first_ratings(self, most: int) -> "Sequences":
        """The first users in the order of their hashes, as many as have at most `most` ratings; all where that is
        all."""
        if len(self.item_N) <= most:
            return self
        order = np.argsort(self.hash_U, kind="stable")
        chosen = order[: np.searchsorted(np.cumsum(self.count_U[order]), most, side="right")]
        count_U, start_U = self.count_U[chosen], self.start_U[chosen]
        rows_N = np.arange(count_U.sum()) + np.repeat(start_U - (np.cumsum(count_U) - count_U), count_U)
        return Sequences(
            users=[self.users[user] for user in chosen],
            start_U=np.cumsum(count_U) - count_U,
            count_U=count_U,
            past_U=self.past_U[chosen],
            hash_U=self.hash_U[chosen],
            item_N=self.item_N[rows_N],
            rating_N=self.rating_N[rows_N],
            **{name: column[rows_N] for name in OPTIONAL if (column := getattr(self, name)) is not None},
        )
