"""General appeal: what everybody likes, learned from the embedding alone. Not personal, and often hard to beat.

Shapes: N catalogue, B users, n samples, D dimension.
"""

import numpy as np
import torch
from torch import Tensor

from prefprior.baselines.base import Baseline
from prefprior.baselines.retrieval import draw_best
from prefprior.data.batch import History
from prefprior.evaluation.predictor import Catalogue, TrainingPart


class GeneralAppeal(Baseline):
    """Ridge regression from an item's embedding to its mean rating (its log popularity where all ratings are likes)."""

    def __init__(
        self,
        *,
        strengths: tuple[float, ...] = (1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3),
        pool: int = 64,
        name: str = "popularity",
    ) -> None:
        """`strengths` are tried on a tenth of the items; samples are drawn from the `pool` most appealing pictures."""
        super().__init__(name=name)
        if not strengths or min(strengths) <= 0:
            raise ValueError(f"baseline {name}: strengths must be positive numbers, got {strengths}")
        self.strengths, self.pool = tuple(strengths), pool
        self.strength = self.strengths[0]
        self._weights_D, self._offset = torch.empty(0), 0.0

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Weighted ridge over rated items; the strength that predicts a held-out tenth of them best is kept."""
        super().fit(training, validation, generator)
        catalogue = training.catalogue
        rows, target, weight = _item_appeal(training)
        features = catalogue.space.to_model(catalogue.embeddings_ND[torch.from_numpy(rows)].float()).double()
        y, w = torch.from_numpy(target), torch.from_numpy(weight)
        held = torch.rand(len(rows), generator=generator) < 0.1
        if held.any() and (~held).any() and len(self.strengths) > 1:
            fits = _ridge(features[~held], y[~held], w[~held], self.strengths)
            errors = [float((w[held] * (features[held] @ a + b - y[held]) ** 2).sum()) for a, b in fits]
            self.strength = self.strengths[int(np.argmin(errors))]
        ((weights_D, offset),) = _ridge(features, y, w, (self.strength,))
        self._weights_D, self._offset = weights_D.float(), offset

    def appeal(self, catalogue: Catalogue) -> Tensor:
        """(N,) predicted mean rating of each item."""
        features = catalogue.space.to_model(catalogue.embeddings_ND.float())
        return features @ self._weights_D + self._offset

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): pictures everybody likes, less what the person has seen."""
        return draw_best(self.rank(history, self.catalogue), history, self.catalogue, n, self.pool, generator)

    def rank(self, history: History, catalogue: Catalogue) -> Tensor:
        """(B, N) the same scores for everybody."""
        return self.appeal(catalogue).repeat(len(history), 1)


def _item_appeal(training: TrainingPart) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Catalogue rows to learn from, their appeal, and its weight."""
    table, size = training.ratings, len(training.catalogue)
    count = np.bincount(table.item_N, minlength=size).astype(np.float64)
    if table.scale.liked_only:
        # Nobody says no here: how often an item was chosen is all there is, and never chosen is evidence too.
        return np.arange(size), np.log1p(count), np.ones(size)
    total = np.bincount(table.item_N, weights=table.scale.signed(table.rating_N), minlength=size)
    rows = np.flatnonzero(count)
    return rows, total[rows] / count[rows], count[rows]


def _ridge(
    features_MD: Tensor, target_M: Tensor, weight_M: Tensor, strengths: tuple[float, ...]
) -> list[tuple[Tensor, float]]:
    """Weights and offset for every strength, from one decomposition."""
    weight_M = weight_M / weight_M.mean()
    center_D = (weight_M[:, None] * features_MD).mean(0)
    level = float((weight_M * target_M).mean())
    x, y = features_MD - center_D, target_M - level
    values, vectors = torch.linalg.eigh(x.T @ (weight_M[:, None] * x))
    moment = vectors.T @ (x.T @ (weight_M * y))
    fits = []
    for strength in strengths:
        weights_D = vectors @ (moment / (values.clamp_min(0) + strength * x.shape[1]))
        fits.append((weights_D, level - float(center_D @ weights_D)))
    return fits
