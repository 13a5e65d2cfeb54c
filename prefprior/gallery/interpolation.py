"""How embeddings lie to each other: likeness to what a person rated, spread, and the way between two.

All cosines are of standardised embeddings: raw CLIP vectors share a large common part, and everything looks alike.
Shapes: M embeddings, K history, D dimension.
"""

import torch
from torch import Tensor

from prefprior.space import Space


def directions(space: Space, raw_MD: Tensor) -> Tensor:
    """Unit vectors in standardised coordinates."""
    return torch.nn.functional.normalize(space.to_model(raw_MD.float().cpu()), dim=-1)


def likeness_to(space: Space, raw_MD: Tensor, history_KD: Tensor) -> Tensor:
    """(M,) the largest cosine of each candidate to anything in the history; -1 where there is none."""
    if len(history_KD) == 0:
        return torch.full((len(raw_MD),), -1.0)
    return (directions(space, raw_MD) @ directions(space, history_KD).T).amax(1)


def spread_of(unit_MD: Tensor) -> float:
    """Mean pairwise distance, 1 - cosine; 0 for a single picture."""
    count = len(unit_MD)
    if count < 2:
        return 0.0
    cosine_MM = unit_MD @ unit_MD.T
    return float(1 - (cosine_MM.sum() - cosine_MM.diagonal().sum()) / (count * (count - 1)))


def between(space: Space, one_MD: Tensor, other_MD: Tensor, share: Tensor | float) -> Tensor:
    """Spherical interpolation in standardised coordinates, share 0 giving `one`; lengths are interpolated too."""
    one, other = space.to_model(one_MD), space.to_model(other_MD)
    one_norm, other_norm = one.norm(dim=-1, keepdim=True), other.norm(dim=-1, keepdim=True)
    cosine = ((one / one_norm) * (other / other_norm)).sum(-1, keepdim=True).clamp(-1, 1)
    angle = torch.acos(cosine)
    share = torch.as_tensor(share, dtype=one.dtype)
    share = share[..., None] if share.ndim else share
    small = angle.sin() < 1e-4  # (nearly) the same or opposite directions: a straight line
    sine = torch.where(small, torch.ones_like(angle), angle.sin())
    weight_one = torch.where(small, 1 - share, ((1 - share) * angle).sin() / sine)
    weight_other = torch.where(small, share * torch.ones_like(angle), (share * angle).sin() / sine)
    mixed = weight_one * one / one_norm + weight_other * other / other_norm
    return space.from_model(mixed * ((1 - share) * one_norm + share * other_norm))
