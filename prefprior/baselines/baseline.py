"""What every baseline shares: a name, and the catalogue it was fit on."""

import torch

from prefprior.predictor import Catalogue, TrainingPart


class Baseline:
    """Keeps the training catalogue; most baselines learn nothing else before they see a history."""

    two_scores = False

    def __init__(self, *, name: str) -> None:
        self.name = name
        self._catalogue: Catalogue | None = None

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue of the training part."""
        if self._catalogue is None:
            raise ValueError(f"the baseline {self.name} was asked before it was fit")
        return self._catalogue

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Learns from the training part."""
        self._catalogue = training.catalogue
