"""Weighted alternating least squares held to CLIP: item factors are regularised towards the items' embeddings.

Minimises over users u and items v

    sum over ratings (u.v - r)^2 + zeros * sum over all pairs (u.v)^2
      + user_strength * sum |u - mean u|^2 + pull * sum |v - x|^2

with x the standardised unit embedding of an item. With a strong pull, users are directions in CLIP space (ridge
regression towards their mean). With a weak one, this is plain matrix factorisation (Hu, Koren & Volinsky 2008). Users
outside the training part are folded in from their history. Items without training ratings keep x.

Shapes: U users, I items (I = N, the catalogue), B users, K history, n samples, D dimension.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.cosine import ROWS
from prefprior.baselines.least_squares import Shared, conjugate_gradient, exact, exact_narrow, folded
from prefprior.baselines.search import LogUniform, Search
from prefprior.baselines.top_samples import draw_best
from prefprior.baselines.tuning import quality
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.held_out import HeldOutUsers
from prefprior.factorization.sparse import Sparse
from prefprior.history import History
from prefprior.predictor import By, Catalogue, TrainingPart

# Rows with at most this many ratings are solved exactly, by an n x n system; others by conjugate gradient steps.
FEW = 64
# Suffix of the space of refined embeddings, which decoders of the original space must refuse.
REFINED = "+wals"
# Elements held at once when factors are gathered for ratings.
FLOATS = 1 << 22
# The share of the training ratings held out to choose weights, and the most users they are measured on.
HELD_SHARE, HELD_USERS = 0.1, 1000
TRIAL_SWEEPS = 6


@dataclass(frozen=True)
class Weights:
    """Weights of the regularising terms."""

    pull: float
    user_strength: float
    zeros: float


# From items tied to their embeddings to plain factorisation, in which only the product of pull and user_strength
# matters. There, a strong ridge on users makes item factors long, so that an embedding (of norm 1, however often its
# item was rated) counts for little. If all ratings are likes and `zeros` is 0, a score of 1 for every pair is optimal.
CHOICES = (Weights(10.0, 1.0, 0.01), Weights(1.0, 20.0, 0.02), Weights(0.1, 100.0, 0.03))


class Wals(Baseline):
    """Matrix factorisation in CLIP space; `refined` are the item embeddings after the update by ratings."""

    search: ClassVar[Search] = {
        "pull": LogUniform(0.03, 30),
        "user_strength": LogUniform(0.3, 300),
        "zeros": LogUniform(0.003, 0.3),
    }

    def __init__(
        self,
        *,
        pull: float | None = None,
        user_strength: float | None = None,
        zeros: float | None = None,
        sweeps: int = 12,
        steps: int = 3,
        pool: int = 64,
        export: str | None = None,
        name: str = "wals",
    ) -> None:
        """`pull` is the weight of the ridge that pulls item factors to their embeddings, `user_strength` that of the
        ridge on users, `zeros` that of every pair as a 0. Those not given are chosen together from `CHOICES`, on a
        held-out tenth of the training ratings. `steps` of conjugate gradient per sweep; `export` is a folder for
        refined embeddings."""
        super().__init__(name=name)
        known = {"pull": pull, "user_strength": user_strength, "zeros": zeros}
        given = {key: value for key, value in known.items() if value is not None}
        if any(value < 0 or (value == 0 and key != "zeros") for key, value in given.items()):
            raise ValueError(f"baseline {name}: pull and user_strength must be above 0, zeros at least 0; got {given}")
        if sweeps < 1 or steps < 1:
            raise ValueError(f"baseline {name}: sweeps and steps must be at least 1, got {sweeps} and {steps}")
        self.choices = tuple(dict.fromkeys(replace(choice, **given) for choice in CHOICES))
        self.weights = self.choices[0]
        self.sweeps, self.steps, self.pool, self.export = sweeps, steps, pool, export
        self._factors_ID = torch.empty(0)
        self._other: tuple[Catalogue, Tensor] | None = None

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Chooses weights, then alternates between users and items."""
        super().fit(training, validation, generator)
        self._choose(training, generator)
        self._alternate(training, self.sweeps)
        if self.export is not None:
            self.write(self.export)

    def _alternate(self, training: TrainingPart, sweeps: int) -> None:
        self.begin(training)
        for _ in range(sweeps):
            self.sweep()
        self._shared = Shared(self._factors_ID[self._warm], self.weights.zeros, self.weights.user_strength)

    def _choose(self, training: TrainingPart, generator: torch.Generator) -> None:
        """Keeps the weights with the best `quality` on held-out ratings."""
        table = training.ratings
        held_N = (torch.rand(len(table), generator=generator) < HELD_SHARE).numpy()
        rest = TrainingPart(table.take(np.flatnonzero(~held_N)), training.catalogue)
        held_out = HeldOutUsers.of(rest.ratings, table.take(np.flatnonzero(held_N)), training.catalogue).first(
            HELD_USERS
        )
        if len(self.choices) == 1 or len(held_out) == 0:
            return
        found = []
        for weights in self.choices:
            self.weights = weights
            self._alternate(rest, min(self.sweeps, TRIAL_SWEEPS))
            found.append((quality(self.rank, held_out), weights))
        # `max` keeps the first of equal values: the one nearest to the embeddings.
        self.weights = max(found, key=lambda pair: pair[0])[1]

    def begin(self, training: TrainingPart) -> None:
        """Item factors start at their embeddings, users at 0."""
        self._catalogue, self._other, table = training.catalogue, None, training.ratings
        self._factors_ID = torch.cat(
            [_features(self.catalogue, start) for start in range(0, len(self.catalogue), ROWS)]
        )
        codes, user_N = np.unique(table.user_N, return_inverse=True)
        warm, item_N = np.unique(table.item_N, return_inverse=True)
        # Items without ratings may never have been shown, so they are left out, as zeros and in the solves.
        self._warm = torch.from_numpy(warm.astype(np.int64))
        rating_N = table.scale.signed(table.rating_N)
        self._by_user = Sparse.of(user_N, item_N, rating_N, len(codes))
        self._by_item = Sparse.of(item_N, user_N, rating_N, len(warm))
        self._users_UD = torch.zeros(len(codes), self._factors_ID.shape[1])
        self._mean_D = torch.zeros(self._factors_ID.shape[1])

    def sweep(self) -> None:
        """Updates users, their mean, then items; the objective never increases."""
        items = Shared(self._factors_ID[self._warm], self.weights.zeros, self.weights.user_strength)
        width = items.factors_MD.shape[1]
        for rows in self._by_user.batches(width):
            anchor_bD = self._mean_D.expand(len(rows), -1)
            self._users_UD[rows] = _better(items, self._by_user, rows, anchor_bD, self._users_UD[rows], self.steps)
        del items
        self._mean_D = self._users_UD.mean(0)
        users = Shared(self._users_UD, self.weights.zeros, self.weights.pull)
        for rows in self._by_item.batches(width):
            places = self._warm[rows]
            anchor_bD = self.catalogue.space.directions(self.catalogue.embeddings_ND[places])
            self._factors_ID[places] = _better(
                users, self._by_item, rows, anchor_bD, self._factors_ID[places], self.steps
            )

    def objective(self) -> float:
        """The objective of the sweeps, summed in float64."""
        users = self._users_UD.double()
        some = max(1, FLOATS // users.shape[1])
        row = torch.repeat_interleave(torch.arange(len(users)), self._by_user.count_R)
        error = 0.0
        for start in range(0, len(row), some):
            part = slice(start, start + some)
            items = self._factors_ID[self._warm[self._by_user.column_N[part]]].double()
            score = (users[row[part]] * items).sum(1)
            error += float((score - self._by_user.rating_N[part]).square().sum())
        moved, gram_DD = 0.0, torch.zeros(users.shape[1], users.shape[1], dtype=torch.float64)
        for places in self._warm.split(some):
            items = self._factors_ID[places].double()
            anchors = self.catalogue.space.directions(self.catalogue.embeddings_ND[places]).double()
            moved += float((items - anchors).square().sum())
            if self.weights.zeros:
                gram_DD += items.T @ items
        return (
            error
            + self.weights.zeros * float(((users.T @ users) * gram_DD).sum())
            + self.weights.user_strength * float((users - self._mean_D.double()).square().sum())
            + self.weights.pull * moved
        )

    def fold_in(self, history: History) -> Tensor:
        """(B, D) user factors from histories; for an empty one, the mean user shrunk by the `zeros` term."""
        history = history.as_ratings()
        factors_BKD = self.catalogue.space.directions(history.embeddings_BKD)
        known_BK = history.items_BK >= 0
        factors_BKD = torch.where(known_BK[..., None], self._factors_ID[history.items_BK.clamp_min(0)], factors_BKD)
        valid_BK = history.valid_BK
        return folded(
            self._shared,
            factors_BKD * valid_BK[..., None],
            history.ratings_BK * valid_BK,
            self._mean_D.expand(len(history), -1),
        )

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): pictures from the top of its ranking."""
        return draw_best(self.rank(history, self.catalogue), history, self.catalogue, n, self.pool, generator)

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) inner products of users and items."""
        return self.fold_in(history) @ self._items(catalogue).T

    def refined(self) -> Tensor:
        """(N, D) item factors as raw embeddings, each scaled by the norm of its own embedding."""
        space = self.catalogue.space
        parts = []
        for start in range(0, len(self.catalogue), ROWS):
            scaled = space.to_model(self.catalogue.embeddings_ND[start : start + ROWS].float())
            length = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
            parts.append(space.from_model(self._factors_ID[start : start + ROWS] * length))
        return torch.cat(parts)

    def write(self, folder: str | Path) -> None:
        """Writes the refined embeddings as a table of their own space, as `embeddings=wals` reads it."""
        name = f"{self.catalogue.space.name}{REFINED}"
        EmbeddingTable.write(folder, name, self.catalogue.ids, self.refined().numpy(), encoder={"refined_by": "wals"})

    def _items(self, catalogue: Catalogue) -> Tensor:
        """Item factors of a catalogue: from training for known items, embeddings for others."""
        if catalogue is self.catalogue:
            return self._factors_ID
        if self._other is None or self._other[0] is not catalogue:
            rows = {item: row for row, item in enumerate(self.catalogue.ids)}
            factors = torch.cat([_features(catalogue, start) for start in range(0, len(catalogue), ROWS)])
            known = [(i, rows[item]) for i, item in enumerate(catalogue.ids) if item in rows]
            if known:
                there, here = (torch.tensor(column) for column in zip(*known, strict=True))
                factors[there] = self._factors_ID[here]
            self._other = (catalogue, factors)
        return self._other[1]


def _features(catalogue: Catalogue, start: int) -> Tensor:
    return catalogue.space.directions(catalogue.embeddings_ND[start : start + ROWS])


def _better(shared: Shared, ratings: Sparse, rows: Tensor, anchor_bD: Tensor, current_bD: Tensor, steps: int) -> Tensor:
    column_bn, rating_bn, valid_bn = ratings.padded(rows)
    if column_bn.shape[1] > FEW:
        return conjugate_gradient(shared, column_bn, rating_bn, valid_bn, anchor_bD, current_bD, steps)
    solve = exact_narrow if shared.narrow else exact
    return solve(shared, column_bn, rating_bn, valid_bn, anchor_bD)
