"""The interactions of the training part, their factorisation, and the choice of its settings.

Shapes: N interactions, U users, P items, B users at once, K history, Q factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prefprior.data.hashing import fraction, mix
from prefprior.data.histories.sequences import Sequences
from prefprior.factorization.implicit_als import ImplicitAls
from prefprior.factorization.sparse import Sparse

HELD_SHARE = 0.1  # of the interactions, for the choice of settings
JUDGED = 1000  # users at most
SEED = 0x636F6C6C


@dataclass(frozen=True, eq=False)
class Interactions:
    """Distinct pairs of users and items, by number."""

    user_N: np.ndarray  # int64, ascending
    item_N: np.ndarray  # int64
    users: int
    items: int

    @classmethod
    def of(cls, users: Sequences, counted_N: np.ndarray) -> "Interactions":
        """From the ratings that are counted; items are rows of the catalogue."""
        user_N = np.repeat(np.arange(len(users)), users.count_U)
        items = int(users.item_N.max(initial=-1)) + 1
        return cls._distinct(user_N[counted_N], users.item_N[counted_N].astype(np.int64), len(users), items)

    @classmethod
    def _distinct(cls, user_N: np.ndarray, item_N: np.ndarray, users: int, items: int) -> "Interactions":
        pair_N = np.unique(user_N.astype(np.int64) * max(items, 1) + item_N)
        return cls(pair_N // max(items, 1), pair_N % max(items, 1), users, items)

    def __len__(self) -> int:
        return len(self.user_N)

    def moved(self, place_I: np.ndarray, items: int) -> "Interactions":
        """The same with other numbers for the items."""
        return self._distinct(self.user_N, place_I[self.item_N], self.users, items)

    def first(self, most: int) -> "Interactions":
        """The interactions of the first users, at most so many."""
        if len(self) <= most:
            return self
        users = int(self.user_N[most])
        return replace(self._taken(self.user_N < users), users=users)

    def factors(self, als: ImplicitAls) -> Tensor:
        """(P, Q) factors of the items."""
        ones_N, generator = np.ones(len(self), dtype=np.float32), torch.Generator().manual_seed(0)
        return als.items(self.user_N, self.item_N, ones_N, (self.users, self.items), generator)

    def best_of(self, tried: Sequence[ImplicitAls]) -> tuple[float, float]:
        """`unobserved` and `strength` of the settings that rank held-out interactions highest."""
        number_N = np.arange(len(self), dtype=np.uint64)
        held_N = fraction(mix(number_N, SEED)) < HELD_SHARE
        rest, held = self._taken(~held_N), self._taken(held_N)
        figures = [_discounted_gain(als, rest, held, rest.factors(als)) for als in tried] if len(held) else [0.0]
        best = tried[int(np.argmax(figures))]
        return best.unobserved, best.strength

    def _taken(self, keep_N: np.ndarray) -> "Interactions":
        return replace(self, user_N=self.user_N[keep_N], item_N=self.item_N[keep_N])


def _discounted_gain(als: ImplicitAls, rest: Interactions, held: Interactions, factor_PQ: Tensor) -> float:
    """The mean of 1 / log2(1 + rank) over held-out interactions, of users folded in from the rest."""
    by_user = Sparse.of(rest.user_N, rest.item_N, np.ones(len(rest), dtype=np.float32), rest.users)
    held_by_user = Sparse.of(held.user_N, held.item_N, np.ones(len(held), dtype=np.float32), held.users)
    users = ((by_user.count_R > 0) & (held_by_user.count_R > 0)).nonzero()[:, 0]
    users = users[:: max(1, len(users) // JUDGED)][:JUDGED]
    if not len(users):
        return 0.0
    gram_QQ, gains = factor_PQ.T @ factor_PQ, []
    for some in users.split(als.rows_at_once(int(by_user.count_R[users].max()))):
        for part in some.split(256):
            item_bK, value_bK, valid_bK = by_user.padded(part)
            user_bQ = als.solved(factor_PQ[item_bK] * valid_bK[..., None], value_bK, valid_bK, gram_QQ, rest.items)
            score_bP = user_bQ @ factor_PQ.T
            score_bP.scatter_(1, item_bK, torch.where(valid_bK, -torch.inf, score_bP.gather(1, item_bK)))
            target_bT, _, held_bT = held_by_user.padded(part)
            target_score_bT = score_bP.gather(1, target_bT)
            rank_bT = torch.stack([_rank(score_bP, column_b[:, None]) for column_b in target_score_bT.T], dim=1)
            gains.append((1 / torch.log2(2.0 + rank_bT))[held_bT])
    return float(torch.cat(gains).mean())


def _rank(score_bP: Tensor, target_b1: Tensor) -> Tensor:
    """(b,) how many items are above each target; equal scores count half, so that a constant score gains nothing."""
    return (score_bP > target_b1).sum(1) + 0.5 * ((score_bP == target_b1).sum(1) - 1)
