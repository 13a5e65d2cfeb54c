"""Choices in the rows of a file: which rows are one question, and whether a question can be what it says.

Shapes: N rows, Q rows of questions in the order of their questions, A questions.
"""

from dataclasses import dataclass

import numpy as np

from prefprior.data.columns.columns import Columns, absent
from prefprior.data.columns.values import numbers
from prefprior.ratings import starts_answer


@dataclass(frozen=True, eq=False)
class Questions:
    """The rows of each question, which need not be adjacent in a file."""

    row_Q: np.ndarray  # int64: rows of one question stand together, in the order of the file
    begin_A: np.ndarray  # int64: where a question begins in `row_Q`
    size_A: np.ndarray  # int64
    rows: int  # of the file

    @classmethod
    def of(cls, columns: Columns, user_N: np.ndarray, item_N: np.ndarray, question_N: np.ndarray) -> "Questions":
        """Refuses questions that show fewer than two items, or one twice. Numbers below 0 are no questions."""
        asked = np.flatnonzero(question_N >= 0)
        row_Q = asked[np.lexsort((asked, question_N[asked], user_N[asked]))]
        begin_A = np.flatnonzero(starts_answer(user_N[row_Q], question_N[row_Q]))
        found = cls(row_Q, begin_A, np.diff(np.append(begin_A, len(row_Q))), len(user_N))
        single = row_Q[begin_A[found.size_A < 2]]
        if len(single):
            raise ValueError(
                f"{columns.some(np.sort(single))}: the question of user {columns.text('user', int(single.min()))} "
                "shows this item only. A question shows at least 2: write a row for each item that was shown, whether "
                "picked or passed over, or give the row a rating instead."
            )
        of_Q = np.repeat(np.arange(len(begin_A)), found.size_A)
        order = np.lexsort((row_Q, item_N[row_Q], of_Q))
        item_Q, same_Q = item_N[row_Q][order], of_Q[order]
        again = np.flatnonzero((item_Q[1:] == item_Q[:-1]) & (same_Q[1:] == same_Q[:-1])) + 1
        if len(again):
            rows = row_Q[order[[again[0] - 1, again[0]]]]
            raise ValueError(
                f"{columns.some(rows)}: the item {columns.text('item', int(rows[0]))} is shown twice in one question "
                f"of user {columns.text('user', int(rows[0]))} ({len(again)} such cases). Remove one of the rows."
            )
        return found

    def place(self) -> np.ndarray:
        """(N,) keys by which rows keep their order, with the rows of a question where its first is."""
        place_N = np.arange(self.rows, dtype=np.float64)
        of_Q = np.repeat(place_N[self.row_Q[self.begin_A]], self.size_A)
        within_Q = np.arange(len(self.row_Q)) - np.repeat(self.begin_A, self.size_A)
        place_N[self.row_Q] = of_Q + within_Q / (1.0 + self.size_A.max(initial=1))
        return place_N

    def answered(self, time_N: np.ndarray) -> np.ndarray:
        """(N,) times; those of a question are its latest: then it was answered. NaN where none is known."""
        time_N = time_N.copy()
        known_Q = np.nan_to_num(time_N[self.row_Q], nan=-np.inf)
        latest_A = np.maximum.reduceat(known_Q, self.begin_A)
        time_N[self.row_Q] = np.repeat(np.where(np.isinf(latest_A), np.nan, latest_A), self.size_A)
        return time_N

    def require_one_part(self, columns: Columns, part_N: np.ndarray | None) -> None:
        """Refuses questions that a source's own split divides."""
        if part_N is None:
            return
        part_Q, first_Q = part_N[self.row_Q], np.repeat(self.row_Q[self.begin_A], self.size_A)
        apart = np.flatnonzero(part_Q != part_N[first_Q])
        if len(apart):
            row, first = self.row_Q[apart[0]], first_Q[apart[0]]
            one, other = str(part_N[first]), str(part_N[row])
            raise ValueError(
                f"{columns.some(np.asarray([first, row]))}: the split is {one!r} and {other!r} in one question of user "
                f"{columns.text('user', int(row))}. All rows of a question belong to one part."
            )


def numbered(user_N: np.ndarray, question_N: np.ndarray) -> np.ndarray:
    """(N,) int64 each user's questions as 0, 1, ... in the order of the rows (sorted by user); -1 for ratings."""
    begins_N = starts_answer(user_N, question_N) & (question_N >= 0)
    total_N = begins_N.cumsum()
    before_N = np.append(0, total_N)[np.searchsorted(user_N, user_N, side="left")]
    return np.where(question_N >= 0, total_N - 1 - before_N, -1).astype(np.int64)


def question_numbers(columns: Columns, named: dict[str, str]) -> np.ndarray:
    """(N,) a number for each id of a question, -1 for ratings; rows must be one or the other.

    `named` are the file's names of the columns.
    """
    names = [named[name] for name in ("question", "picked")]
    there = [name for name in ("question", "picked") if name in columns.values]
    if len(there) == 1:
        lacking = "picked" if there == ["question"] else "question"
        raise ValueError(
            f"{columns.path}: there is a column {named[there[0]]}, but no column {named[lacking]}. "
            "Choices need both: which rows were shown together, and which were picked. Add it, or remove the other."
        )
    if not there:
        return np.full(len(columns), -1, dtype=np.int64)
    asked_N = ~absent(columns.values["question"])
    picked_N = ~absent(columns.values["picked"])
    rating_N = ~absent(columns.values["rating"]) if "rating" in columns.values else np.zeros(len(columns), bool)
    for wrong_N, told in (
        (asked_N & ~picked_N, f"has a {names[0]}, but nothing in {names[1]}: write 1 if it was picked, else 0"),
        (picked_N & ~asked_N, f"has {names[1]}, but no {names[0]}: name the question, or give a rating instead"),
        (asked_N & rating_N, f"has both a rating and a {names[0]}: an item of a choice has {names[1]} instead"),
    ):
        if wrong_N.any():
            raise ValueError(f"{columns.some(np.flatnonzero(wrong_N))}: the row {told}.")
    value_N = numbers(columns, "picked")
    if (wrong_N := asked_N & ~np.isin(value_N, (0, 1))).any():
        rows = np.flatnonzero(wrong_N)
        raise ValueError(
            f"{columns.some(rows)}: picked is {columns.text('picked', int(rows[0]))}; it must be 1 if the item was "
            "picked and 0 if it was passed over. Correct these rows."
        )
    codes = columns.values["question"].dictionary_encode().indices.fill_null(-1)
    return codes.to_numpy(zero_copy_only=False).astype(np.int64)
