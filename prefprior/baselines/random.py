"""Random pictures in random order, which any predictor must beat.

Shapes: B users, N catalogue, n samples, D dimension.
"""

import torch
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.top_samples import draw_best
from prefprior.history import History
from prefprior.predictor import By, Catalogue
from prefprior.seeding import generator_of


class RandomPredictor(Baseline):
    """Scores are noise seeded by the user's id, so they do not depend on the batch."""

    def __init__(self, *, name: str = "random") -> None:
        super().__init__(name=name)

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): random pictures of the training catalogue."""
        scores_BN = torch.zeros(len(history), len(self.catalogue))
        return draw_best(scores_BN, history, self.catalogue, n, len(self.catalogue), generator)

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) noise."""
        return torch.stack([torch.rand(len(catalogue), generator=generator_of(user)) for user in history.users])
