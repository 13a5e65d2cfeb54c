"""Distances between two clouds of embeddings: Frechet, MMD, and precision / recall / density / coverage.

All act on embeddings of unit length, as published CLIP figures do (CMMD: Jayasumana et al. 2024, arXiv:2401.09603).

Shapes: X and Y points of the two clouds, D dimension; a leading `...` is allowed where noted.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

# CMMD's bandwidth for unit-length CLIP embeddings, and the factor that makes its figures readable.
MMD_SIGMA = 10.0
MMD_SCALE = 1000.0


def frechet(first_XD: Tensor, second_YD: Tensor) -> float:
    """Frechet distance of the two Gaussians (Heusel et al. 2017).

    tr((C1 C2)^(1/2)) is the sum of singular values of X Y^T (centred, scaled): no D x D square root is needed, and few
    points are as good as many.
    """
    first, second = first_XD.double(), second_YD.double()
    shift = (first.mean(0) - second.mean(0)).square().sum()
    first, second = _centred(first), _centred(second)
    cross = torch.linalg.svdvals(_narrow(first) @ _narrow(second).T).sum()
    return float((shift + first.square().sum() + second.square().sum() - 2 * cross).clamp_min(0))


def mmd(first_XD: Tensor, second_YD: Tensor, first_X: Tensor | None = None, second_Y: Tensor | None = None) -> Tensor:
    """(...) squared maximum mean discrepancy x 1000 under CMMD's Gaussian kernel; masks say which points exist."""
    first_X = torch.ones(first_XD.shape[:-1]) if first_X is None else first_X.float()
    second_Y = torch.ones(second_YD.shape[:-1]) if second_Y is None else second_Y.float()
    return MMD_SCALE * (
        _kernel_mean(first_XD, first_XD, first_X, first_X)
        + _kernel_mean(second_YD, second_YD, second_Y, second_Y)
        - 2 * _kernel_mean(first_XD, second_YD, first_X, second_Y)
    )


def prdc(real_XD: Tensor, made_YD: Tensor, k: int = 5) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020, arXiv:2002.09797)."""
    k = min(k, len(real_XD) - 1, len(made_YD) - 1)
    if k < 1:
        return {}
    # The point itself is its own nearest, hence k + 1.
    real_radius_X = torch.cdist(real_XD, real_XD).kthvalue(k + 1, dim=1).values
    made_radius_Y = torch.cdist(made_YD, made_YD).kthvalue(k + 1, dim=1).values
    gap_XY = torch.cdist(real_XD, made_YD)
    inside_XY = gap_XY < real_radius_X[:, None]
    return {
        "precision": float(inside_XY.any(0).float().mean()),
        "recall_cloud": float((gap_XY < made_radius_Y).any(1).float().mean()),
        "density": float(inside_XY.sum(0).float().mean() / k),
        "coverage_cloud": float((gap_XY.amin(1) < real_radius_X).float().mean()),
    }


def on_sphere(raw: Tensor) -> Tensor:
    """Raw projections at unit length."""
    return normalize(raw.float(), dim=-1)


def _kernel_mean(a_XD: Tensor, b_YD: Tensor, a_X: Tensor, b_Y: Tensor) -> Tensor:
    squared_XY = (a_XD.square().sum(-1)[..., :, None] + b_YD.square().sum(-1)[..., None, :]) - 2 * (
        a_XD @ b_YD.transpose(-1, -2)
    )
    kernel_XY = torch.exp(-squared_XY.clamp_min(0) / (2 * MMD_SIGMA**2)).double()
    weight_XY = (a_X[..., :, None] * b_Y[..., None, :]).double()
    return (kernel_XY * weight_XY).sum((-1, -2)) / weight_XY.sum((-1, -2))


def _centred(points_XD: Tensor) -> Tensor:
    return (points_XD - points_XD.mean(0)) / max(len(points_XD) - 1, 1) ** 0.5


def _narrow(points_XD: Tensor) -> Tensor:
    """The same singular values with at most D rows."""
    return torch.linalg.qr(points_XD, mode="r").R if len(points_XD) > points_XD.shape[1] else points_XD
