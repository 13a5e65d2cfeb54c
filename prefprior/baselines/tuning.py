"""The quality of a ranking on held-out ratings, by which a baseline chooses its own settings.

Shapes: B users, T held out, N catalogue.
"""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from prefprior.data.held_out import HeldOutUsers
from prefprior.history import History, hide_seen
from prefprior.predictor import Catalogue

Rank = Callable[[History, Catalogue], Tensor]


def mean_auc(score_BT: Tensor, held_out: HeldOutUsers) -> float | None:
    """Mean AUC of likes against dislikes, over users who have both; None if there are none."""
    values = []
    for score_T, liked_T, disliked_T in zip(score_BT, held_out.held_liked_BT, held_out.held_disliked_BT, strict=True):
        if liked_T.any() and disliked_T.any():
            judged_T = liked_T | disliked_T
            values.append(roc_auc_score(liked_T[judged_T].numpy(), score_T[judged_T].numpy()))
    return float(np.mean(values)) if values else None


def quality(rank: Rank, held_out: HeldOutUsers) -> float:
    """Mean AUC of held-out likes; without any dislikes, their mean discounted gain among all unseen items."""
    told, gains = [], []
    for chunk in held_out.chunks():
        scores_BN = rank(chunk.history(), chunk.catalogue)
        score_BT = scores_BN.gather(1, chunk.held_item_BT.clamp_min(0))
        told.append(score_BT)
        hide_seen(scores_BN, chunk.seen_item_BS)
        for row_N, score_T, liked_T in zip(scores_BN, score_BT, chunk.held_liked_BT, strict=True):
            above_T = (row_N[None] > score_T[liked_T][:, None]).sum(1)
            gains.append((1 / torch.log2(2.0 + above_T)).sum() / max(len(above_T), 1))
    width = held_out.held_item_BT.shape[1]
    score_BT = torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in told])
    auc = mean_auc(score_BT, held_out)
    return float(torch.stack(gains).mean()) if auc is None else auc
