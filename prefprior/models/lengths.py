"""Bounds on the lengths of samples: the lengths of the pictures nearest in direction.

Shapes: P pictures kept, k of them near a sample, S samples bounded together, D dimension; `...` any leading shape.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.models.learned_tables import LearnedTables
from prefprior.models.preparation import TrainingData

KEPT = 4096  # pictures: 10 MB at 1280 dimensions
NEAR = 32  # pictures whose lengths bound that of a sample
TRIMMED = 1  # of them at either end: the shortest and the longest of 32 may be outliers
AT_ONCE = 4096  # samples compared at once with all pictures kept: 67 MB of cosines


class Lengths(LearnedTables):
    """Bounds the length of a sample by those of the pictures that are nearest to it in direction.

    Few solver steps, guidance and regression to the mean produce lengths that no picture has and no decoder expects.
    But length may carry information about a picture, so a single length does not suit all samples. Within the bounds, a
    sample keeps the length that the generator gave it. A random subset of the catalogue is kept in half precision.
    There are no bounds before `learn`.
    """

    direction_PD: Tensor
    length_P: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__(length_P=torch.zeros(0), direction_PD=torch.zeros(0, dim, dtype=torch.float16))

    def prepare(self, data: TrainingData) -> None:
        """Keeps a subset of the catalogue."""
        self.learn(data.catalogue.embeddings_ND)

    def learn(self, raw_ND: Tensor) -> None:
        """Keeps at most `KEPT` of these embeddings, chosen deterministically."""
        chosen = torch.randperm(len(raw_ND), generator=torch.Generator().manual_seed(0))[:KEPT]
        # Sorted, so that reads of a memory map are sequential.
        raw_PD = raw_ND[chosen.sort().values].to(self.length_P.device, torch.float32)
        raw_PD = raw_PD[raw_PD.any(dim=1)]  # a vector of zeros has no direction
        self.direction_PD = normalize(raw_PD, dim=1).to(self.direction_PD.dtype)
        self.length_P = raw_PD.norm(dim=1)

    def bounded(self, raw: Tensor) -> Tensor:
        """(..., D) each sample in its own direction, neither shorter nor longer than the pictures around it."""
        if not len(self.length_P):
            return raw
        parts_SD = raw.flatten(0, -2).split(AT_ONCE)
        return torch.cat([self._bounded(part_SD) for part_SD in parts_SD]).view_as(raw)

    def _bounded(self, raw_SD: Tensor) -> Tensor:
        count = min(NEAR, len(self.length_P))
        with torch.autocast(raw_SD.device.type, enabled=False):  # half precision is too coarse to find neighbours
            raw_SD = raw_SD.float()
            cosine_SP = normalize(raw_SD, dim=1) @ self.direction_PD.float().T
        near_Sk = self.length_P[cosine_SP.topk(count, dim=1).indices].sort(dim=1).values
        trimmed = min(TRIMMED, (count - 1) // 2)
        shortest_S1, longest_S1 = near_Sk[:, trimmed, None], near_Sk[:, count - 1 - trimmed, None]
        length_S1 = raw_SD.norm(dim=1, keepdim=True)
        bound_S1 = torch.minimum(torch.maximum(length_S1, shortest_S1), longest_S1)
        return raw_SD * (bound_S1 / length_S1.clamp(min=1e-12))
