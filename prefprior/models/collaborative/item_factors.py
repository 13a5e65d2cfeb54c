"""Item factors, and their prediction from the embedding for items without.

Shapes: S rows at once, P known items, I items of the catalogue, Q factors, D dimension; `...` any
leading shape.
"""

import numpy as np
import torch
from torch import Tensor

from prefprior.models.known_items import KnownItems
from prefprior.models.scale import Standardize

RIDGES = np.logspace(-4, 2, 13)  # times the mean variance of a feature, tried for the guess
ROWS_AT_ONCE = 65_536


class ItemFactors(KnownItems):
    """Items with interactions in training have factors of their own; those of other items are predicted from their
    embeddings by ridge regression."""

    factor_PQ: Tensor
    gram_QQ: Tensor
    weights_DQ: Tensor
    mean_Q: Tensor

    def __init__(self, scale: Standardize, dim: int) -> None:
        super().__init__(factor_PQ=(dim,))
        self.scale = scale
        self.register_buffer("gram_QQ", torch.zeros(dim, dim))
        self.register_buffer("weights_DQ", torch.zeros(scale.space.dim, dim))
        self.register_buffer("mean_Q", torch.zeros(dim))

    def forward(self, raw: Tensor) -> Tensor:
        """(..., D) -> (..., Q)."""
        factors, known = self.known_factors(raw)
        return torch.where(known[..., None], factors, self.scale.directions(raw) @ self.weights_DQ + self.mean_Q)

    def known_factors(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """(..., Q) factors of known items, 0 for others, and (...) which are known."""
        place = self.place(raw)
        return self.column("factor_PQ", place), place >= 0

    def use(self, embeddings_ID: Tensor, row_P: Tensor, factor_PQ: Tensor) -> None:
        """Sets the factors of known items, whose rows of the table are given, and fits the regression on them."""
        self.factor_PQ = factor_PQ
        self.gram_QQ = factor_PQ.T @ factor_PQ
        self.mean_Q = factor_PQ.mean(0)
        moment_DD = torch.zeros(len(self.weights_DQ), len(self.weights_DQ), dtype=torch.float64)
        cross_DQ = torch.zeros_like(self.weights_DQ, dtype=torch.float64)
        centred_PQ = (factor_PQ - self.mean_Q).double()
        for part in torch.arange(len(row_P)).split(ROWS_AT_ONCE):
            x_SD = self.scale.directions(embeddings_ID[row_P[part]]).double()
            moment_DD += x_SD.T @ x_SD
            cross_DQ += x_SD.T @ centred_PQ[part]
        self.weights_DQ = _ridge(moment_DD, cross_DQ, float(centred_PQ.square().sum()), len(row_P)).float()


def _ridge(moment_DD: Tensor, cross_DQ: Tensor, total: float, rows: int) -> Tensor:
    """(D, Q) the ridge regression of least error by generalised cross-validation (Golub, Heath & Wahba 1979)."""
    value_D, direction_DD = torch.linalg.eigh(moment_DD)
    value_D = value_D.clamp(min=0)
    turned_DQ = direction_DD.T @ cross_DQ
    energy_D = turned_DQ.square().sum(1)
    best = (np.inf, 0.0)
    for ridge in RIDGES * max(float(value_D.mean()), 1e-12):
        inverse_D = 1 / (value_D + ridge)
        error = total - 2 * float((energy_D * inverse_D).sum()) + float((energy_D * value_D * inverse_D**2).sum())
        freedom = float((value_D * inverse_D).sum())
        if freedom < rows:
            best = min(best, (error / (1 - freedom / rows) ** 2, float(ridge)))
    if not np.isfinite(best[0]):
        return torch.zeros_like(cross_DQ)
    return direction_DD @ (turned_DQ / (value_D + best[1])[:, None])
