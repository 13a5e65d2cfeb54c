"""Each user's ratings in order, and the histories and targets cut from them.

Shapes: B users in a batch, K history, T targets, N ratings, U users, D dimension.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from prefprior.data.hashing import id_hashes, mix, permuted
from prefprior.data.histories.draws import ORDERS, Draw, DrawRule, draw, inverse_propensity, is_of_shown
from prefprior.data.scaling import PersonScale
from prefprior.errors import require_choice
from prefprior.history import History, PreferenceBatch, gather_rows
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable

OPTIONAL = ("pair_N", "shown_N", "propensity_N")  # columns that not every source has


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
    pair_N: np.ndarray | None = None
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

    @cached_property
    def shown_U(self) -> np.ndarray:
        """(U,) int64: how many of a user's ratings are of what they were shown."""
        return (
            np.zeros_like(self.count_U)
            if self.shown_N is None
            else np.add.reduceat(self.shown_N, self.start_U, dtype=np.int64)
        )

    @cached_property
    def shown_first_N(self) -> np.ndarray:
        """(N,) int64: the places within each user's ratings, those of what they were shown first."""
        assert self.shown_N is not None
        user_N = np.repeat(np.arange(len(self)), self.count_U)
        return np.lexsort((~self.shown_N, user_N)) - np.repeat(self.start_U, self.count_U)

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


class Assembler:
    """Turns drawn positions into a batch of tensors, whole columns at a time."""

    def __init__(
        self, sequences: Sequences, embeddings_ND: Tensor, scale: PersonScale, texts_ND: Tensor | None = None
    ) -> None:
        """`embeddings_ND` may be memory-mapped: only drawn rows are read. `texts_ND` are of the same items."""
        self.sequences = sequences
        self.embeddings_ND = embeddings_ND
        self.scale = scale
        self.texts_ND = texts_ND

    def batch(self, user_B: np.ndarray, key_B: np.ndarray, rule: DrawRule) -> PreferenceBatch:
        """Histories and targets for some users; `key_B` decides the draw of each."""
        drawn = self._drawn(user_B, key_B, rule)
        batch = self.at(user_B, drawn)
        return (
            batch
            if rule.weighting == "uniform"
            else replace(batch, target_weight_BT=self._weights(user_B, drawn, rule))
        )

    def _drawn(self, user_B: np.ndarray, key_B: np.ndarray, rule: DrawRule) -> Draw:
        data = self.sequences
        if not rule.shown_histories:
            return draw(rule, data.count_U[user_B], data.past_U[user_B], key_B)
        if data.shown_N is None:
            raise ValueError(
                f"data.draws.shown_histories={rule.shown_histories:g} needs ratings that say which pictures were "
                "shown (of a table: a column `shown`): leave it out"
            )
        # Who was shown all or nothing, or is tested on held-out ratings, has histories of everything.
        count_B, past_B, shown_B = data.count_U[user_B], data.past_U[user_B], data.shown_U[user_B]
        parted_B = is_of_shown(rule, key_B) & (past_B == 0) & (shown_B > 0) & (shown_B < count_B)
        drawn = draw(rule, count_B, np.where(parted_B, shown_B, past_B), key_B)
        return Draw(*(self._in_order(user_B, parted_B, place_BX) for place_BX in (drawn.history_BK, drawn.target_BT)))

    def _in_order(self, user_B: np.ndarray, parted_B: np.ndarray, place_BX: np.ndarray) -> np.ndarray:
        """Places among a user's ratings; those of `parted_B` are given with what was shown first."""
        data = self.sequences
        found_BX = data.shown_first_N[data.start_U[user_B][:, None] + np.maximum(place_BX, 0)]
        return np.where(parted_B[:, None] & (place_BX >= 0), found_BX, place_BX)

    def _weights(self, user_B: np.ndarray, drawn: Draw, rule: DrawRule) -> Tensor:
        data = self.sequences
        if data.propensity_N is None:
            raise ValueError(
                "data.draws.weighting=ips needs ratings with propensities (of a table: a column `propensity`): leave "
                "it out"
            )
        row_BT = data.start_U[user_B][:, None] + np.maximum(drawn.target_BT, 0)
        weight_BT = inverse_propensity(rule, data.propensity_N[row_BT])
        return torch.from_numpy(np.where(drawn.target_BT >= 0, weight_BT, 0))

    def at(self, user_B: np.ndarray, drawn: Draw) -> PreferenceBatch:
        """The batch of given positions."""
        data, start = self.sequences, self.sequences.start_U[user_B][:, None]
        valid_BK, valid_BT = drawn.history_BK >= 0, drawn.target_BT >= 0
        row_BK = np.where(valid_BK, start + drawn.history_BK, 0)
        row_BT = np.where(valid_BT, start + drawn.target_BT, 0)
        if data.pair_N is not None:
            valid_BK = valid_BK & ~self._gives_away(row_BK, row_BT, valid_BT)
        raw_BK, raw_BT = data.rating_N[row_BK], data.rating_N[row_BT]
        item_BK = np.where(valid_BK, data.item_N[row_BK], -1).astype(np.int64)
        item_BT = np.where(valid_BT, data.item_N[row_BT], -1).astype(np.int64)
        vector_BK, vector_BT = item_BK, item_BT
        if data.vector_N is not None:
            vector_BK = np.where(valid_BK, data.vector_N[row_BK], -1)
            vector_BT = np.where(valid_BT, data.vector_N[row_BT], -1)
        signed_BK = self.scale.signed(raw_BK, raw_BK, valid_BK)
        signed_BT = self.scale.signed(raw_BT, raw_BK, valid_BK)
        history = History.from_rows(
            self.embeddings_ND,
            torch.from_numpy(vector_BK),
            torch.from_numpy(signed_BK),
            [data.users[u] for u in user_B],
            items_BK=torch.from_numpy(item_BK),
        )
        items_BT = torch.from_numpy(item_BT)
        texts_BTD = torch.zeros(*item_BT.shape, 0) if self.texts_ND is None else gather_rows(self.texts_ND, items_BT)
        return PreferenceBatch(
            history=history,
            target_BTD=gather_rows(self.embeddings_ND, torch.from_numpy(vector_BT)),
            target_rating_BT=torch.from_numpy(np.where(valid_BT, signed_BT, 0).astype(np.float32)),
            target_valid_BT=torch.from_numpy(valid_BT),
            target_item_BT=items_BT,
            target_text_BTD=texts_BTD,
        )

    def _gives_away(self, row_BK: np.ndarray, row_BT: np.ndarray, valid_BT: np.ndarray) -> np.ndarray:
        """History entries that show a target's picture or the other picture of its pair."""
        data = self.sequences
        assert data.pair_N is not None
        same_item = data.item_N[row_BK][:, :, None] == data.item_N[row_BT][:, None]
        pair_BT = data.pair_N[row_BT]
        same_pair = (data.pair_N[row_BK][:, :, None] == pair_BT[:, None]) & (pair_BT >= 0)[:, None]
        return ((same_item | same_pair) & valid_BT[:, None]).any(2)


