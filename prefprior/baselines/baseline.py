"""The base class of baselines: a name, and the catalogue it was fit on."""

from typing import ClassVar

import torch

from prefprior.baselines.search import Search
from prefprior.predictor import Catalogue, TrainingPart


class Baseline:
    """Keeps the training catalogue, which is all that most baselines need before they see a history."""

    search: ClassVar[Search] = {}  # the search space of `evaluate.py tune=...`

    def __init__(self, *, name: str) -> None:
        self.name = name
        self._catalogue: Catalogue | None = None

    @property
    def two_scores(self) -> bool:
        """Most baselines have one score, whatever `by` is."""
        return False

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue of the training part."""
        if self._catalogue is None:
            raise ValueError(f"the baseline {self.name} must be fit before it can rank or sample")
        return self._catalogue

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Keeps the catalogue of the training part."""
        self._catalogue = training.catalogue
