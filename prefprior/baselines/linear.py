"""One linear direction per user, fit on their own history alone: SVM, logistic regression or ridge.

Shapes: B users, K history, M random pictures as negatives, N catalogue, n samples, D dimension.
"""

from typing import ClassVar

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.cosine import history_directions, inner, weighted_mean
from prefprior.baselines.search import LogUniform, Search
from prefprior.baselines.top_samples import draw_best
from prefprior.errors import require_choice
from prefprior.history import History
from prefprior.predictor import By, Catalogue, TrainingPart

METHODS = ("svm", "logistic", "ridge")


class PersonalDirection(Baseline):
    """Ranks by the inner product with a direction that separates a user's likes from their dislikes."""

    search: ClassVar[Search] = {"strength": LogUniform(0.01, 100)}

    def __init__(
        self, *, method: str, strength: float = 1.0, others: int = 64, pool: int = 64, name: str | None = None
    ) -> None:
        """`strength` of the regularisation; `others` random pictures are the negatives of users without dislikes.

        Samples are drawn from the `pool` best pictures: a direction is the normal of a plane, not a point.
        """
        require_choice("baseline method", method, METHODS)
        super().__init__(name=name or method)
        if strength <= 0 or others < 1:
            raise ValueError(f"baseline {self.name}: strength and others must be above 0, got {strength} and {others}")
        self.method, self.strength, self.others, self.pool = method, strength, others, pool
        self._others_MD = torch.empty(0)

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Draws the random negatives."""
        super().fit(training, validation, generator)
        rows = torch.randperm(len(training.catalogue), generator=generator)[: self.others]
        self._others_MD = training.catalogue.space.directions(training.catalogue.embeddings_ND[rows])

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): pictures from the top of its ranking."""
        return draw_best(self.rank(history, self.catalogue), history, self.catalogue, n, self.pool, generator)

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) inner products of standardised pictures with the direction."""
        return inner(self.query(history), catalogue)

    def query(self, history: History) -> Tensor:
        """(B, D) directions; zero for an empty history."""
        history = history.as_ratings()
        directions_BKD = history_directions(self.catalogue.space, history)
        fit = self._ridge if self.method == "ridge" else self._classifier
        return torch.stack(
            [
                fit(directions_KD[valid_K], ratings_K[valid_K])
                for directions_KD, ratings_K, valid_K in zip(
                    directions_BKD, history.ratings_BK, history.valid_BK, strict=True
                )
            ]
        )

    def _ridge(self, directions_KD: Tensor, ratings_K: Tensor) -> Tensor:
        """Ridge regression of ratings in the dual form: one K x K solve, independent of D."""
        gram_KK = directions_KD @ directions_KD.T
        # Ratings are not centred: with likes alone the direction must still point at them.
        return directions_KD.T @ torch.linalg.solve(gram_KK + self.strength * torch.eye(len(directions_KD)), ratings_K)

    def _classifier(self, directions_KD: Tensor, ratings_K: Tensor) -> Tensor:
        likes_KD, dislikes_KD = directions_KD[ratings_K > 0], directions_KD[ratings_K < 0]
        if len(likes_KD) == 0:
            # Without likes, the direction points away from the mean of dislikes.
            return -weighted_mean(dislikes_KD[None], torch.ones(1, len(dislikes_KD)))[0]
        if len(dislikes_KD) == 0:
            dislikes_KD = self._others_MD
        features = torch.cat([likes_KD, dislikes_KD]).numpy().astype(np.float64)
        liked = np.arange(len(features)) < len(likes_KD)
        inverse = 1.0 / self.strength
        if self.method == "svm":
            model = LinearSVC(C=inverse, class_weight="balanced", max_iter=2000, random_state=0)
        else:
            model = LogisticRegression(C=inverse, class_weight="balanced", max_iter=500)
        model.fit(features, liked)
        return torch.from_numpy(model.coef_[0].astype(np.float32))
