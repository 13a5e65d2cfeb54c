"""Chance: random pictures in a random order. It frames every table from below.

Shapes: B users, N catalogue, n samples, D dimension.
"""

import hashlib

import torch
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.top_samples import draw_best
from prefprior.history import History
from prefprior.predictor import Catalogue


class RandomPredictor(Baseline):
    """Scores are noise, by person; the same person gets the same noise whoever else is in the batch."""

    def __init__(self, *, name: str = "random") -> None:
        super().__init__(name=name)

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): random pictures of the training catalogue."""
        scores_BN = torch.zeros(len(history), len(self.catalogue))
        return draw_best(scores_BN, history, self.catalogue, n, len(self.catalogue), generator)

    def rank(self, history: History, catalogue: Catalogue) -> Tensor:
        """(B, N) noise."""
        return torch.stack([torch.rand(len(catalogue), generator=_generator_of(user)) for user in history.users])


def _generator_of(user: str) -> torch.Generator:
    digest = hashlib.sha256(user.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
