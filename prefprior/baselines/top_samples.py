"""Samples of predictors that can only rank: pictures from the top of their ranking.

Shapes: B users, K history, N catalogue, n samples, D dimension.
"""

import torch
from torch import Tensor

from prefprior.history import History, hide_seen
from prefprior.predictor import Catalogue


def draw_best(
    scores_BN: Tensor, history: History, catalogue: Catalogue, n: int, pool: int, generator: torch.Generator
) -> Tensor:
    """(B, n, D) raw embeddings of n pictures drawn without replacement from each user's `pool` best unseen ones."""
    size = min(max(pool, n), len(catalogue))
    best_BP = hide_seen(scores_BN, history).topk(size, dim=1)
    fresh_BP = best_BP.values > -torch.inf
    # Sorting by uniform noise draws without replacement; with fewer than n unseen pictures they repeat.
    noise_BP = torch.rand((len(history), size), generator=generator).masked_fill(~fresh_BP, 2.0)
    place_Bn = torch.arange(n) % fresh_BP.sum(1, keepdim=True).clamp_min(1)
    row_Bn = best_BP.indices.gather(1, noise_BP.argsort(dim=1).gather(1, place_Bn))
    return catalogue.embeddings_ND[row_Bn].float()
