"""Popularity: how many ratings an item has, and how high they are. Not personal, and often hard to beat.

Shapes: N catalogue, B users, n samples, D dimension.
"""

import math

import torch
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.item_appeal import ItemAppeal, ItemRatings
from prefprior.baselines.top_samples import draw_best
from prefprior.history import History
from prefprior.predictor import By, Catalogue, TrainingPart


class Popularity(Baseline):
    """The log count of an item's ratings for `interaction`, their mean for `rating`.

    Both are shrunk towards predictions from embeddings. For `both`, the score is the log of their product, with the
    mean rescaled to 0..1. If all ratings are likes, the count is the only score.
    """

    def __init__(
        self,
        *,
        strengths: tuple[float, ...] = (1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3),
        pool: int = 64,
        name: str = "popularity",
    ) -> None:
        """`strengths` of the ridge are compared on a tenth of the items; samples are drawn from the `pool` pictures
        with the best ratings (with the most, if all are likes)."""
        super().__init__(name=name)
        if not strengths or min(strengths) <= 0:
            raise ValueError(f"baseline {name}: strengths must be positive numbers, got {strengths}")
        self.strengths, self.pool = tuple(strengths), pool
        self._count: ItemAppeal | None = None
        self._rating: ItemAppeal | None = None

    @property
    def two_scores(self) -> bool:
        """Whether the training part has graded ratings."""
        return self._rating is not None

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Estimates counts and, for graded ratings, means."""
        super().fit(training, validation, generator)

        def appeal(counted: bool) -> ItemAppeal:
            rated = ItemRatings.of(training, counted=counted)
            return ItemAppeal(training.catalogue, rated, self.strengths, generator)

        self._rating = None if training.ratings.scale.liked_only else appeal(counted=False)
        self._count = appeal(counted=True)

    def popularity(self, catalogue: Catalogue, by: By) -> Tensor:
        """(N,) log count, expected rating, or the log of their product."""
        assert self._count is not None, "popularity must be fit before it can rank or sample"
        if self._rating is None or by == "interaction":
            return self._count.of(catalogue)
        rating_N = self._rating.of(catalogue)
        if by == "rating":
            return rating_N
        # The floor keeps the log finite, so items with the worst rating are still ordered by count.
        return self._count.of(catalogue) + ((1 + rating_N) / 2).clamp_min(math.exp(-10)).log()

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): the best rated pictures that the user has not seen."""
        scores_BN = self.rank(history, self.catalogue, "rating")
        return draw_best(scores_BN, history, self.catalogue, n, self.pool, generator)

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) the same scores for every user."""
        return self.popularity(catalogue, by).repeat(len(history), 1)
