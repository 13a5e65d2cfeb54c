"""Item-identity features: a layer over random Fourier features of embeddings, which tells similar items apart.

Shapes: B users, K history, D dimension, V valid ratings, F features; `...` any leading shape.
"""

import math

import torch
from torch import Tensor, nn

from prefprior.errors import require_between
from prefprior.history import History
from prefprior.models.observations import observations
from prefprior.models.scale import Standardize


class FourierFeatures(nn.Module):
    """An embedding in model scale, with sine and cosine of random projections of it.

    A network over the embedding alone learns smooth functions first (spectral bias), so that similar items get similar
    scores for long. Where behaviour says more about an item than its features do, random frequencies let that be
    learned (Rahimi & Recht 2007; Tancik et al. 2020, arXiv:2006.10739).
    """

    frequency_DF: Tensor

    def __init__(self, *, dim: int, frequencies: int, bandwidth: float = 1.0) -> None:
        """`bandwidth` is the standard deviation of the projections, in radians: the higher, the more similar are the
        items that are told apart, and the less generalises to new ones."""
        super().__init__()
        require_between("frequencies", frequencies, 1, 2**20)
        if not bandwidth > 0:
            raise ValueError(f"bandwidth must be above 0, got {bandwidth}")
        self.out_dim = dim + 2 * frequencies
        # Model scale has unit variance in each dimension, so a projection has D times that of one frequency.
        # Saved with the weights, which are of these frequencies alone.
        self.register_buffer("frequency_DF", torch.randn(dim, frequencies) * (bandwidth / math.sqrt(dim)))

    def forward(self, scaled: Tensor) -> Tensor:
        """(..., D) -> (..., D + 2 frequencies)."""
        with torch.autocast(scaled.device.type, enabled=False):  # half precision would blur similar items
            angle = scaled.float() @ self.frequency_DF.float()
            return torch.cat([scaled, angle.cos().to(scaled.dtype), angle.sin().to(scaled.dtype)], dim=-1)


class ItemFeatures(nn.Module):
    """One layer over Fourier features, shared by user and item towers.

    Shared, because what is learned of an item as a target also holds where it is in a history, and most items are
    rated by few users.
    """

    def __init__(self, *, scale: Standardize, frequencies: int, bandwidth: float, width: int, dropout: float) -> None:
        super().__init__()
        self.scale = scale
        self.fourier = FourierFeatures(dim=scale.space.dim, frequencies=frequencies, bandwidth=bandwidth)
        self.layer = nn.Sequential(nn.Linear(self.fourier.out_dim, width), nn.SiLU(), nn.Dropout(dropout))
        self.width = width

    def forward(self, raw: Tensor) -> Tensor:
        """(..., D) -> (..., F)."""
        return self.layer(self.fourier(self.scale.to_model(raw)))

    def of_history(self, history: History) -> Tensor:
        """(B, F) the mean over a history, weighted by rating: likes count for, dislikes against. A choice counts as one
        rating: for what was picked, against what was passed over beside it."""
        # There are many features of each item, and most of a padded history is padding: only valid ones are computed.
        user_V, place_V = history.valid_BK.nonzero(as_tuple=True)
        features_VF = self(history.embeddings_BKD[user_V, place_V])
        weight_BK, count_B1 = history.ratings_BK, history.valid_BK.sum(1, keepdim=True)
        if history.has_questions:
            seen = observations(history)
            weight_BK = torch.where(seen.rated_BO, weight_BK, seen.weights_BOK.sum(1))
            count_B1 = (seen.rated_BO | seen.chosen_BO).sum(1, keepdim=True)
        rated_VF = features_VF * weight_BK[user_V, place_V, None].to(features_VF.dtype)
        # Scattered, then summed: adding by index would add in any order on a GPU.
        rated_BKF = rated_VF.new_zeros(*history.valid_BK.shape, self.width).index_put((user_V, place_V), rated_VF)
        return rated_BKF.sum(1) / count_B1.clamp(min=1)
