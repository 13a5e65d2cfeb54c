"""Telling near pictures apart: a layer over random Fourier features of embeddings.

Shapes: B users, D dimension, F frequencies, V valid ratings, G width of what is recognised; `...` any leading shape.
"""

import math

import torch
from torch import Tensor, nn

from prefprior.history import History
from prefprior.space import Space, SpaceScale


class FourierFeatures(nn.Module):
    """Embeddings in the scale of their space, and beside them sine and cosine of random projections.

    A network over the embedding alone learns smooth functions first, and near pictures get near answers for long.
    Where behaviour knows more of a picture than its features show, random frequencies let it be learned (Rahimi &
    Recht 2007; Tancik et al. 2020, arXiv:2006.10739).
    """

    frequency_DF: Tensor

    def __init__(self, *, dim: int, frequencies: int, spread: float = 1.0) -> None:
        """`spread` is the standard deviation of the projections, in radians: the higher, the nearer are the pictures
        that are told apart, and the less is said of new ones."""
        super().__init__()
        if not spread > 0:
            raise ValueError(f"frequency_spread must be above 0, got {spread}")
        self.out_dim = dim + 2 * frequencies
        # Model scale has unit variance in each dimension, so a projection has D times that of one frequency.
        # Saved with the weights: they are drawn from the seed, and what was learned is of these alone.
        self.register_buffer("frequency_DF", torch.randn(dim, frequencies) * (spread / math.sqrt(dim)))

    def forward(self, scaled: Tensor) -> Tensor:
        """(..., D) -> (..., D + 2 F)."""
        with torch.autocast(scaled.device.type, enabled=False):  # half precision would blur what this is to tell apart
            angle = scaled.float() @ self.frequency_DF.float()
            return torch.cat([scaled, angle.cos().to(scaled.dtype), angle.sin().to(scaled.dtype)], dim=-1)


class Recognition(nn.Module):
    """What is known of a picture by which one it is: one layer, shared by histories and the scores of `rank`.

    Shared, because what is learned of a picture that people look for holds for the same picture where it was liked,
    and most pictures are rated by few.
    """

    def __init__(self, *, space: Space, frequencies: int, spread: float, width: int, dropout: float) -> None:
        super().__init__()
        self.scale = SpaceScale(space)
        self.features = FourierFeatures(dim=space.dim, frequencies=frequencies, spread=spread)
        self.layer = nn.Sequential(nn.Linear(self.features.out_dim, width), nn.SiLU(), nn.Dropout(dropout))
        self.width = width

    def forward(self, raw: Tensor) -> Tensor:
        """(..., D) -> (..., G)."""
        return self.layer(self.features(self.scale.to_model(raw)))

    def of_history(self, history: History) -> Tensor:
        """The mean over a person's ratings (B, G): what is liked counts for, what is disliked against."""
        # Many features of each picture, and most places of most histories are padding: only what is there is read.
        user_V, place_V = history.valid_BK.nonzero(as_tuple=True)
        known_VG = self(history.embeddings_BKD[user_V, place_V])
        rated_VG = known_VG * history.ratings_BK[user_V, place_V, None].to(known_VG.dtype)
        # Put first and summed then: adding by index would add in any order on a GPU.
        rated_BKG = rated_VG.new_zeros(*history.valid_BK.shape, self.width).index_put((user_V, place_V), rated_VG)
        return rated_BKG.sum(1) / history.valid_BK.sum(1, keepdim=True).clamp(min=1)
