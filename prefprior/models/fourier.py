"""Random Fourier features of an embedding: what lets a small network tell near pictures apart.

Shapes: D dimension, F frequencies; `...` any leading shape.
"""

import math

import torch
from torch import Tensor, nn


class FourierFeatures(nn.Module):
    """Embeddings in model scale, and beside them sine and cosine of random projections.

    A network over the embedding alone learns smooth functions first, and near pictures get near answers for long.
    Where behaviour knows more of a picture than its features show, random frequencies let it be learned (Rahimi &
    Recht 2007; Tancik et al. 2020, arXiv:2006.10739). With no frequencies, embeddings pass as they are.
    """

    frequency_DF: Tensor

    def __init__(self, *, dim: int, frequencies: int = 0, spread: float = 1.0) -> None:
        """`spread` is the standard deviation of the projections, in radians: the higher, the nearer are the pictures
        that are told apart, and the less is said of new ones."""
        super().__init__()
        if frequencies < 0:
            raise ValueError(f"frequencies cannot be below 0, got {frequencies}")
        if not spread > 0:
            raise ValueError(f"frequency_spread must be above 0, got {spread}")
        self.frequencies = frequencies
        self.out_dim = dim + 2 * frequencies
        if frequencies:
            # Model scale has unit variance in each dimension, so a projection has D times that of one frequency.
            # Saved with the weights: they are drawn from the seed, and what was learned is of these alone.
            self.register_buffer("frequency_DF", torch.randn(dim, frequencies) * (spread / math.sqrt(dim)))

    def forward(self, scaled: Tensor) -> Tensor:
        """(..., D) -> (..., D + 2 F)."""
        if not self.frequencies:
            return scaled
        with torch.autocast(scaled.device.type, enabled=False):  # half precision would blur what this is to tell apart
            angle = scaled.float() @ self.frequency_DF.float()
            return torch.cat([scaled, angle.cos().to(scaled.dtype), angle.sin().to(scaled.dtype)], dim=-1)
