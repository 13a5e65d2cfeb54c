"""The predictor that knows the truth, which only a world has: what retrieval can reach at most.

Shapes: B users, N catalogue, n samples, D dimension.
"""

import numpy as np
import torch
from torch import Tensor

from prefprior.history import History
from prefprior.predictor import By, Catalogue, TrainingPart
from prefprior.world.source import WorldSource


class Oracle:
    """Knows the true utility of every user and returns the best items of the catalogue."""

    name = "oracle"
    two_scores = False

    def __init__(self, source: WorldSource) -> None:
        self.source = source
        self._catalogue: Catalogue | None = None

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Needs the catalogue only."""
        self._catalogue = training.catalogue

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): the best n pictures of the catalogue."""
        assert self._catalogue is not None, "the oracle must be fit before it can rank or sample"
        best_Bn = self.rank(history, self._catalogue).topk(n, dim=1).indices
        return self._catalogue.embeddings_ND[best_Bn].float()

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) true utilities."""
        utility_BN = [self.source.utility(user, catalogue.embeddings_ND) for user in history.users]
        return torch.from_numpy(np.stack(utility_BN))
