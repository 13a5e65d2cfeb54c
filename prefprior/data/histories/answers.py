"""A user's answers: what histories and targets are drawn from. A rating is one row of the table, a question several.

A draw takes an answer as a whole, so a question is never both history and target. The target of a question is one of
the items that were picked; a question of which nothing was picked is no target.

Shapes: N rows, A answers of all users, B users in a batch, X places in a user's answers, K rows of a history, P rows
that may be targets, E answers that may be.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prefprior.data.hashing import mix
from prefprior.ratings import starts_answer


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers of many users end to end, in the order of their rows."""

    start_A: np.ndarray  # int64: its first row
    size_A: np.ndarray  # int64: how many rows
    first_U: np.ndarray  # int64: the first answer of each user
    count_U: np.ndarray  # int64
    past_U: np.ndarray  # int64: how many of them may only be history
    target_row_P: np.ndarray  # int64
    first_target_A: np.ndarray  # int64: where an answer's rows begin in `target_row_P`
    targets_A: np.ndarray  # int64: how many rows of an answer may be targets

    @classmethod
    def of(
        cls, start_U: np.ndarray, count_U: np.ndarray, past_U: np.ndarray, question_N: np.ndarray, passed_N: np.ndarray
    ) -> "Answers":
        """From users' rows, where the items of a question are adjacent."""
        user_N = np.repeat(np.arange(len(count_U)), count_U)
        begins_N = starts_answer(user_N, question_N)
        start_A = np.flatnonzero(begins_N)
        count = np.bincount(user_N[start_A], minlength=len(count_U)).astype(np.int64)
        before_N = np.append(0, begins_N.cumsum())
        target_N = np.append(0, (~passed_N).cumsum())
        end_A = np.append(start_A[1:], len(question_N))
        return cls(
            start_A=start_A,
            size_A=end_A - start_A,
            first_U=np.cumsum(count) - count,
            count_U=count,
            past_U=before_N[start_U + past_U] - before_N[start_U],
            target_row_P=np.flatnonzero(~passed_N),
            first_target_A=target_N[start_A],
            targets_A=target_N[end_A] - target_N[start_A],
        )

    def of_users(self, user_B: np.ndarray, cap: int, alone_B: np.ndarray) -> "DrawnFrom":
        """What a draw for some users needs to know; `cap` is the most rows of a history, and the histories of `alone_B`
        are without what was passed over."""
        first_B, count_B = self.first_U[user_B], self.count_U[user_B]
        rows_B = self._row_end(first_B, count_B) - self.start_A[np.minimum(first_B, len(self.start_A) - 1)]
        rows_B = np.where(alone_B, self._not_passed_A[first_B + count_B] - self._not_passed_A[first_B], rows_B)
        # A history of so many answers is about as long as it may be. What does not fit is cut afterwards.
        fits_B = np.ceil(cap * np.maximum(count_B, 1) / np.maximum(rows_B, 1)).astype(np.int64)
        skipped_B = self._able_before_A[first_B + self.past_U[user_B]]
        able_B = self._able_before_A[first_B + count_B] - skipped_B
        return DrawnFrom(first_B, fits_B, self.targets_A, self._able_E, skipped_B, able_B)

    @cached_property
    def _able_E(self) -> np.ndarray:
        """(E,) the answers that may be targets."""
        return np.flatnonzero(self.targets_A > 0)

    @cached_property
    def _able_before_A(self) -> np.ndarray:
        """(A + 1,) how many of them come before each."""
        return np.append(0, (self.targets_A > 0).cumsum())

    def history_rows(
        self, user_B: np.ndarray, place_BX: np.ndarray, row_B: np.ndarray, cap: int, alone_B: np.ndarray | None = None
    ) -> np.ndarray:
        """(B, K) rows, counted from `row_B`, of the answers at these places (-1: none); -1 beyond.

        At most `cap` of them: an answer that does not fit is left out with all after it. Those of `alone_B` are without
        what was passed over.
        """
        answer_BX = self.first_U[user_B][:, None] + np.maximum(place_BX, 0)
        alone_BX = np.broadcast_to(False if alone_B is None else alone_B[:, None], answer_BX.shape)
        size_BX = np.where(alone_BX, self.targets_A[answer_BX], self.size_A[answer_BX])
        size_BX = np.where(place_BX >= 0, size_BX, 0)
        end_BX = size_BX.cumsum(1)
        size_BX = np.where((end_BX <= cap) & (np.cumsum(place_BX < 0, axis=1) == 0), size_BX, 0)
        total_B = size_BX.sum(1)
        row_BK = np.full((len(user_B), max(int(total_B.max(initial=0)), 1)), -1, dtype=np.int64)
        size_X = size_BX.ravel()
        within = np.arange(size_X.sum()) - np.repeat(np.cumsum(size_X) - size_X, size_X)
        start_BX = np.where(alone_BX, self.first_target_A[answer_BX], self.start_A[answer_BX])
        found_X, is_alone_X = np.repeat(start_BX.ravel(), size_X) + within, np.repeat(alone_BX.ravel(), size_X)
        found_X[is_alone_X] = self.target_row_P[found_X[is_alone_X]]
        found_X -= np.repeat(row_B, total_B)
        row_BK[np.arange(row_BK.shape[1])[None] < total_B[:, None]] = found_X
        return row_BK

    @cached_property
    def _not_passed_A(self) -> np.ndarray:
        """(A + 1,) how many rows before each answer were not passed over."""
        return np.append(0, self.targets_A.cumsum())

    def target_rows(self, user_B: np.ndarray, place_BX: np.ndarray, row_B: np.ndarray, key_B: np.ndarray) -> np.ndarray:
        """(B, X) a row of each answer that may be a target, counted from `row_B`; -1 where there is none."""
        answer_BX = self.first_U[user_B][:, None] + np.maximum(place_BX, 0)
        count_BX = np.where(place_BX >= 0, self.targets_A[answer_BX], 0)
        drawn_BX = mix(key_B[:, None], answer_BX - self.first_U[user_B][:, None])
        which_BX = (drawn_BX % np.maximum(count_BX, 1).astype(np.uint64)).astype(np.int64)
        place = np.minimum(self.first_target_A[answer_BX] + which_BX, len(self.target_row_P) - 1)
        if not len(self.target_row_P):
            return np.full_like(place_BX, -1)
        return np.where(count_BX > 0, self.target_row_P[place] - row_B[:, None], -1)

    def _row_end(self, first_B: np.ndarray, count_B: np.ndarray) -> np.ndarray:
        last_B = np.maximum(first_B + count_B - 1, 0)
        return self.start_A[last_B] + self.size_A[last_B]


@dataclass(frozen=True, eq=False)
class DrawnFrom:
    """Some users' answers, as a draw sees them: which may be targets, and how many fit into a history."""

    first_B: np.ndarray
    fits_B: np.ndarray
    targets_A: np.ndarray
    able_E: np.ndarray
    skipped_B: np.ndarray  # how many answers that may be targets come before each user's first that is not past
    able_B: np.ndarray  # how many of a user's answers may be targets

    def may_be_target(self, place_BX: np.ndarray) -> np.ndarray:
        """(B, X) bool."""
        return (self.targets_A[self.first_B[:, None] + np.maximum(place_BX, 0)] > 0) & (place_BX >= 0)

    def place_of(self, rank_BX: np.ndarray) -> np.ndarray:
        """(B, X) the place of the rank-th answer that may be a target."""
        rank_BX = np.minimum(self.skipped_B[:, None] + rank_BX, max(len(self.able_E) - 1, 0))
        if not len(self.able_E):
            return np.zeros_like(rank_BX)
        return self.able_E[rank_BX] - self.first_B[:, None]
