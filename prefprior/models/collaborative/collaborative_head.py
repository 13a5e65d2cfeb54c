"""The collaborative head: matrix factorisation of the training interactions, beside the retriever.

The retriever reads embeddings and is trained by gradient. Factorisation knows items by identity and takes seconds; it
is stronger where items have many ratings. Likes are factorised, and for graded ratings all ratings as well. The
like score is blended with the retriever's score; `Blend` fits the weights to the likes of validation users.
The rating head reads both scores: the ratio of a like's probability to a rating's says how an item would be rated.

Shapes: B users, K history, N items, Q factors, D dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Module

from prefprior.errors import require_between
from prefprior.history import History, PreferenceBatch
from prefprior.models.collaborative.blend import Blend
from prefprior.models.collaborative.factorization import Factorization
from prefprior.models.collaborative.interactions import Interactions
from prefprior.models.collaborative.item_factors import ItemFactors
from prefprior.models.preparation import TrainingData
from prefprior.models.recorded import Recorded
from prefprior.models.retriever.negatives import Negatives
from prefprior.models.scale import Standardize
from prefprior.space import Space

MOST_RATINGS = 20_000_000  # factorised, those of random users
Scores = Callable[[Tensor], Tensor]  # of one catalogue (N, D) -> (B, N)
CANDIDATES = 4096  # of the softmax on validation users; all rated items if there are no more


class CollaborativeHead(Recorded, Module):
    """Item factors; users are folded in from their histories, one solve each."""

    has_liked: Tensor
    has_rated: Tensor

    def __init__(self, *, space: Space, scale: Standardize, dim: int = 64, sweeps: int = 12) -> None:
        """`dim` factors, found in `sweeps` between users and items."""
        require_between("collaborative.dim", dim, 1, 4096)
        require_between("collaborative.sweeps", sweeps, 1, 10_000)
        super().__init__()
        self.liked = Factorization(scale, dim, sweeps)
        self.rated = Factorization(scale, dim, sweeps)
        self.blend = Blend()
        self.negatives = Negatives(count=CANDIDATES)
        self.register_buffer("has_liked", torch.tensor(False))
        self.register_buffer("has_rated", torch.tensor(False))

    @property
    def has_learned(self) -> bool:
        """Whether the training part had likes of several users."""
        return bool(self.has_liked)

    def prepare(self, data: TrainingData) -> None:
        """Factorises the likes and, for graded ratings, all ratings."""
        users, scale = data.training_sequences(MOST_RATINGS), data.scale.scale
        embeddings_ID = data.catalogue.embeddings_ND
        liked_N = users.liked_N(scale)
        every_N = users.rated_N | liked_N  # a pick is a like, and what was passed over is no interaction
        liked = Interactions.of(users, liked_N)
        if len(users) < 2 or len(liked) == 0:
            return
        self.liked.learn(embeddings_ID, liked)
        self.has_liked = torch.tensor(True)
        if not liked_N[every_N].all():
            self.rated.learn(embeddings_ID, Interactions.of(users, every_N))
            self.has_rated = torch.tensor(True)
        self.negatives.prepare(data)

    def posterior(self, history: History) -> "CollaborativeScore":
        """User factors; computed once for any number of items."""
        with torch.autocast(history.embeddings_BKD.device.type, enabled=False):
            liked_BQ = self.liked.fold_in(history, history.liked_BK)
            rated_BQ = self.rated.fold_in(history, history.valid_BK & ~history.passed_BK) if self.has_rated else None
        return CollaborativeScore(self, liked_BQ, rated_BQ)

    def calibrate(
        self, batch: PreferenceBatch, score: Scores, factors: "CollaborativeScore", generator: torch.Generator
    ) -> None:
        """Updates the blend with a batch of validation users, from the retriever's score and the users' factors."""
        candidates = self.negatives.candidates(batch, generator)
        self.blend.see(score(candidates.raw_ND), factors.liked(candidates.raw_ND), candidates, batch)


@dataclass(frozen=True, eq=False)
class CollaborativeScore:
    """User factors, and their inner products with items of one catalogue (N, D) or of each user's own (B, N, D)."""

    head: CollaborativeHead
    liked_BQ: Tensor
    rated_BQ: Tensor | None

    def liked(self, raw: Tensor) -> Tensor:
        """(B, N) scores of a like."""
        return _products(self.liked_BQ, self.head.liked.items, raw)

    def rated(self, raw: Tensor) -> Tensor:
        """(B, N) scores of any rating; 0 where all ratings are likes."""
        if self.rated_BQ is None:
            return raw.new_zeros(len(self.liked_BQ), raw.shape[-2])
        return _products(self.rated_BQ, self.head.rated.items, raw)


def _products(user_BQ: Tensor, items: ItemFactors, raw: Tensor) -> Tensor:
    with torch.autocast(raw.device.type, enabled=False):
        return torch.einsum("bq,bnq->bn" if raw.ndim == 3 else "bq,nq->bn", user_BQ, items(raw))
