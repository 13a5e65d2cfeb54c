"""The users an evaluation is over: what each has rated so far, and what is held out.

Only rows and ratings are kept; embeddings are gathered for a few users at a time, so that memory does not grow with
their number.

Shapes: B users, K history, T held out, N catalogue, D dimension.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prefprior.data.hashing import id_hashes, mix
from prefprior.data.scaling import PersonScale
from prefprior.history import History, gather_rows
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable

COLUMNS = (
    ("item_BK", "raw_BK", "question_BK"),
    ("seen_item_BS",),
    ("held_item_BT", "held_rating_BT", "held_liked_BT", "held_asked_BT"),
)


@dataclass(frozen=True, eq=False)
class HeldOutUsers:
    """Histories (newest last) and held-out ratings as catalogue rows, -1 where a user has fewer."""

    users: list[str]
    catalogue: Catalogue
    scale: PersonScale
    item_BK: Tensor  # int64; valid entries come first
    raw_BK: Tensor  # ratings on the source's scale: how they compare between users depends on the history's length
    question_BK: Tensor  # int64: 0 for a rating, equal for adjacent items that were shown together for one choice
    seen_item_BS: Tensor  # int64, -1 padded: never candidates, whatever the history is changed to
    held_item_BT: Tensor  # int64, -1 padded
    held_rating_BT: Tensor  # in [-1, 1], as seen from the whole history
    held_liked_BT: Tensor  # bool: rated as high as the source's own threshold, or picked
    held_asked_BT: Tensor  # bool: shown for a choice, and no rating
    repeated: int = 0  # held-out ratings that were left out, because their picture is in the same user's past
    sign: float = 1.0  # -1 negates all ratings of the histories (a control)
    shown_as: tuple[str, ...] = ()  # whose histories these are, where not their own (a control)

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of(
        cls,
        before: RatingsTable,
        after: RatingsTable,
        catalogue: Catalogue,
        scale: PersonScale | None = None,
        cap: int = 512,
        may_be_new: bool = False,
    ) -> "HeldOutUsers":
        """Users with ratings in both tables: the histories are their newest ratings of the first, at most `cap`, with
        choices counted by what they show and kept whole.

        Both tables share the codes of users and, as items, the rows of the catalogue. `scale` defaults to the plain
        one. What a user has already rated is never a candidate, so it is not held out either: `repeated` counts it.
        Users without ratings in the first table have an empty history, if users `may_be_new`.
        """
        scale = scale or PersonScale(before.scale, "scale", 1.0, 0.0, 1.0)
        again = _repeated(before, after, len(catalogue))
        after = after.take(np.flatnonzero(~again))
        codes = np.unique(after.user_N) if may_be_new else np.intersect1d(before.user_N, after.user_N)
        past, held = _rows(before, codes), _rows(after, codes)
        recent = [rows[_first_whole(before, rows, cap) :] for rows in past]
        raw_BK = _padded(before.rating_N, recent, 0.0)
        held_raw_BT = _padded(after.rating_N, held, 0.0)
        held_item_BT = _padded(after.item_N.astype(np.int64), held, -1)
        liked_N = after.rated_N | after.picked_N if after.scale.liked_only else after.liked_N
        question_N = np.zeros(len(before), dtype=np.int64) if before.question_N is None else before.question_N + 1
        item_BK = _padded(before.item_N.astype(np.int64), recent, -1)
        question_BK, asked_BT = _padded(question_N, recent, 0), _padded(~after.rated_N, held, False)
        signed_BT = scale.signed(held_raw_BT, raw_BK, (item_BK >= 0) & (question_BK == 0))
        liked_BT = _padded(liked_N, held, False)
        signed_BT = np.where(asked_BT, np.where(liked_BT, 1, -1), signed_BT)
        return cls(
            users=[str(before.users[code]) for code in codes],
            catalogue=catalogue,
            scale=scale,
            item_BK=torch.from_numpy(item_BK),
            raw_BK=torch.from_numpy(raw_BK),
            question_BK=torch.from_numpy(question_BK),
            seen_item_BS=torch.from_numpy(_padded(before.item_N.astype(np.int64), past, -1)),
            held_item_BT=torch.from_numpy(held_item_BT),
            held_rating_BT=torch.from_numpy(np.where(held_item_BT >= 0, signed_BT, 0).astype(np.float32)),
            held_liked_BT=torch.from_numpy(liked_BT),
            held_asked_BT=torch.from_numpy(asked_BT),
            repeated=int(again.sum()),
        )

    @classmethod
    def halves(cls, table: RatingsTable, catalogue: Catalogue, scale: PersonScale | None = None) -> "HeldOutUsers":
        """Each user's first half is their history, the rest is held out; who has one rating is left out."""
        first = first_share(table, 0.5)
        return cls.of(table.take(np.flatnonzero(first)), table.take(np.flatnonzero(~first)), catalogue, scale)

    @property
    def valid_BK(self) -> Tensor:
        """Which history entries exist."""
        return self.item_BK >= 0

    @property
    def held_valid_BT(self) -> Tensor:
        """Which held-out entries exist."""
        return self.held_item_BT >= 0

    @property
    def held_rated_BT(self) -> Tensor:
        """Which held-out entries are ratings."""
        return self.held_valid_BT & ~self.held_asked_BT

    @property
    def held_disliked_BT(self) -> Tensor:
        """What likes are told apart from: items rated below the threshold of likes and below this user's middle, and
        what was passed over."""
        return self.held_valid_BT & ~self.held_liked_BT & (self.held_rating_BT < 0)

    def history(self, length: int | None = None) -> History:
        """Each user's `length` newest ratings (all if None), with embeddings; questions are kept whole."""
        count_B = self.valid_BK.sum(1)
        keep = self.item_BK.shape[1] if length is None else min(length, self.item_BK.shape[1])
        keep = min(keep, max(int(count_B.max()), 1)) if len(self) else keep
        # Entry j counts back from the newest, which stands last.
        place_BK = count_B[:, None] - 1 - torch.arange(keep).expand(len(self), keep)
        valid_BK = place_BK >= 0
        question_BK = self.question_BK.gather(1, place_BK.clamp_min(0)).masked_fill(~valid_BK, 0)
        if self.question_BK.any() and keep < self.item_BK.shape[1]:
            # Only the oldest of the kept questions can have begun before.
            last_B1, before_B1 = question_BK[:, -1:], (place_BK[:, -1:] - 1).clamp_min(0)
            cut_B1 = (last_B1 > 0) & (place_BK[:, -1:] > 0) & (self.question_BK.gather(1, before_B1) == last_B1)
            valid_BK = valid_BK & ~(cut_B1 & (question_BK == last_B1))
        item_BK = self.item_BK.gather(1, place_BK.clamp_min(0)).masked_fill(~valid_BK, -1)
        raw_BK = self.raw_BK.gather(1, place_BK.clamp_min(0)).numpy()
        signed = self.scale.signed(raw_BK, raw_BK, (valid_BK & (question_BK == 0)).numpy())
        picked = np.where(self.scale.scale.is_pick(raw_BK), 1, -1)
        signed_BK = torch.from_numpy(np.where(question_BK > 0, picked, signed)).float()
        users = list(self.shown_as) or self.users
        return History.from_rows(
            self.catalogue.embeddings_ND, item_BK, self.sign * signed_BK, users, question_BK=question_BK
        )

    def held_embeddings(self) -> Tensor:
        """(B, T, D) raw embeddings of what is held out, 0 where padded."""
        return gather_rows(self.catalogue.embeddings_ND, self.held_item_BT)

    def take(self, rows: Tensor) -> "HeldOutUsers":
        """Some of the users, without padding that only the others needed."""
        picked = {name: getattr(self, name)[rows] for group in COLUMNS for name in group}
        for group in COLUMNS:
            width = max(int((picked[group[0]] >= 0).sum(1).max()), 1) if len(rows) else 1
            for name in group:
                picked[name] = picked[name][:, :width]
        shown_as = tuple(self.shown_as[int(row)] for row in rows) if self.shown_as else ()
        return replace(self, users=[self.users[int(row)] for row in rows], shown_as=shown_as, **picked)

    def with_history_of(self, length: int) -> int:
        """How many users have a history of at least so many ratings."""
        return int((self.valid_BK.sum(1) >= length).sum())

    def first(self, count: int) -> "HeldOutUsers":
        """At most `count` of the users, at even distances."""
        if count >= len(self):
            return self
        return self.take(torch.arange(count) * len(self) // count)

    def where(self, keep_BT: Tensor) -> "HeldOutUsers":
        """Only some of what is held out; users left without any are dropped."""
        keep_BT = keep_BT & self.held_valid_BT
        order_BT = (~keep_BT).long().argsort(dim=1, stable=True)
        item_BT = self.held_item_BT.masked_fill(~keep_BT, -1).gather(1, order_BT)
        rating_BT = (self.held_rating_BT * keep_BT).gather(1, order_BT)
        liked_BT, asked_BT = ((each & keep_BT).gather(1, order_BT) for each in (self.held_liked_BT, self.held_asked_BT))
        left = replace(
            self, held_item_BT=item_BT, held_rating_BT=rating_BT, held_liked_BT=liked_BT, held_asked_BT=asked_BT
        )
        return left.take(keep_BT.any(1).nonzero()[:, 0])

    def chunks(self, scores: int = 1 << 25, floats: int = 1 << 26) -> Iterator["HeldOutUsers"]:
        """Groups of users with at most `scores` scores over the catalogue and `floats` numbers of history."""
        width = self.item_BK.shape[1] * self.catalogue.space.dim
        size = max(1, min(scores // max(len(self.catalogue), 1), floats // max(width, 1)))
        for start in range(0, len(self), size):
            yield self.take(torch.arange(start, min(start + size, len(self))))


def first_share(table: RatingsTable, share: float, count: int | None = None) -> np.ndarray:
    """(N,) which ratings are among the first `share` of their user's (rounded up, but never all of several), or among
    the first `count` of them. A choice counts as one, and all that it shows is on one side.

    First in time; where times are unknown, a choice by hash, so that the order of a file cannot matter.
    """
    if table.question_N is not None:
        begins_N = table.starts_answer_N
        answers = replace(table.take(np.flatnonzero(begins_N)), question_N=None)
        return first_share(answers, share, count)[begins_N.cumsum() - 1]
    order = np.arange(len(table))
    if table.time_N is None or np.isnan(table.time_N).any():
        items = id_hashes(str(item) for item in table.items)
        order = mix(id_hashes(str(user) for user in table.users)[table.user_N], items[table.item_N])
    place_N, all_of_N = _places(table.user_N, order)
    wanted = np.ceil(share * all_of_N) if count is None else count
    return np.asarray(place_N < np.minimum(wanted, np.maximum(all_of_N - 1, 1)))


def drawn(table: RatingsTable, count: int, salt: str) -> np.ndarray:
    """(N,) which ratings are among `count` of their user's drawn at random, by a hash of user, item and `salt`.

    A draw does not depend on the order of a file or on other users, and a smaller one is a part of a greater. A choice
    is drawn with all that it shows.
    """
    if table.question_N is not None:
        begins_N = table.starts_answer_N
        answers = replace(table.take(np.flatnonzero(begins_N)), question_N=None)
        return drawn(answers, count, salt)[begins_N.cumsum() - 1]
    users = id_hashes((str(user) for user in table.users), salt=salt)
    items = id_hashes(str(item) for item in table.items)
    place_N, _ = _places(table.user_N, mix(users[table.user_N], items[table.item_N]))
    return np.asarray(place_N < count)


def _places(user_N: np.ndarray, order_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the place of each rating among its user's, and (N,) how many those are."""
    by_user = np.lexsort((order_N, user_N))
    ordered = user_N[by_user]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])[: len(ordered)]
    counts = np.diff(np.r_[starts, len(ordered)])
    place_N, all_of_N = np.empty(len(user_N), dtype=np.int64), np.empty(len(user_N), dtype=np.int64)
    place_N[by_user] = np.arange(len(ordered)) - np.repeat(starts, counts)
    all_of_N[by_user] = np.repeat(counts, counts)
    return place_N, all_of_N


def _repeated(before: RatingsTable, after: RatingsTable, items: int) -> np.ndarray:
    """(N,) which ratings of `after` are of a picture that the same user has rated in `before`."""
    past = np.isin(before.user_N, after.user_N)  # few, where the past is a large training part
    pair_P = before.user_N[past].astype(np.int64) * items + before.item_N[past]
    return np.isin(after.user_N.astype(np.int64) * items + after.item_N, pair_P)


def _rows(table: RatingsTable, codes: np.ndarray) -> list[np.ndarray]:
    """Each user's rows of a table, in its order."""
    order = np.argsort(table.user_N, kind="stable")
    ordered = table.user_N[order]
    low, high = np.searchsorted(ordered, codes, "left"), np.searchsorted(ordered, codes, "right")
    return [order[a:b] for a, b in zip(low, high, strict=True)]


def _first_whole(table: RatingsTable, rows: np.ndarray, cap: int) -> int:
    """From which of a user's rows on there are at most `cap` of them, without a part of a question."""
    first = max(len(rows) - cap, 0)
    if table.question_N is None or first == 0:
        return first
    asked = table.question_N[rows]
    while first < len(rows) and asked[first] >= 0 and asked[first] == asked[first - 1]:
        first += 1
    return first


def _padded(column_N: np.ndarray, rows: list[np.ndarray], fill: float) -> np.ndarray:
    padded = np.full((len(rows), max((len(r) for r in rows), default=1) or 1), fill, dtype=column_N.dtype)
    for b, own in enumerate(rows):
        padded[b, : len(own)] = column_N[own]
    return padded
