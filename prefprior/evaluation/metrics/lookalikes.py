"""How alike the likes of those are who end up alike: users near each other, and users of one segment.

Shapes: B users, T held out, D dimension.
"""

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.data.held_out import HeldOutUsers

NEIGHBOURS = 10


def user_vectors(samples_BnD: Tensor, people: HeldOutUsers) -> Tensor:
    """(B, D) where each user's samples lie: a user vector that any predictor has."""
    return normalize(people.catalogue.space.directions(samples_BnD).mean(1), dim=1)


def lookalikes(vector_BD: Tensor, people: HeldOutUsers) -> Tensor:
    """(B,) cosine of a user's held-out likes with those of their nearest users, less that with everybody's.

    Above 0, users with similar vectors like similar pictures.
    """
    likes_BD, able_B = _likes(people)
    alike_BB = likes_BD @ likes_BD.T
    near_BB = (vector_BD @ vector_BD.T).fill_diagonal_(-torch.inf).masked_fill(~able_B, -torch.inf)
    count = min(NEIGHBOURS, int(able_B.sum()) - 1)
    lift_B = torch.full((len(people),), torch.nan, dtype=torch.float64)
    if count < 1:
        return lift_B
    neighbours_B = alike_BB.gather(1, near_BB.topk(count, dim=1).indices).mean(1)
    everybody_B = (alike_BB[:, able_B].sum(1) - alike_BB.diagonal()) / (able_B.sum() - 1)
    return torch.where(able_B, (neighbours_B - everybody_B).double(), lift_B)


def segments(vector_BD: Tensor, people: HeldOutUsers, count: int = 8, seed: int = 0) -> tuple[np.ndarray, Tensor]:
    """Each user's segment, and how much closer their held-out likes are to their segment's others than to all."""
    count = max(1, min(count, len(people) // 4))
    label_B = KMeans(count, n_init=4, random_state=seed).fit_predict(vector_BD.double().numpy())
    likes_BD, able_B = _likes(people)
    same_BB = torch.from_numpy(label_B[:, None] == label_B[None, :]) & able_B
    same_BB.fill_diagonal_(False)
    alike_BB = (likes_BD @ likes_BD.T).double()
    inside_B = (alike_BB * same_BB).sum(1) / same_BB.sum(1)
    everybody_B = (alike_BB[:, able_B].sum(1) - alike_BB.diagonal()) / (able_B.sum() - 1)
    return label_B, torch.where(able_B & same_BB.any(1), inside_B - everybody_B, torch.nan)


def _likes(people: HeldOutUsers) -> tuple[Tensor, Tensor]:
    """(B, D) the direction of each user's held-out likes, and for whom there is one."""
    liked_BT = people.held_liked_BT
    mean_BD = (people.catalogue.space.directions(people.held_embeddings()) * liked_BT[..., None]).sum(1)
    return normalize(mean_BD, dim=1), liked_BT.any(1)
