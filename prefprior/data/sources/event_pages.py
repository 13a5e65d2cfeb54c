"""Pages of a log: items that a user was shown together, of which they clicked on some, or on none.

Shapes: E events, S items shown on pages.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from prefprior.data.columns.columns import Columns, absent


class Shown(NamedTuple):
    """What pages showed: one entry for each page and item."""

    row_S: np.ndarray  # int64: an event of it, the latest
    picked_S: np.ndarray  # bool


@dataclass(frozen=True, eq=False)
class Pages:
    """Which events belong to which page."""

    question_E: np.ndarray  # int64: a number for each user and page with several items, -1 elsewhere

    @classmethod
    def of(cls, columns: Columns, user_E: np.ndarray, item_E: np.ndarray, believed_E: np.ndarray) -> "Pages":
        """From the column `page`, if there is one. A page of a single item is no choice."""
        question_E = np.full(len(user_E), -1, dtype=np.int64)
        if "page" not in columns.values:
            return cls(question_E)
        page = columns.values["page"].dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
        # Of bots and bursts nothing is believed, and neither is what they were shown.
        acted_U = np.bincount(user_E[believed_E], minlength=int(user_E.max(initial=0)) + 1) > 0
        there = np.flatnonzero(~absent(columns.values["page"]) & acted_U[user_E])
        key = user_E[there].astype(np.int64) * (int(page.max(initial=0)) + 1) + page[there]
        _, number = np.unique(key, return_inverse=True)
        pairs = np.unique(np.stack([number, item_E[there]]), axis=1) if len(there) else np.zeros((2, 0), np.int64)
        items = np.bincount(pairs[0].astype(np.int64), minlength=int(number.max(initial=-1)) + 1)
        question_E[there] = np.where(items[number] > 1, number, -1)
        return cls(question_E)

    def shown(self, item_E: np.ndarray, said_E: np.ndarray) -> Shown:
        """Each item of each page, picked if what its events say there sums to more than 0."""
        on = np.flatnonzero(self.question_E >= 0)
        key = self.question_E[on] * (int(item_E.max(initial=0)) + 1) + item_E[on]
        distinct, of = np.unique(key, return_inverse=True)
        last = np.full(len(distinct), -1, dtype=np.int64)
        np.maximum.at(last, of, on)
        return Shown(last, np.bincount(of, weights=said_E[on], minlength=len(distinct)) > 0)
