"""Which ratings are for training, which for validation and which for the test: by hash or by the source's own word.

Every rating belongs to exactly one part, and so does every choice with all that it shows. New ratings, users or
pictures never move old ones from part to part.
"""

from collections.abc import Iterable

import numpy as np

from prefprior.data.hashing import fraction, id_hashes
from prefprior.errors import require_choice
from prefprior.nodes import Loadable
from prefprior.ratings import DRAWN, RatingsTable

WAYS = ("auto", "user", "item", "time", "source")


def belongs(part: str, name: str) -> bool:
    """Whether a part is meant by a name: "val" and "test" stand for all parts whose names begin so."""
    return part == name or (name in ("val", "test") and part.startswith(name))


def in_order(parts: Iterable[str]) -> list[str]:
    """Training first, then validation."""
    return sorted(map(str, parts), key=lambda part: (part != "train", not part.startswith("val"), part))


class Splits(Loadable):
    """A rule that names the part of each rating."""

    def __init__(
        self,
        *,
        by: str = "auto",
        val: float = 0.1,
        test: float = 0.1,
        seed: int = 0,
        fold: int = 0,
        val_from: float | None = None,
        test_from: float | None = None,
    ) -> None:
        """`by`: "user" (unseen users), "item" (unseen pictures), "time" (what came after), "source" (its own split),
        "auto" (the source's own where it has one, by user otherwise). `val` and `test` are shares of users or
        pictures; the folds 0, 1, ... of one `seed`, 1 / `test` of them, have disjoint test parts; `val_from` and
        `test_from` are seconds since 1970."""
        self.by = require_choice("splits.by", by, WAYS)
        if min(val, test) < 0 or val + test >= 1:
            raise ValueError(
                f"splits.val and splits.test are shares and must leave some ratings for training, got {val} and {test}"
            )
        folds = int(1 / test + 1e-9) if test else 1
        if not 0 <= fold < folds:
            raise ValueError(f"splits.fold is {fold}, but with splits.test={test} there are {folds} folds, from 0")
        self.val, self.test, self.seed, self.fold = val, test, seed, fold
        self.val_from, self.test_from = val_from, test_from

    def parts(self, table: RatingsTable) -> np.ndarray:
        """The name of each rating's part, (N,) str."""
        by = self.by
        if by == "auto":
            by = "source" if table.part_N is not None and not np.isin(table.part_N, ("", DRAWN)).all() else "user"
        if self.fold and (by == "time" or (by == "source" and not _drawn_N(table).any())):
            raise ValueError(f"splits.fold={self.fold} has no effect with splits.by={by}: choose by=user or by=item")
        if by == "source":
            parts = self._own(table)
        elif by == "time":
            parts = self._by_time(table)
        elif by == "user":
            parts = self._drawn(table.people_U, "user")[table.user_N]
        else:
            parts = _whole_questions(table, self._drawn(table.items, "item")[table.item_N])
        if not (parts == "train").any():
            names = sorted(set(np.unique(parts)))
            raise ValueError(
                f"splits.by={by} leaves no training data in {table.source} (parts: "
                f"{', '.join(names) or 'none'}). Choose another splits.by, smaller shares, or name a part "
                "`train` in the source."
            )
        return parts

    def _drawn(self, ids: np.ndarray, kind: str) -> np.ndarray:
        place = fraction(id_hashes((str(i) for i in ids), salt=f"{kind}/{self.seed}"))
        place = (place - self.fold * self.test) % 1
        parts = np.full(len(ids), "train", dtype="<U8")
        parts[place < self.test + self.val] = "val"
        parts[place < self.test] = "test"
        return parts

    def _by_time(self, table: RatingsTable) -> np.ndarray:
        time = table.time_N
        if time is None or np.isnan(time).any():
            unknown = len(table) if time is None else int(np.isnan(time).sum())
            raise ValueError(
                f"splits.by=time needs a time for every rating, but {unknown} of {len(table)} ratings of "
                f"{table.source} have none. Choose splits.by=user or splits.by=item."
            )
        if self.val_from is None or self.test_from is None or self.val_from > self.test_from:
            late = np.quantile(time, [1 - self.val - self.test, 1 - self.test])
            # Never chosen silently: quantiles move with every new rating, and old ratings between parts with them.
            raise ValueError(
                "splits.by=time needs splits.val_from <= splits.test_from in seconds since 1970. For these "
                f"ratings, the requested shares need splits.val_from={late[0]:.0f} "
                f"splits.test_from={late[1]:.0f}"
            )
        parts = np.full(len(table), "train", dtype="<U8")
        parts[time >= self.val_from] = "val"
        parts[time >= self.test_from] = "test"
        return parts

    def _own(self, table: RatingsTable) -> np.ndarray:
        if table.part_N is None or (table.part_N == "").all():
            raise ValueError(f"{table.source} has no split of its own. Choose splits.by=user, item or time.")
        own = np.where(table.part_N == "", "train", table.part_N)
        if self.val > 0 and not any(str(name).startswith("val") for name in np.unique(own)):
            # Early stopping needs validation data: some training users are set aside, never users of the test part.
            place = fraction(id_hashes((str(u) for u in table.people_U), salt=f"user/{self.seed}"))
            tested = np.zeros(len(table.users), dtype=bool)
            tested[table.user_N[own != "train"]] = True
            carved = (place < self.val) & ~tested
            own = np.where((own == "train") & carved[table.user_N], "val", own)
        if (drawn_N := _drawn_N(table)).any():
            own = np.where(drawn_N, self._drawn(table.people_U, "user")[table.user_N], own)
        return own


def _drawn_N(table: RatingsTable) -> np.ndarray:
    """Which rows a source with a split of its own leaves to us."""
    return np.zeros(len(table), dtype=bool) if table.part_N is None else table.part_N == DRAWN


def _whole_questions(table: RatingsTable, parts: np.ndarray) -> np.ndarray:
    """Questions that show a picture of the test part belong to it, and others that show one of the validation part to
    that: no picture of either is shown in training."""
    if table.question_N is None:
        return parts
    rank_N = (parts == "val") + 2 * (parts == "test")
    return np.asarray(["train", "val", "test"])[table.over_answers(np.maximum, rank_N)]
