"""Model scale: the coordinates in which networks, objectives and solvers work, learned or taken from the space.

Generator, retriever and candidate selection share one scale. Outside of it vectors are raw projections.

Shapes: `...` any leading shape, N items, S rows read together, D dimension.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from prefprior.models.preparation import TrainingData
from prefprior.models.recorded import Recorded
from prefprior.space import Space

ROWS_AT_ONCE = 65536


class Standardize(Recorded, nn.Module):
    """Zero mean and unit variance per dimension: the space's own statistics, as buffers that follow a network."""

    mean_D: Tensor
    std_D: Tensor

    def __init__(self, *, space: Space) -> None:
        super().__init__()
        self.space = space
        # Copies: a buffer may be written to (averaging swaps them), a space's arrays are shared by all who know it.
        self.register_buffer("mean_D", torch.tensor(space.mean_D), persistent=False)
        self.register_buffer("std_D", torch.tensor(space.std_D), persistent=False)

    def prepare(self, data: TrainingData) -> None:
        """The space's statistics are all it needs."""

    def to_model(self, raw: Tensor) -> Tensor:
        """Raw projections -> model scale."""
        return (raw - self.mean_D) / self.std_D

    def from_model(self, scaled: Tensor) -> Tensor:
        """The inverse of `to_model`."""
        return scaled * self.std_D + self.mean_D

    def directions(self, raw: Tensor) -> Tensor:
        """Raw projections -> unit vectors in model scale; the similarity of two items is their cosine."""
        return normalize(self.to_model(raw.float()), dim=-1)


class Whiten(Standardize):
    """ZCA whitening on top of it: the catalogue varies alike along every direction.

    Catalogues vary far more along some directions than along others, and distances and cosines see little but the
    former. ZCA is the whitening closest to the identity. It is learned once from the catalogue and saved with the
    weights; until then it is the identity.
    """

    whiten_DD: Tensor
    unwhiten_DD: Tensor

    def __init__(self, *, space: Space, shrinkage: float = 0.02) -> None:
        """`shrinkage` is added to the variance along every direction, whose mean is 1: directions that hardly vary are
        not blown up. With few items their variance is mostly noise, so use more then."""
        if not shrinkage > 0:
            raise ValueError(f"scale.shrinkage must be above 0, got {shrinkage}")
        super().__init__(space=space)
        self.shrinkage = shrinkage
        self.register_buffer("whiten_DD", torch.eye(space.dim))
        self.register_buffer("unwhiten_DD", torch.eye(space.dim))

    def prepare(self, data: TrainingData) -> None:
        """Learns the covariance of the whole catalogue."""
        self.fit(data.catalogue.embeddings_ND)

    def fit(self, raw_ND: Tensor) -> None:
        """Learns the covariance of these embeddings."""
        dim = self.space.dim
        outer_DD, sum_D = torch.zeros(dim, dim, dtype=torch.float64), torch.zeros(dim, dtype=torch.float64)
        for rows_SD in raw_ND.split(ROWS_AT_ONCE):  # the table may be memory-mapped and far larger than memory
            standard_SD = super().to_model(rows_SD.to(self.mean_D)).cpu().double()
            outer_DD += standard_SD.T @ standard_SD
            sum_D += standard_SD.sum(0)
        covariance_DD = outer_DD / len(raw_ND) - torch.outer(sum_D, sum_D) / len(raw_ND) ** 2
        variance_D, direction_DD = torch.linalg.eigh(covariance_DD)
        std_D = (variance_D.clamp(min=0) + self.shrinkage).sqrt()
        self.whiten_DD.copy_(direction_DD / std_D @ direction_DD.T)
        self.unwhiten_DD.copy_(direction_DD * std_D @ direction_DD.T)

    def to_model(self, raw: Tensor) -> Tensor:
        """Raw projections -> unit variance along every direction whose variance is well above `shrinkage`."""
        return _product(super().to_model(raw), self.whiten_DD)

    def from_model(self, scaled: Tensor) -> Tensor:
        """The inverse of `to_model`."""
        return super().from_model(_product(scaled, self.unwhiten_DD))


def _product(vectors: Tensor, matrix_DD: Tensor) -> Tensor:
    with torch.autocast(vectors.device.type, enabled=False):  # half precision would not invert
        return vectors.float() @ matrix_DD
