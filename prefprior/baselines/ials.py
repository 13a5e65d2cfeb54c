"""Implicit ALS as a baseline (`prefprior.factorization.implicit_als`).

It knows items by their ids alone: one that nobody liked in training scores 0. Users not seen in training are folded in
by one solve.

Shapes: M items that somebody liked, B users, K history, N catalogue, n samples, D factors, b users solved together.
"""

from typing import ClassVar

import torch
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.interactions import Items, training_matrix
from prefprior.baselines.search import LogUniform, OneOf, Search
from prefprior.baselines.top_samples import draw_best
from prefprior.errors import require_between
from prefprior.factorization.implicit_als import ImplicitAls
from prefprior.history import History
from prefprior.predictor import By, Catalogue, TrainingPart


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
        self.als = ImplicitAls(dim, unobserved, strength, sweeps)
        self.unliked, self.pool = unliked, pool
        self._items = Items([])
        self._factors_MD = torch.empty(0, dim)
        self._gram_DD = torch.empty(dim, dim)

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Alternates between users and items, starting from random item factors."""
        super().fit(training, validation, generator)
        likes = training_matrix(training, self.unliked).tocoo()
        warm, item = torch.from_numpy(likes.col).long().unique(return_inverse=True)
        self._items = Items([self.catalogue.ids[row] for row in warm.tolist()])
        shape = likes.shape[0], len(warm)
        self._factors_MD = self.als.items(likes.row, item.numpy(), likes.data, shape, generator)
        self._gram_DD = self._factors_MD.T @ self._factors_MD

    def fold_in(self, history: History, catalogue: Catalogue) -> Tensor:
        """(B, D) user factors from histories, whose items are rows of this catalogue."""
        place_BK, value_BK = self._items.histories(history, catalogue, self.unliked)
        counted_BK = value_BK > 0
        parts = []
        for rows in torch.arange(len(history)).split(self.als.rows_at_once(place_BK.shape[1])):
            factors_bKD = self._factors_MD[place_BK[rows].clamp_min(0)] * counted_BK[rows][..., None]
            some = factors_bKD, value_BK[rows], counted_BK[rows]
            parts.append(self.als.solved(*some, self._gram_DD, len(self._factors_MD)))
        return torch.cat(parts)

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): pictures from the top of its ranking."""
        return draw_best(self.rank(history, self.catalogue), history, self.catalogue, n, self.pool, generator)

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) inner products of users and items; 0 for items without likes in training."""
        return self._items.spread(self.fold_in(history, catalogue) @ self._factors_MD.T, catalogue)
