"""The mean of a user's likes: the simplest personal predictor, and hard to beat with few likes.

Shapes: B users, K history, N catalogue, n samples, D dimension.
"""

import torch
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.cosine import CosineRanker, history_directions, shell, weighted_mean
from prefprior.history import History
from prefprior.predictor import By, Catalogue


class MeanOfLikes(Baseline):
    """One direction per user, the mean of their likes; all n samples are that one point."""

    def __init__(self, *, name: str = "mean") -> None:
        super().__init__(name=name)
        self._cosine = CosineRanker()

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): the mean direction with the norm of real pictures, n times."""
        space = self.catalogue.space
        return shell(space, self.query(history))[:, None].expand(-1, n, -1)

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) cosines with the mean direction."""
        return self._cosine(self.query(history), catalogue)

    def query(self, history: History) -> Tensor:
        """(B, D) the mean of likes among standardised unit vectors."""
        return weighted_mean(history_directions(self.catalogue.space, history), history.liked_BK.float())
