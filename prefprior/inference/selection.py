"""Choosing a few of many candidates: each good, together different.

Shapes: B users, M candidates, n chosen, D dimension.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def spread(candidates_BMD: Tensor, quality_BM: Tensor, n: int, diversity: float) -> Tensor:
    """Rows (B, n) of the candidates, chosen one after the other by quality minus closeness to those chosen already
    (maximal marginal relevance, Carbonell & Goldstein 1998).

    Both are put on one scale per user: quality in standard deviations, closeness as a cosine about the candidates'
    mean, of which `diversity` says how many standard deviations of quality it is worth.
    """
    users, count, _ = candidates_BMD.shape
    if n > count:
        raise ValueError(f"{n} cannot be chosen from {count} candidates")
    spread_B1 = quality_BM.std(dim=1, keepdim=True, correction=0).clamp(min=1e-8)
    gain_BM = (quality_BM - quality_BM.mean(dim=1, keepdim=True)) / spread_B1
    direction_BMD = normalize(candidates_BMD - candidates_BMD.mean(dim=1, keepdim=True), dim=-1)
    closest_BM = torch.zeros_like(gain_BM)  # a candidate opposite to all others is no better than one at a right angle
    user_B = torch.arange(users, device=gain_BM.device)
    chosen = []
    for _ in range(n):
        best_B = (gain_BM - diversity * closest_BM).argmax(dim=1)
        chosen.append(best_B)
        gain_BM = gain_BM.index_put((user_B, best_B), gain_BM.new_tensor(-torch.inf))
        cosine_BM = torch.einsum("bmd,bd->bm", direction_BMD, direction_BMD[user_B, best_B])
        closest_BM = torch.maximum(closest_BM, cosine_BM)
    return torch.stack(chosen, dim=1)
