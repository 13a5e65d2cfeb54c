"""Cosines of a space's directions (`Space.directions`): how the baselines compare pictures.

Shapes: B users, K history, N catalogue, n samples, D dimension.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.history import History
from prefprior.predictor import Catalogue
from prefprior.space import Space

# Catalogue rows standardised or multiplied at once: 65,536 x 1280 in float32 is 336 MB.
ROWS = 65536


def shell(space: Space, direction: Tensor) -> Tensor:
    """Directions of the standardised space -> raw projections of the length real pictures have.

    Standardised vectors of real pictures have a length of about sqrt(D), by definition of the scale.
    """
    return space.onto_shell(space.from_model(normalize(direction, dim=-1) * space.dim**0.5))


def weighted_mean(vectors_BKD: Tensor, weights_BK: Tensor) -> Tensor:
    """(B, D) means; where all weights are 0 the mean is 0."""
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
    """(N,) lengths of the standardised catalogue."""
    return torch.cat(
        [
            torch.linalg.vector_norm(
                catalogue.space.to_model(catalogue.embeddings_ND[start : start + ROWS].float()), dim=1
            )
            for start in range(0, len(catalogue), ROWS)
        ]
    ).clamp_min(1e-12)


class CosineRanker:
    """Standardised cosine of queries with a catalogue; the catalogue's lengths are kept for the next call."""

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None
        self._lengths_N = torch.empty(0)

    def __call__(self, query_BD: Tensor, catalogue: Catalogue) -> Tensor:
        """(B, N) cosines; a query of zeros scores 0 everywhere."""
        if self._catalogue is not catalogue:
            self._catalogue, self._lengths_N = catalogue, lengths(catalogue)
        return inner(normalize(query_BD.float(), dim=-1), catalogue).div_(self._lengths_N)


def history_directions(space: Space, history: History) -> Tensor:
    """(B, K, D) unit vectors of the history, zero where there is none."""
    return space.directions(history.embeddings_BKD) * history.valid_BK[..., None]
