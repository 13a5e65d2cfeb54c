"""The people an evaluation is over: what each has rated so far, and what is held out.

Only rows and ratings are kept; embeddings are gathered for a few people at a time, so that memory does not grow with
their number.

Shapes: B people, K history, T held out, N catalogue, D dimension.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prefprior.data.batch import History
from prefprior.data.ratings import RatingsTable
from prefprior.evaluation.predictor import Catalogue

Signed = Callable[[RatingsTable], np.ndarray]  # a table -> its ratings in [-1, 1]


def by_scale(table: RatingsTable) -> np.ndarray:
    """Ratings in [-1, 1] by the source's own scale."""
    return table.scale.signed(table.rating_N)


@dataclass(frozen=True, eq=False)
class People:
    """Histories (newest last) and held-out ratings as catalogue rows, -1 where a person has fewer."""

    users: list[str]
    catalogue: Catalogue
    item_BK: Tensor  # int64; valid entries come first
    rating_BK: Tensor
    seen_item_BS: Tensor  # int64, -1 padded: never candidates, whatever the history is changed to
    held_item_BT: Tensor  # int64, -1 padded
    held_rating_BT: Tensor

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of(
        cls, before: RatingsTable, after: RatingsTable, catalogue: Catalogue, signed: Signed = by_scale, cap: int = 512
    ) -> "People":
        """People with ratings in both tables: the histories are their `cap` newest ratings of the first.

        Both tables share the codes of users and, as items, the rows of the catalogue.
        """
        codes = np.intersect1d(before.user_N, after.user_N)
        past, held = _ragged(before, codes, signed), _ragged(after, codes, signed)
        newest = [(items[-cap:], ratings[-cap:]) for items, ratings in past]
        item_BK, rating_BK = _padded(newest)
        held_item_BT, held_rating_BT = _padded(held)
        return cls(
            users=[str(before.users[code]) for code in codes],
            catalogue=catalogue,
            item_BK=item_BK,
            rating_BK=rating_BK,
            seen_item_BS=_padded(past)[0],
            held_item_BT=held_item_BT,
            held_rating_BT=held_rating_BT,
        )

    @classmethod
    def halves(cls, table: RatingsTable, catalogue: Catalogue, signed: Signed = by_scale) -> "People":
        """Each person's first half is their history, the rest is held out; who has one rating is left out."""
        first = first_share(table, 0.5)
        return cls.of(table.take(np.flatnonzero(first)), table.take(np.flatnonzero(~first)), catalogue, signed)

    @property
    def valid_BK(self) -> Tensor:
        """Which history entries exist."""
        return self.item_BK >= 0

    @property
    def held_valid_BT(self) -> Tensor:
        """Which held-out entries exist."""
        return self.held_item_BT >= 0

    @property
    def held_liked_BT(self) -> Tensor:
        """Which held-out items were liked."""
        return self.held_valid_BT & (self.held_rating_BT > 0)

    @property
    def held_disliked_BT(self) -> Tensor:
        """Which held-out items were disliked."""
        return self.held_valid_BT & (self.held_rating_BT < 0)

    def history(self, length: int | None = None) -> History:
        """Everybody's `length` newest ratings (all if None), with embeddings."""
        count_B = self.valid_BK.sum(1)
        keep = self.item_BK.shape[1] if length is None else min(length, self.item_BK.shape[1])
        keep = min(keep, max(int(count_B.max()), 1)) if len(self) else keep
        # Entry j counts back from the newest: age j sits at position count - 1 - j.
        age_BK = torch.arange(keep).expand(len(self), keep)
        place_BK = count_B[:, None] - 1 - age_BK
        valid_BK = place_BK >= 0
        item_BK = self.item_BK.gather(1, place_BK.clamp_min(0)).masked_fill(~valid_BK, -1)
        embeddings_BKD = self.catalogue.embeddings_ND[item_BK.clamp_min(0)].float() * valid_BK[..., None]
        return History(
            embeddings_BKD=embeddings_BKD,
            ratings_BK=self.rating_BK.gather(1, place_BK.clamp_min(0)) * valid_BK,
            ages_BK=(age_BK * valid_BK).float(),
            valid_BK=valid_BK,
            items_BK=item_BK,
            users=self.users,
        )

    def held_embeddings(self) -> Tensor:
        """(B, T, D) raw embeddings of what is held out, 0 where padded."""
        rows_BT = self.held_item_BT.clamp_min(0)
        return self.catalogue.embeddings_ND[rows_BT].float() * self.held_valid_BT[..., None]

    def take(self, rows: Tensor) -> "People":
        """Some of the people, without padding that only the others needed."""
        picked = {
            name: getattr(self, name)[rows]
            for name in ("item_BK", "rating_BK", "seen_item_BS", "held_item_BT", "held_rating_BT")
        }
        for group in (("item_BK", "rating_BK"), ("seen_item_BS",), ("held_item_BT", "held_rating_BT")):
            width = max(int((picked[group[0]] >= 0).sum(1).max()), 1) if len(rows) else 1
            for name in group:
                picked[name] = picked[name][:, :width]
        return replace(self, users=[self.users[int(row)] for row in rows], **picked)

    def first(self, count: int) -> "People":
        """At most `count` of the people, spread evenly over them."""
        if count >= len(self):
            return self
        return self.take(torch.arange(count) * len(self) // count)

    def where(self, keep_BT: Tensor) -> "People":
        """Only some of what is held out; people left without any are dropped."""
        keep_BT = keep_BT & self.held_valid_BT
        order_BT = (~keep_BT).long().argsort(dim=1, stable=True)
        item_BT = self.held_item_BT.masked_fill(~keep_BT, -1).gather(1, order_BT)
        rating_BT = (self.held_rating_BT * keep_BT).gather(1, order_BT)
        left = replace(self, held_item_BT=item_BT, held_rating_BT=rating_BT)
        return left.take(keep_BT.any(1).nonzero()[:, 0])

    def chunks(self, scores: int = 1 << 25, floats: int = 1 << 26) -> Iterator["People"]:
        """Groups of people with at most `scores` scores over the catalogue and `floats` numbers of history."""
        width = self.item_BK.shape[1] * self.catalogue.space.dim
        size = max(1, min(scores // max(len(self.catalogue), 1), floats // max(width, 1)))
        for start in range(0, len(self), size):
            yield self.take(torch.arange(start, min(start + size, len(self))))


def first_share(table: RatingsTable, share: float) -> np.ndarray:
    """(N,) which ratings are among the first `share` of their person's (rounded up, but never all of several)."""
    place, count = _places(table.user_N)
    most = np.maximum(count - 1, 1)
    return place < np.minimum(np.ceil(share * count), most)


def first_count(table: RatingsTable, shots: int) -> np.ndarray:
    """(N,) which ratings are among the first `shots` of their person's."""
    return _places(table.user_N)[0] < shots


def _places(user_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each rating's place among its person's ratings, and how many they have; the table's order is kept."""
    order = np.argsort(user_N, kind="stable")
    ordered = user_N[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, dtype=int)
    counts = np.diff(np.r_[starts, len(ordered)])
    place, count = np.empty(len(user_N), dtype=np.int64), np.empty(len(user_N), dtype=np.int64)
    place[order] = np.arange(len(ordered)) - np.repeat(starts, counts)
    count[order] = np.repeat(counts, counts)
    return place, count


def _ragged(table: RatingsTable, codes: np.ndarray, signed: Signed) -> list[tuple[np.ndarray, np.ndarray]]:
    values = signed(table)
    order = np.argsort(table.user_N, kind="stable")
    ordered = table.user_N[order]
    low, high = np.searchsorted(ordered, codes, "left"), np.searchsorted(ordered, codes, "right")
    return [(table.item_N[order[a:b]], values[order[a:b]]) for a, b in zip(low, high, strict=True)]


def _padded(rows: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
    width = max((len(items) for items, _ in rows), default=1)
    item = np.full((len(rows), max(width, 1)), -1, dtype=np.int64)
    rating = np.zeros((len(rows), max(width, 1)), dtype=np.float32)
    for b, (items, ratings) in enumerate(rows):
        item[b, : len(items)], rating[b, : len(items)] = items, ratings
    return torch.from_numpy(item), torch.from_numpy(rating)
