"""EASE: item-item weights in closed form (Steck 2019, arXiv:1905.03375, eq. 8), optionally with item embeddings.

B minimises |X - X B|^2 + strength * |B|^2 with a diagonal of 0. With P = (X^T X + strength I)^-1 it is
B_ij = -P_ij / P_jj. Embeddings are added as further users: each dimension "likes" an item by its value there.

Shapes: U users and E embedding dimensions are the rows R of X, M items are its columns; B users, N catalogue,
n samples, D dimension.
"""

from typing import ClassVar, Protocol

import numpy as np
import torch
from scipy.linalg import lapack
from scipy.sparse import csr_array
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.interactions import Items, training_matrix
from prefprior.baselines.search import LogUniform, OneOf, Search
from prefprior.baselines.top_samples import draw_best
from prefprior.errors import require_between
from prefprior.history import History
from prefprior.predictor import By, Catalogue, TrainingPart

# Columns per block, in addition to the solution itself: 1024 x 20,000 in float64 is 164 MB.
COLUMNS = 1024


class Ease(Baseline):
    """Scores an item by the sum of the item-item weights of a user's likes."""

    search: ClassVar[Search] = {
        "strength": LogUniform(10, 10_000),
        "features": OneOf((0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)),
        "unliked": OneOf((0.0, 0.5, 1.0)),
    }

    def __init__(
        self,
        *,
        strength: float = 150.0,
        features: float = 10.0,
        unliked: float = 0.0,
        largest: int = 20_000,
        pool: int = 64,
        name: str = "ease",
    ) -> None:
        """`strength` of the ridge; `features` is the weight of an embedding relative to a like. With 0, items without
        likes in training score 0. `unliked` is the value of a rating that is not a like. The matrix to invert is at
        most `largest` x `largest`: over items, or over users and dimensions, whichever are fewer."""
        super().__init__(name=name)
        if not strength > 0 or features < 0 or largest < 1:
            raise ValueError(
                f"baseline {name}: strength must be above 0, features at least 0 and largest at least 1, got "
                f"{strength}, {features} and {largest}"
            )
        require_between(f"baseline {name}: unliked", unliked, 0, 1)
        self.strength, self.features, self.unliked = strength, features, unliked
        self.largest, self.pool = largest, pool
        self._items = Items([])
        self._solution: _Solution | None = None

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Inverts the Gram matrix of items, or that of users and dimensions, whichever is smaller."""
        super().fit(training, validation, generator)
        catalogue, liked_UN = self.catalogue, training_matrix(training, self.unliked)
        # Without embeddings, items without likes have no weights.
        rows = np.arange(len(catalogue)) if self.features else np.unique(liked_UN.indices)
        self._items = Items([catalogue.ids[row] for row in rows])
        directions_MD = catalogue.space.directions(catalogue.embeddings_ND[torch.from_numpy(rows)]).numpy()
        features_ME = self.features**0.5 * (directions_MD if self.features else directions_MD[:, :0])
        liked_UM = csr_array(liked_UN[:, rows])
        self._require_size(liked_UM.shape[0] + features_ME.shape[1], len(rows))
        solve = _ByItems if len(rows) <= liked_UM.shape[0] + features_ME.shape[1] else _ByRows
        self._solution = solve(liked_UM, features_ME, self.strength)

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): pictures from the top of its ranking."""
        return draw_best(self.rank(history, self.catalogue), history, self.catalogue, n, self.pool, generator)

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) sums of weights over a user's likes; 0 for items outside the training catalogue."""
        assert self._solution is not None, "ease must be fit before it can rank or sample"
        scores_BM = self._solution.scores(self._items.history_matrix(history, catalogue, self.unliked))
        return self._items.spread(torch.from_numpy(scores_BM), catalogue)

    def _require_size(self, rows: int, items: int) -> None:
        if min(rows, items) > self.largest:
            gigabytes = 8 * min(rows, items) ** 2 / 1e9
            raise ValueError(
                f"baseline {self.name}: {items:,} items and {rows:,} users and dimensions are too many for a closed "
                f"form, which inverts a dense matrix over the fewer of both ({gigabytes:,.0f} GB; "
                f"largest={self.largest:,}). Leave {self.name} out and compare with ials or wals, which scale to any "
                f"number, or raise baselines.{self.name}.largest if memory allows"
            )


