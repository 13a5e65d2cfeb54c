"""The mean that every loss takes: over what has a weight, across all processes that share a batch."""

import torch
from torch import Tensor, distributed


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean; 0 where nothing has a weight, so that a batch without targets has no gradient and no NaN.

    `torch.where` comes first: what has no weight may be NaN. Where several processes share a batch, each divides its
    sum by the mean of all their weights. DDP averages gradients over processes, so that the result is the mean over
    the whole batch, however unevenly its targets are distributed.
    """
    kept = torch.where(weights > 0, values * weights, 0)
    total = weights.detach().sum()
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.all_reduce(total)
        total = total / distributed.get_world_size()
    return kept.sum() / total.clamp(min=1e-8)
