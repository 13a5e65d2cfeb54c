"""Ranking metrics, from the exact ranks of the held-out likes among all candidates.

Shapes: B users, T held out.
"""

import torch
from torch import Tensor


def ranking(rank_BT: Tensor, liked_BT: Tensor, ks: tuple[int, ...]) -> dict[str, Tensor]:
    """Recall, NDCG, hit rate and MAP at each k, and MRR, by user; NaN for who has no held-out like.

    Equal scores share their mean rank, so that a predictor which scores everything alike gains nothing by order.
    """
    count_B = liked_BT.sum(1)
    ranks_BT = torch.where(liked_BT, rank_BT, torch.inf).double()
    ordered_BT = ranks_BT.sort(dim=1).values
    place_T = torch.arange(1, ordered_BT.shape[1] + 1, dtype=torch.float64)
    gain_BT = 1 / torch.log2(1 + ordered_BT)  # 0 at rank infinity
    best_T = (1 / torch.log2(1 + place_T)).cumsum(0)
    precision_BT = place_T / ordered_BT  # of the list that ends at this hit
    undefined_B = count_B == 0
    figures = {"mrr": 1 / ordered_BT[:, 0]}
    for k in ks:
        hit_BT = ordered_BT <= k
        most_B = count_B.clamp(min=1, max=k)
        figures[f"recall_{k}"] = hit_BT.sum(1) / count_B.clamp_min(1)
        figures[f"ndcg_{k}"] = (gain_BT * hit_BT).sum(1) / best_T[most_B - 1]
        figures[f"hit_{k}"] = hit_BT.any(1).double()
        figures[f"map_{k}"] = (precision_BT * hit_BT).sum(1) / most_B
    return {name: value.double().masked_fill(undefined_B, torch.nan) for name, value in figures.items()}
