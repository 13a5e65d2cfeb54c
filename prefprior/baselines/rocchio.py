"""Rocchio's relevance feedback (1971): the mean of likes minus a share of the mean of dislikes.

Shapes: B users, K history, N catalogue, n samples, D dimension.
"""

from typing import ClassVar

import torch
from torch import Tensor

from prefprior.baselines.cosine import history_directions, weighted_mean
from prefprior.baselines.mean import MeanOfLikes
from prefprior.baselines.search import OneOf, Search
from prefprior.baselines.tuning import mean_auc
from prefprior.data.held_out import HeldOutUsers
from prefprior.history import History
from prefprior.predictor import TrainingPart


class Rocchio(MeanOfLikes):
    """Mean of likes minus weighted mean of dislikes; the weight is chosen on users of the validation part."""

    search: ClassVar[Search] = {"weights": OneOf(tuple([k / 10] for k in range(16)))}

    def __init__(
        self, *, weights: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0), users: int = 200, name: str = "rocchio"
    ) -> None:
        """Candidate `weights` of the dislikes, compared on at most `users` users."""
        super().__init__(name=name)
        if not weights or min(weights) < 0:
            raise ValueError(f"baseline {name}: weights must be numbers of at least 0, got {weights}")
        self.weights, self.users = tuple(weights), users
        self.weight = self.weights[len(self.weights) // 2]

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Keeps the weight with the best AUC on the second halves of validation (else training) users' ratings."""
        super().fit(training, validation, generator)
        part = validation or training
        held_out = HeldOutUsers.halves(part.ratings, part.catalogue).first(self.users)
        if len(held_out) == 0 or len(self.weights) == 1:
            return
        history, rows_BT = held_out.history(), held_out.held_item_BT.clamp_min(0)
        accuracy = []
        for weight in self.weights:
            self.weight = weight
            accuracy.append(mean_auc(self.rank(history, part.catalogue).gather(1, rows_BT), held_out) or 0.0)
        # `max` keeps the first of equal values: without any dislikes, the first weight.
        self.weight = max(zip(accuracy, self.weights, strict=True), key=lambda pair: pair[0])[1]

    def query(self, history: History) -> Tensor:
        """(B, D) mean of likes minus `weight` times the mean of dislikes."""
        directions_BKD = history_directions(self.catalogue.space, history)
        likes_BD = weighted_mean(directions_BKD, history.liked_BK.float())
        return likes_BD - self.weight * weighted_mean(directions_BKD, history.disliked_BK.float())
