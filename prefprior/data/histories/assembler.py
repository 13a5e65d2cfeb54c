"""Histories and targets cut from users' sequences, as tensors.

Shapes: B users in a batch, K history, T targets, N rows, U users, A answers, D dimension.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from prefprior.data.hashing import mix, permuted
from prefprior.data.histories.draws import ORDERS, Draw, DrawRule, draw, inverse_propensity, is_of_picks, is_of_shown
from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import PersonScale
from prefprior.errors import require_choice
from prefprior.history import History, PreferenceBatch, gather_rows
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable


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
        self.answers = sequences.answers(scale.scale)
        # Ratings are answers of one row: no table of them is needed.
        self._first_U, self._count_U, self._past_U = (
            (sequences.start_U, sequences.count_U, sequences.past_U)
            if self.answers is None
            else (self.answers.first_U, self.answers.count_U, self.answers.past_U)
        )

    def batch(self, user_B: np.ndarray, key_B: np.ndarray, rule: DrawRule) -> PreferenceBatch:
        """Histories and targets for some users; `key_B` decides the draw of each."""
        alone_B = None if self.answers is None else is_of_picks(rule, key_B)
        drawn = self._drawn(user_B, key_B, rule, alone_B)
        if self.answers is not None:
            row_B = self.sequences.start_U[user_B]
            drawn = Draw(
                self.answers.history_rows(user_B, drawn.history_BK, row_B, rule.history_cap, alone_B),
                self.answers.target_rows(user_B, drawn.target_BT, row_B, key_B),
            )
        batch = self.at(user_B, drawn, alone_B)
        return (
            batch
            if rule.weighting == "uniform"
            else replace(batch, target_weight_BT=self._weights(user_B, drawn, rule))
        )

    def first_rows(self, user_B: np.ndarray, length: int, seed: int | None) -> np.ndarray:
        """(B, K) rows of histories of at most `length` rows: of users with a past its newest answers, of others their
        first ones, the most recent in front; with a `seed`, a choice of them by hash."""
        count_B, past_B = self._count_U[user_B], self._past_U[user_B]
        pool_B = np.where(past_B > 0, past_B, count_B)
        kept_B = np.minimum(pool_B, length)
        k = np.arange(max(int(kept_B.max(initial=0)), 1))[None]
        if seed is not None:
            key_B = mix(self.sequences.hash_U[user_B], seed)
            place_BK = permuted(np.where(k < kept_B[:, None], k, 0), np.maximum(pool_B, 1), key_B)
        else:
            end_B = np.where(past_B > 0, pool_B, self._fitting(user_B, kept_B, length))
            kept_B = np.minimum(kept_B, end_B)
            place_BK = end_B[:, None] - 1 - k
        place_BK = np.where(k < kept_B[:, None], place_BK, -1)
        if self.answers is None:
            return place_BK
        return self.answers.history_rows(user_B, place_BK, self.sequences.start_U[user_B], length)

    def _fitting(self, user_B: np.ndarray, kept_B: np.ndarray, length: int) -> np.ndarray:
        """(B,) how many of a user's first answers have at most `length` rows together."""
        if self.answers is None:
            return kept_B
        first_B = self._first_U[user_B]
        begins_B = self.answers.start_A[first_B]
        end_A = self.answers.start_A + self.answers.size_A
        fitting_B = np.searchsorted(end_A, begins_B + length, side="right") - first_B
        return np.minimum(fitting_B, self._count_U[user_B])

    def _drawn(self, user_B: np.ndarray, key_B: np.ndarray, rule: DrawRule, alone_B: np.ndarray | None) -> Draw:
        """Places among the users' answers; the histories of `alone_B` are without what was passed over."""
        count_B, past_B = self._count_U[user_B], self._past_U[user_B]
        answers = None
        if self.answers is not None and alone_B is not None:
            answers = self.answers.of_users(user_B, rule.history_cap, alone_B)
        if not rule.shown_histories:
            return draw(rule, count_B, past_B, key_B, answers)
        if self.sequences.shown_N is None:
            raise ValueError(
                f"data.draws.shown_histories={rule.shown_histories:g} needs ratings that say which pictures were "
                "shown (of a table: a column `shown`): leave it out"
            )
        # Who was shown all or nothing, or is tested on held-out ratings, has histories of everything.
        shown_B = self._shown_U[user_B]
        parted_B = is_of_shown(rule, key_B) & (past_B == 0) & (shown_B > 0) & (shown_B < count_B)
        parted = draw(rule, count_B, np.where(parted_B, shown_B, past_B), key_B)
        parted = Draw(
            *(self._in_order(user_B, parted_B, place_BX) for place_BX in (parted.history_BK, parted.target_BT))
        )
        if answers is None:
            return parted
        # Of what a user looked for anything may be a target; where the draw parts all, not everything may.
        drawn = draw(rule, count_B, past_B, key_B, answers)
        return Draw(
            _either(parted_B, parted.history_BK, drawn.history_BK), _either(parted_B, parted.target_BT, drawn.target_BT)
        )

    def _in_order(self, user_B: np.ndarray, parted_B: np.ndarray, place_BX: np.ndarray) -> np.ndarray:
        """Places among a user's answers; those of `parted_B` are given with what was shown first."""
        found_BX = self._shown_first_A[self._first_U[user_B][:, None] + np.maximum(place_BX, 0)]
        return np.where(parted_B[:, None] & (place_BX >= 0), found_BX, place_BX)

    @cached_property
    def _shown_A(self) -> np.ndarray:
        """(A,) bool: which answers are about what was shown to the user."""
        shown_N = self.sequences.shown_N
        assert shown_N is not None
        return shown_N if self.answers is None else shown_N[self.answers.start_A]

    @cached_property
    def _shown_U(self) -> np.ndarray:
        """(U,) int64: how many of a user's answers those are."""
        return np.add.reduceat(self._shown_A, self._first_U, dtype=np.int64)

    @cached_property
    def _shown_first_A(self) -> np.ndarray:
        """(A,) int64: the places within each user's answers, those first."""
        user_A = np.repeat(np.arange(len(self._count_U)), self._count_U)
        return np.lexsort((~self._shown_A, user_A)) - np.repeat(self._first_U, self._count_U)

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

    def at(self, user_B: np.ndarray, drawn: Draw, alone_B: np.ndarray | None = None) -> PreferenceBatch:
        """The batch of given rows; in the histories of `alone_B`, what was picked is a like, as if nothing had been
        shown beside it."""
        data, start = self.sequences, self.sequences.start_U[user_B][:, None]
        valid_BK, valid_BT = drawn.history_BK >= 0, drawn.target_BT >= 0
        row_BK = np.where(valid_BK, start + drawn.history_BK, 0)
        row_BT = np.where(valid_BT, start + drawn.target_BT, 0)
        question_BK: np.ndarray | None = None
        picked_BT: np.ndarray | None = None
        if data.question_N is not None:
            question_BK = np.where(valid_BK, data.question_N[row_BK] + 1, 0).astype(np.int64)
            picked_BT = valid_BT & (data.question_N[row_BT] >= 0)
            valid_BK = valid_BK & ~self._gives_away(row_BK, row_BT, valid_BT, question_BK)
        raw_BK, raw_BT = data.rating_N[row_BK], data.rating_N[row_BT]
        item_BK = np.where(valid_BK, data.item_N[row_BK], -1).astype(np.int64)
        item_BT = np.where(valid_BT, data.item_N[row_BT], -1).astype(np.int64)
        vector_BK, vector_BT = item_BK, item_BT
        if data.vector_N is not None:
            vector_BK = np.where(valid_BK, data.vector_N[row_BK], -1)
            vector_BT = np.where(valid_BT, data.vector_N[row_BT], -1)
        rated_BK = valid_BK if question_BK is None else valid_BK & (question_BK == 0)
        signed_BK = self.scale.signed(raw_BK, raw_BK, rated_BK)
        signed_BT = self.scale.signed(raw_BT, raw_BK, rated_BK)
        if question_BK is not None and data.question_N is not None:
            signed_BK = np.where(question_BK > 0, np.where(self.scale.scale.is_pick(raw_BK), 1, -1), signed_BK)
            signed_BT = np.where(data.question_N[row_BT] >= 0, 1, signed_BT)
            if alone_B is not None:
                question_BK[alone_B] = 0
        history = History.from_rows(
            self.embeddings_ND,
            torch.from_numpy(vector_BK),
            torch.from_numpy(signed_BK),
            [data.users[u] for u in user_B],
            items_BK=torch.from_numpy(item_BK),
            question_BK=None if question_BK is None else torch.from_numpy(question_BK),
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
            target_picked_BT=None if picked_BT is None else torch.from_numpy(picked_BT),
        )

    def _gives_away(
        self, row_BK: np.ndarray, row_BT: np.ndarray, valid_BT: np.ndarray, question_BK: np.ndarray
    ) -> np.ndarray:
        """History entries that show a target's picture, with all that was shown beside it: choices may repeat a
        picture."""
        item_N = self.sequences.item_N
        given_BK = ((item_N[row_BK][:, :, None] == item_N[row_BT][:, None]) & valid_BT[:, None]).any(2)
        for b in np.flatnonzero((given_BK & (question_BK > 0)).any(1)):
            asked = question_BK[b][given_BK[b] & (question_BK[b] > 0)]
            given_BK[b] |= np.isin(question_BK[b], asked)
        return given_BK


