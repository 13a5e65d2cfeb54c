"""Cosines in the standardised space (`Space.directions`), with which baselines compare pictures.

Shapes: B users, K history, N catalogue, n samples, D dimension.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.history import History
from prefprior.predictor import Catalogue
from prefprior.space import Space

# Catalogue rows per block: 65,536 x 1280 in float32 is 336 MB.
ROWS = 65536


def shell(space: Space, direction: Tensor) -> Tensor:
    """Directions in the standardised space -> raw projections with the norm of real pictures.

    Standardised vectors of real pictures have a norm of about sqrt(D), by definition of the scale.
    """
    return space.onto_shell(space.from_model(normalize(direction, dim=-1) * space.dim**0.5))


def weighted_mean(vectors_BKD: Tensor, weights_BK: Tensor) -> Tensor:
    """(B, D) weighted means; 0 if all weights are 0."""
    total_B = weights_BK.sum(1)
    return torch.einsum("bkd,bk->bd", vectors_BKD, weights_BK) / torch.where(total_B > 0, total_B, 1.0)[:, None]


def inner(query_BD: Tensor, catalogue: Catalogue) -> Tensor:
    """(B, N) inner products of standardised queries with the standardised catalogue, without a copy of it."""
    space = catalogue.space
    mean_D, std_D = torch.from_numpy(space.mean_D), torch.from_numpy(space.std_D)
    scaled_BD = query_BD.float() / std_D
    scores_BN = query_BD.new_empty((len(query_BD), len(catalogue)), dtype=torch.float32)
    for start in range(0, len(catalogue), ROWS):
        rows = slice(start, min(start + ROWS, len(catalogue)))
        torch.mm(scaled_BD, catalogue.embeddings_ND[rows].float().T, out=scores_BN[:, rows])
    return scores_BN.sub_((scaled_BD @ mean_D)[:, None])


def lengths(catalogue: Catalogue) -> Tensor:
    """(N,) norms of the standardised catalogue."""
    return torch.cat(
        [
            torch.linalg.vector_norm(
                catalogue.space.to_model(catalogue.embeddings_ND[start : start + ROWS].float()), dim=1
            )
            for start in range(0, len(catalogue), ROWS)
        ]
    ).clamp_min(1e-12)


class CosineRanker:
    """Cosines of queries with a standardised catalogue, whose norms are cached."""

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None
        self._lengths_N = torch.empty(0)

    def __call__(self, query_BD: Tensor, catalogue: Catalogue) -> Tensor:
        """(B, N) cosines; a zero query scores 0 for all items."""
        if self._catalogue is not catalogue:
            self._catalogue, self._lengths_N = catalogue, lengths(catalogue)
        return inner(normalize(query_BD.float(), dim=-1), catalogue).div_(self._lengths_N)


def history_directions(space: Space, history: History) -> Tensor:
    """(B, K, D) unit vectors of the history; padding is zero."""
    return space.directions(history.embeddings_BKD) * history.valid_BK[..., None]
