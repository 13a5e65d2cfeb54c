"""How a predictor that can only rank makes samples: it shows catalogue pictures it ranks high.

Shapes: B users, K history, N catalogue, n samples, D dimension.
"""

import torch
from torch import Tensor

from prefprior.history import History, hide_seen
from prefprior.predictor import Catalogue


def draw_best(
    scores_BN: Tensor, history: History, catalogue: Catalogue, n: int, pool: int, generator: torch.Generator
) -> Tensor:
    """(B, n, D) raw embeddings of n pictures drawn without repetition from each user's `pool` best unseen ones."""
    size = min(max(pool, n), len(catalogue))
    best_BP = hide_seen(scores_BN, history).topk(size, dim=1)
    fresh_BP = best_BP.values > -torch.inf
    # The smallest of independent uniform numbers are a draw without repetition; beyond what is fresh it repeats.
    noise_BP = torch.rand((len(history), size), generator=generator).masked_fill(~fresh_BP, 2.0)
    place_Bn = torch.arange(n) % fresh_BP.sum(1, keepdim=True).clamp_min(1)
    row_Bn = best_BP.indices.gather(1, noise_BP.argsort(dim=1).gather(1, place_Bn))
    return catalogue.embeddings_ND[row_Bn].float()
