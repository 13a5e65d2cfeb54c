"""Nearest neighbours of a user's likes: keeps separate tastes apart, which a mean would blur.

Shapes: B users, K history, N catalogue, n samples, D dimension.
"""

import torch
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.cosine import CosineRanker, history_directions
from prefprior.history import History, hide_seen
from prefprior.predictor import By, Catalogue


class NearestToLikes(Baseline):
    """Scores an item by its cosine to the closest liked picture; samples are neighbours of randomly drawn likes."""

    def __init__(self, *, k: int = 8, name: str = "nearest") -> None:
        """A sample is one of the `k` catalogue pictures nearest to a liked one."""
        super().__init__(name=name)
        if k < 1:
            raise ValueError(f"baseline {name}: k must be at least 1, got {k}")
        self.k = k
        self._cosine = CosineRanker()

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): each sample is a picture near a randomly drawn like; random pictures for users without likes."""
        directions_BKD, liked_BK = history_directions(self.catalogue.space, history), history.liked_BK
        size = min(self.k, len(self.catalogue))
        rows_Bn = torch.randint(len(self.catalogue), (len(history), n), generator=generator)
        pick_Bn = torch.randint(size, (len(history), n), generator=generator)
        for b in range(len(history)):
            liked = liked_BK[b].nonzero()[:, 0]
            if len(liked):
                drawn_n = liked[torch.randint(len(liked), (n,), generator=generator)]
                distinct, place_n = drawn_n.unique(return_inverse=True)
                scores = self._cosine(directions_BKD[b, distinct], self.catalogue)
                copies = history.take([b] * len(distinct))
                near = hide_seen(scores, copies).topk(size, dim=1).indices
                rows_Bn[b] = near[place_n, pick_Bn[b]]
        return self.catalogue.embeddings_ND[rows_Bn].float()

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) cosine to the closest like; 0 for users without likes."""
        directions_BKD, liked_BK = history_directions(self.catalogue.space, history), history.liked_BK
        best = []
        for directions_KD, liked_K in zip(directions_BKD, liked_BK, strict=True):
            if liked_K.any():
                best.append(self._cosine(directions_KD[liked_K], catalogue).amax(0))
            else:
                best.append(torch.zeros(len(catalogue)))
        return torch.stack(best)