@dataclass(frozen=True, eq=False)
class HeldOutRatings:
    """What one user rated beyond the history; positions agree between the columns."""

    items: np.ndarray  # int64: rows of the catalogue
    ratings: np.ndarray  # float32, on the source's scale
    signed: np.ndarray  # float32 in [-1, 1], on the scale of the user
    liked: np.ndarray  # bool, by the source's own threshold


def build_histories(
    table: RatingsTable,
    catalogue: Catalogue,
    users: list[str],
    length: int,
    *,
    past: RatingsTable | None = None,
    scale: PersonScale | None = None,
    order: str = "time",
    seed: int = 0,
) -> tuple[History, list[HeldOutRatings]]:
    """A history of at most `length` ratings for each user, and the rest of their ratings in `table`, held out.

    A user with ratings in `past` (what was trained on) has the most recent of those as history and all of `table` held
    out. Anyone else has the first ratings of `table` as history: the first in time, or with order "set" a choice by
    hash, so that the order of a file cannot matter. `table.item_N` are rows of the catalogue; `scale` defaults to the
    plain scale.
    """
    require_choice("order", order, ORDERS)
    data = Sequences.of(table, past)
    index = {user: i for i, user in enumerate(data.users)}
    if strangers := [u for u in users if u not in index]:
        raise ValueError(
            f"{len(strangers)} users have no ratings in this part of {table.source}, for example "
            f"{', '.join(strangers[:3])}. Users with ratings are, for example, "
            f"{', '.join(data.users[:3])}."
        )
    user_B = np.asarray([index[u] for u in users], dtype=np.int64)
    scale = scale or PersonScale(table.scale, "scale", 1.0, 0.0, 1.0)
    count_B, past_B = data.count_U[user_B], data.past_U[user_B]
    pool_B = np.where(past_B > 0, past_B, count_B)[:, None]
    kept_B = np.minimum(pool_B, length)
    k = np.arange(max(int(kept_B.max(initial=0)), 1))[None]
    if order == "set":
        history_BK = permuted(np.where(k < kept_B, k, 0), np.maximum(pool_B[:, 0], 1), mix(data.hash_U[user_B], seed))
    else:  # most recent first, as in every batch
        history_BK = np.where(past_B[:, None] > 0, pool_B, kept_B) - 1 - k
    valid_BK = k < kept_B
    history_BK = np.where(valid_BK, history_BK, -1)
    assembler = Assembler(data, catalogue.embeddings_ND, scale)
    history = assembler.at(user_B, Draw(history_BK, np.full((len(users), 1), -1, dtype=np.int64))).history
    raw_BK = data.rating_N[np.where(valid_BK, data.start_U[user_B][:, None] + history_BK, 0)]
    held_out = []
    for b, u in enumerate(user_B):
        held = np.arange(past_B[b], count_B[b])
        if past_B[b] == 0:
            held = np.setdiff1d(held, history_BK[b], assume_unique=True)
        rows = data.start_U[u] + held
        raw = data.rating_N[rows]
        signed = scale.signed(raw[None], raw_BK[b : b + 1], valid_BK[b : b + 1])[0]
        liked = np.ones(len(raw), dtype=bool) if table.scale.liked_only else raw >= table.scale.likes_from
        held_out.append(HeldOutRatings(data.item_N[rows].astype(np.int64), raw, signed, liked))
    return history, held_out
