"""How well scores agree with the ratings a user gave, over what is held out.

Shapes: B users, T held out, V of them valid.
"""

from collections.abc import Callable, Collection

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

NAMES = ("auc", "pairwise", "spearman", "pearson", "mae")


def rating(
    score_BT: Tensor,
    rating_BT: Tensor,
    valid_BT: Tensor,
    liked_BT: Tensor,
    disliked_BT: Tensor,
    names: Collection[str] = NAMES,
) -> dict[str, Tensor]:
    """AUC, pairwise accuracy, Spearman, Pearson and MAE by user, or some of them.

    NaN where a user's ratings do not define a figure.
    """
    measures: dict[str, Callable[[], Tensor]] = {
        "auc": lambda: auc(score_BT, liked_BT, disliked_BT),
        "pairwise": lambda: pairwise_accuracy(score_BT, rating_BT, valid_BT),
        "spearman": lambda: correlation(_ranks(score_BT, valid_BT), _ranks(rating_BT, valid_BT), valid_BT),
        "pearson": lambda: correlation(score_BT, rating_BT, valid_BT),
        "mae": lambda: calibrated_error(score_BT, rating_BT, valid_BT),
    }
    return {name: measures[name]() for name in NAMES if name in names}


def auc(score_BT: Tensor, liked_BT: Tensor, disliked_BT: Tensor) -> Tensor:
    """(B,) probability that a liked item scores above a disliked one; equal scores count half."""
    return _won(score_BT, liked_BT.int() - disliked_BT.int(), liked_BT | disliked_BT)


def pairwise_accuracy(score_BT: Tensor, rating_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """(B,) share of a user's pairs with different ratings that the scores order alike; equal scores count half."""
    return _won(score_BT, rating_BT, valid_BT)


def _won(score_BT: Tensor, value_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """(B,) of the pairs of different values, the share in which the higher one scores higher."""
    won_B = torch.full((len(score_BT),), torch.nan, dtype=torch.float64)
    for b, valid_T in enumerate(valid_BT):  # user by user: pairs of one who rated thousands take tens of megabytes
        score_V, value_V = score_BT[b, valid_T], value_BT[b, valid_T]
        better_VV = value_V[:, None] > value_V
        if count := int(better_VV.sum()):
            gap_VV = torch.sign(score_V[:, None] - score_V)
            won_B[b] = float(((gap_VV + 1) / 2)[better_VV].double().sum()) / count
    return won_B


def correlation(a_BT: Tensor, b_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """(B,) Pearson's correlation; NaN with fewer than 3 items or ratings that are all equal, 0 for constant scores."""
    count_B = valid_BT.sum(1)

    def centred(x_BT: Tensor) -> Tensor:
        x_BT = x_BT.double() * valid_BT
        return (x_BT - (x_BT.sum(1) / count_B.clamp_min(1))[:, None]) * valid_BT

    a_BT, b_BT = centred(a_BT), centred(b_BT)
    spread_B = (a_BT.square().sum(1) * b_BT.square().sum(1)).sqrt()
    value_B = (a_BT * b_BT).sum(1) / spread_B.clamp_min(1e-30)
    flat_B = (b_BT.square().sum(1) < 1e-12) | (count_B < 3)
    return torch.where(flat_B, torch.nan, torch.where(spread_B < 1e-12, 0.0, value_B))


def calibrated_error(score_BT: Tensor, rating_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """(B,) mean absolute error on the [-1, 1] scale, after one straight line from scores to ratings.

    Scores have no scale of their own, so the line is fit by least squares on the other half of the users.
    """
    half_B = torch.arange(len(score_BT)) % 2 == 0
    error_B = torch.full((len(score_BT),), torch.nan, dtype=torch.float64)
    for mine_B in (half_B, ~half_B):
        fit_BT = valid_BT & ~mine_B[:, None]
        if fit_BT.sum() < 2 or not mine_B.any():
            continue
        x, y = score_BT[fit_BT].double(), rating_BT[fit_BT].double()
        variance = float(x.var(correction=0))
        slope = float(((x - x.mean()) * (y - y.mean())).mean()) / variance if variance > 0 else 0.0
        guess_BT = (score_BT.double() - x.mean()) * slope + y.mean()
        count_B = valid_BT.sum(1)
        mean_B = ((guess_BT - rating_BT).abs() * valid_BT).sum(1) / count_B.clamp_min(1)
        error_B = torch.where(mine_B & (count_B > 0), mean_B, error_B)
    return error_B


def _ranks(value_BT: Tensor, valid_BT: Tensor) -> Tensor:
    ranks = np.zeros(value_BT.shape)
    for b, (value_T, valid_T) in enumerate(zip(value_BT.numpy(), valid_BT.numpy(), strict=True)):
        ranks[b, valid_T] = rankdata(value_T[valid_T])
    return torch.from_numpy(ranks)