def _either(first_B: np.ndarray, one_BX: np.ndarray, other_BX: np.ndarray) -> np.ndarray:
    """Rows of the one or the other, padded with -1 to the longer."""
    width = max(one_BX.shape[1], other_BX.shape[1])
    one_BX, other_BX = (
        np.pad(each, ((0, 0), (0, width - each.shape[1])), constant_values=-1) for each in (one_BX, other_BX)
    )
    return np.where(first_B[:, None], one_BX, other_BX)


@dataclass(frozen=True, eq=False)
class HeldOutRatings:
    """What one user rated or picked beyond the history; positions agree between the columns."""

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
    assembler = Assembler(data, catalogue.embeddings_ND, scale)
    history_BK = assembler.first_rows(user_B, length, seed if order == "set" else None)
    history = assembler.at(user_B, Draw(history_BK, np.full((len(users), 1), -1, dtype=np.int64))).history
    valid_BK = history_BK >= 0
    row_BK = np.where(valid_BK, data.start_U[user_B][:, None] + history_BK, 0)
    rated_BK, liked_N, rated_N = valid_BK & data.rated_N[row_BK], data.liked_N(table.scale), data.rated_N
    held_out = []
    for b, u in enumerate(user_B):
        held = np.arange(data.past_U[u], data.count_U[u])
        if data.past_U[u] == 0:
            held = np.setdiff1d(held, history_BK[b], assume_unique=True)
        rows = data.start_U[u] + held
        rows = rows[rated_N[rows] | liked_N[rows]]
        raw = data.rating_N[rows]
        signed = scale.signed(raw[None], data.rating_N[row_BK[b : b + 1]], rated_BK[b : b + 1])[0]
        signed = np.where(rated_N[rows], signed, 1).astype(np.float32)
        held_out.append(HeldOutRatings(data.item_N[rows].astype(np.int64), raw, signed, liked_N[rows]))
    return history, held_out
