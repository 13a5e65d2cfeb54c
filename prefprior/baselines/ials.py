"""Implicit ALS (Hu, Koren & Volinsky 2008) with the regularisation of Rendle et al. 2022 (arXiv:2110.14037, eq. 5).

Minimises over users u and items v

    sum over likes (u.v - value)^2 + unobserved * sum over all pairs (u.v)^2
      + strength * (sum over users (n_u + unobserved * I) |u|^2 + sum over items (n_v + unobserved * U) |v|^2)

with n_u the number of a user's likes and n_v that of an item's. It uses no features, so an item without likes in
training scores 0. Users outside the training part are folded in by one solve.

Shapes: U users, M items with likes, B users, K history, N catalogue, n samples, D factors, R rows, b rows
solved together.
"""

from typing import ClassVar

import torch
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.interactions import Items, training_matrix
from prefprior.baselines.least_squares import Sparse
from prefprior.baselines.search import LogUniform, OneOf, Search
from prefprior.baselines.top_samples import draw_best
from prefprior.errors import require_between
from prefprior.history import History
from prefprior.predictor import By, Catalogue, TrainingPart

# Elements of the systems that are solved at once: 64 MB in float32.
AT_ONCE = 1 << 24


class Ials(Baseline):
    """Matrix factorisation of likes, in which every other pair is a 0 of low weight."""

    search: ClassVar[Search] = {
        "dim": OneOf((16, 32, 64, 128)),
        "unobserved": LogUniform(0.003, 0.3),
        "strength": LogUniform(0.003, 0.1),
        "unliked": OneOf((0.0, 0.5, 1.0)),
    }

    def __init__(
        self,
        *,
        dim: int = 32,
        unobserved: float = 0.1,
        strength: float = 0.01,
        sweeps: int = 12,
        unliked: float = 0.0,
        pool: int = 64,
        name: str = "ials",
    ) -> None:
        """`dim` factors; `unobserved` is the weight of every pair as a 0; `strength` of the ridge; `unliked` is the
        value of a rating that is not a like."""
        super().__init__(name=name)
        if not (unobserved > 0 and strength > 0):
            raise ValueError(
                f"baseline {name}: unobserved and strength must be above 0, got {unobserved} and {strength}"
            )
        require_between(f"baseline {name}: dim", dim, 1, 4096)
        require_between(f"baseline {name}: sweeps", sweeps, 1, 10_000)
        require_between(f"baseline {name}: unliked", unliked, 0, 1)
        self.dim, self.unobserved, self.strength = dim, unobserved, strength
        self.sweeps, self.unliked, self.pool = sweeps, unliked, pool
        self._items = Items([])
        self._factors_MD = torch.empty(0, dim)
        self._gram_DD = torch.empty(dim, dim)

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Alternates between users and items, starting from random item factors."""
        super().fit(training, validation, generator)
        likes = training_matrix(training, self.unliked).tocoo()
        warm, item = torch.from_numpy(likes.col).long().unique(return_inverse=True)
        self._items = Items([self.catalogue.ids[row] for row in warm.tolist()])
        users, items = likes.shape[0], len(warm)
        by_user = Sparse.of(likes.row, item.numpy(), likes.data, users)
        by_item = Sparse.of(item.numpy(), likes.row, likes.data, items)
        # Rendle et al. start with products of standard deviation 0.1^2 / sqrt(D).
        self._factors_MD = torch.randn(items, self.dim, generator=generator) * 0.1 / self.dim**0.5
        for _ in range(self.sweeps):
            users_UD = self._side(by_user, self._factors_MD)
            self._factors_MD = self._side(by_item, users_UD)
        self._gram_DD = self._factors_MD.T @ self._factors_MD

    def _side(self, likes: Sparse, factors_OD: Tensor) -> Tensor:
        """(R, D) least-squares factors of one side, given those of the other."""
        rows_RD, gram_DD = torch.empty(len(likes.count_R), self.dim), factors_OD.T @ factors_OD
        # Rows are grouped by their number of likes (up to 1, 2, 4, ...), so less than half of a batch is padding.
        group_R = likes.count_R.clamp_min(1).log2().ceil()
        for group in group_R.unique().tolist():
            for rows in (group_R == group).nonzero()[:, 0].split(self._rows_at_once(int(2**group))):
                column_bn, value_bn, valid_bn = likes.padded(rows)
                factors_bnD = factors_OD[column_bn] * valid_bn[..., None]
                rows_RD[rows] = self._solved(factors_bnD, value_bn, valid_bn, gram_DD, len(factors_OD))
        return rows_RD

    def _rows_at_once(self, likes: int) -> int:
        return max(1, AT_ONCE // (self.dim * max(self.dim, likes)))

    def _solved(self, factors_bnD: Tensor, value_bn: Tensor, valid_bn: Tensor, gram_DD: Tensor, others: int) -> Tensor:
        """(b, D) minimisers, given the factors of each row's likes (0 for padding)."""
        ridge_b = self.strength * (valid_bn.sum(1) + self.unobserved * others)
        left_bDD = factors_bnD.transpose(1, 2) @ factors_bnD + self.unobserved * gram_DD
        left_bDD.diagonal(dim1=1, dim2=2).add_(ridge_b[:, None])
        right_bD = (value_bn[:, None] @ factors_bnD)[:, 0]
        return torch.cholesky_solve(right_bD[..., None], torch.linalg.cholesky(left_bDD))[..., 0]

    def fold_in(self, history: History, catalogue: Catalogue) -> Tensor:
        """(B, D) user factors from histories, whose items are rows of this catalogue."""
        place_BK, value_BK = self._items.histories(history, catalogue, self.unliked)
        counted_BK = value_BK > 0
        parts = []
        for rows in torch.arange(len(history)).split(self._rows_at_once(place_BK.shape[1])):
            factors_bKD = self._factors_MD[place_BK[rows].clamp_min(0)] * counted_BK[rows][..., None]
            parts.append(
                self._solved(factors_bKD, value_BK[rows], counted_BK[rows], self._gram_DD, len(self._factors_MD))
            )
        return torch.cat(parts)

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): pictures from the top of its ranking."""
        return draw_best(self.rank(history, self.catalogue), history, self.catalogue, n, self.pool, generator)

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) inner products of users and items; 0 for items without likes in training."""
        return self._items.spread(self.fold_in(history, catalogue) @ self._factors_MD.T, catalogue)
