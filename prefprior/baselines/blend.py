"""Content plus popularity: cosine to the mean of a user's likes, and how popular an item is.

Shapes: B users, N catalogue, n samples, D dimension.
"""

from typing import ClassVar

import torch
from torch import Tensor

from prefprior.baselines.mean import MeanOfLikes
from prefprior.baselines.popularity import Popularity
from prefprior.baselines.search import LogUniform, Search
from prefprior.baselines.top_samples import draw_best
from prefprior.history import History
from prefprior.predictor import By, Catalogue, TrainingPart


class Blend(MeanOfLikes):
    """Cosine to the mean of likes plus weighted popularity.

    Popularity is the log count of an item's ratings for `interaction`, their mean for `rating`, and both terms for
    `both`.
    """

    search: ClassVar[Search] = {"weight": LogUniform(0.003, 1), "rating_weight": LogUniform(0.03, 10)}

    def __init__(
        self, *, weight: float = 0.05, rating_weight: float = 0.5, pool: int = 64, name: str = "blend"
    ) -> None:
        """`weight` of the log count of an item's ratings and `rating_weight` of their mean, relative to the cosine;
        samples are drawn from the `pool` best pictures."""
        super().__init__(name=name)
        if min(weight, rating_weight) < 0:
            raise ValueError(
                f"baseline {name}: weight and rating_weight must be at least 0, got {weight} and {rating_weight}"
            )
        self.weight, self.rating_weight, self.pool = weight, rating_weight, pool
        self._popularity = Popularity()

    @property
    def two_scores(self) -> bool:
        """Whether the training part has graded ratings."""
        return self._popularity.two_scores

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Fits the popularity of items."""
        super().fit(training, validation, generator)
        self._popularity.fit(training, validation, generator)

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): pictures from the top of its ranking."""
        scores_BN = self.rank(history, self.catalogue, "both")
        return draw_best(scores_BN, history, self.catalogue, n, self.pool, generator)

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) cosines with the mean of likes, plus popularity."""
        scores_BN = super().rank(history, catalogue)
        if by != "rating" or not self.two_scores:
            scores_BN += self.weight * self._popularity.popularity(catalogue, "interaction")
        if by != "interaction" and self.two_scores:
            scores_BN += self.rating_weight * self._popularity.popularity(catalogue, "rating")
        return scores_BN