class _Solution(Protocol):
    def scores(self, liked_BM: csr_array) -> np.ndarray:
        """(B, M) float32: x B for rows x of likes."""


class _ByItems:
    """The weight matrix B, if there are fewer items than users and dimensions."""

    def __init__(self, liked_UM: csr_array, features_ME: np.ndarray, strength: float) -> None:
        items, by_item = liked_UM.shape[1], liked_UM.tocsc().astype(np.float64)
        gram_MM = np.empty((items, items), order="F")
        for start in range(0, items, COLUMNS):
            some = slice(start, start + COLUMNS)
            gram_MM[:, some] = (by_item.T @ by_item[:, some]).toarray()
            gram_MM[:, some] += features_ME @ features_ME[some].T
        inverse_MM = _inverse(gram_MM, strength)
        diagonal_M = inverse_MM.diagonal()
        self.weights_MM = np.empty((items, items), dtype=np.float32)
        for start in range(0, items, COLUMNS):
            some = slice(start, start + COLUMNS)
            self.weights_MM[some] = -inverse_MM[some] / diagonal_M
        np.fill_diagonal(self.weights_MM, 0.0)

    def scores(self, liked_BM: csr_array) -> np.ndarray:
        return liked_BM @ self.weights_MM


class _ByRows:
    """The same scores without forming B, if there are more items than users and dimensions.

    By the Woodbury identity strength * P = I - X^T K X with K = (X X^T + strength I)^-1, so that with h the diagonal of
    X^T K X, (x B)_j = ((x X^T K X)_j - h_j x_j) / (1 - h_j).
    """

    def __init__(self, liked_UM: csr_array, features_ME: np.ndarray, strength: float) -> None:
        self.liked_UM, self.features_ME = liked_UM, features_ME
        users, items = liked_UM.shape
        rows = users + features_ME.shape[1]
        gram_RR = np.empty((rows, rows), order="F")
        gram_RR[:users, :users] = (liked_UM @ liked_UM.T).toarray()
        gram_RR[:users, users:] = liked_UM @ features_ME
        gram_RR[users:, :users] = gram_RR[:users, users:].T
        gram_RR[users:, users:] = features_ME.T @ features_ME
        inverse_RR, by_item = _inverse(gram_RR, strength), liked_UM.tocsc()
        self.own_M = np.empty(items)  # h, in float64: 1 - h may be small
        for start in range(0, items, COLUMNS):
            some = slice(start, start + COLUMNS)
            columns_RC = np.concatenate([by_item[:, some].toarray(), features_ME[some].T])
            self.own_M[some] = (columns_RC * (inverse_RR @ columns_RC)).sum(0)
        self.inverse_RR = inverse_RR.astype(np.float32)

    def scores(self, liked_BM: csr_array) -> np.ndarray:
        users = self.liked_UM.shape[0]
        likeness_BR = np.concatenate([(liked_BM @ self.liked_UM.T).toarray(), liked_BM @ self.features_ME], axis=1)
        dual_BR = likeness_BR @ self.inverse_RR
        scores_BM = dual_BR[:, :users] @ self.liked_UM + dual_BR[:, users:] @ self.features_ME.T
        user, item = liked_BM.nonzero()
        scores_BM[user, item] -= self.own_M[item] * liked_BM[user, item]
        return (scores_BM / (1 - self.own_M)).astype(np.float32)


def _inverse(gram: np.ndarray, strength: float) -> np.ndarray:
    """(gram + strength I)^-1, computed in place; `gram` is symmetric, in float64 and Fortran order."""
    gram[np.diag_indices(len(gram))] += strength
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1, clean=0)
    inverse, failed_too = lapack.dpotri(factor, lower=1, overwrite_c=1)
    assert failed == failed_too == 0, "a Gram matrix and a ridge are positive definite"
    for start in range(0, len(gram), COLUMNS):
        block, after = slice(start, start + COLUMNS), slice(start + COLUMNS, None)
        lower = np.tril(inverse[block, block])  # LAPACK fills this half
        inverse[block, block] = lower + np.tril(lower, -1).T
        inverse[block, after] = inverse[after, block].T
    return inverse
