"""How a predictor that can only rank makes samples: it shows catalogue pictures it ranks high.

Shapes: B users, K history, N catalogue, n samples, D dimension.
"""

import torch
from torch import Tensor

from prefprior.data.batch import History
from prefprior.evaluation.predictor import Catalogue


def hide_history(scores_BN: Tensor, history: History) -> Tensor:
    """Sets the scores of what is in the history to -inf, in place."""
    known_BK = history.valid_BK & (history.items_BK >= 0)
    rows_BK = torch.arange(len(history))[:, None].expand_as(known_BK)
    scores_BN[rows_BK[known_BK], history.items_BK[known_BK]] = -torch.inf
    return scores_BN


def draw_best(
    scores_BN: Tensor, history: History, catalogue: Catalogue, n: int, pool: int, generator: torch.Generator
) -> Tensor:
    """(B, n, D) raw embeddings of n pictures drawn without repetition from each person's `pool` best unseen ones."""
    size = min(max(pool, n), len(catalogue))
    best_BP = hide_history(scores_BN, history).topk(size, dim=1).indices
    # The smallest of independent uniform numbers are a draw without repetition; beyond the pool's size it repeats.
    order_BP = torch.rand((len(history), size), generator=generator).argsort(dim=1)
    pick_Bn = order_BP[:, torch.arange(n) % size]
    return catalogue.embeddings_ND[best_BP.gather(1, pick_Bn)].float()
