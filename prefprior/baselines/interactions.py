"""The sparse user-item matrix of likes, for baselines that identify items by id.

A like is 1. Any other rating is `unliked`, from 0 (as if never seen) to 1 (every rating counts as an interaction). As
elsewhere, the source's threshold defines a like in training, and the user's own rating scale does in a history.

Shapes: U users of the training part, B users, N catalogue, M items of the matrix, K history.
"""

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from prefprior.history import History
from prefprior.predictor import Catalogue, TrainingPart


class Items:
    """Items by id, and their positions in any catalogue."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self._place = {item: place for place, item in enumerate(ids)}
        self._last: tuple[Catalogue, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def places(self, catalogue: Catalogue) -> Tensor:
        """(N,) int64: the index of each catalogue item among these, -1 if it is not one of them; cached."""
        if self._last is None or self._last[0] is not catalogue:
            self._last = (catalogue, torch.tensor([self._place.get(item, -1) for item in catalogue.ids]))
        return self._last[1]

    def spread(self, scores_BM: Tensor, catalogue: Catalogue) -> Tensor:
        """(B, N) scores of a catalogue from scores of these items; 0 for all others."""
        place_N = self.places(catalogue)
        scores_BN = scores_BM[:, place_N.clamp_min(0)]
        return scores_BN if (place_N >= 0).all() else scores_BN.masked_fill_(place_N < 0, 0.0)

    def histories(self, history: History, catalogue: Catalogue, unliked: float) -> tuple[Tensor, Tensor]:
        """(B, K) the index of each history item among these (-1: none), and its value. Rows refer to this catalogue."""
        history = history.as_ratings()  # a pick is a like, and what was passed over is as if never seen
        known_BK = history.valid_BK & (history.items_BK >= 0)
        place_BK = self.places(catalogue)[history.items_BK.clamp_min(0)].masked_fill(~known_BK, -1)
        value_BK = torch.where(history.liked_BK, 1.0, unliked)
        return place_BK, torch.where(place_BK >= 0, value_BK, 0.0)

    def history_matrix(self, history: History, catalogue: Catalogue, unliked: float) -> csr_array:
        """(B, M) float32: the same as a sparse matrix."""
        place_BK, value_BK = self.histories(history, catalogue, unliked)
        user, entry = value_BK.nonzero(as_tuple=True)
        place, value = place_BK[user, entry].numpy(), value_BK[user, entry].numpy()
        return _matrix(user.numpy(), place, value, (len(history), len(self)))


def training_matrix(training: TrainingPart, unliked: float) -> csr_array:
    """(U, N) float32, of users with ratings. The newest of several ratings of an item counts."""
    table = training.ratings
    liked_N = np.ones(len(table), dtype=bool) if table.scale.liked_only else table.liked_N
    value_N = np.where(liked_N, 1.0, unliked).astype(np.float32)
    codes, user_N = np.unique(table.user_N, return_inverse=True)
    return _matrix(user_N, table.item_N, value_N, (len(codes), len(training.catalogue)))


def _matrix(row_X: np.ndarray, column_X: np.ndarray, value_X: np.ndarray, shape: tuple[int, int]) -> csr_array:
    """The sparse matrix; the last of several values of an entry counts, and zeros are dropped."""
    place_X = row_X.astype(np.int64) * shape[1] + column_X
    _, last = np.unique(place_X[::-1], return_index=True)
    kept = len(place_X) - 1 - last
    kept = kept[value_X[kept] != 0]
    return csr_array((value_X[kept], (row_X[kept], column_X[kept])), shape=shape)
