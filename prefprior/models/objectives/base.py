"""What every objective is: a loss, and the meaning of the network's output.

Shapes: B users, T targets, C conditions, S draws, D dimension.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, distributed

from prefprior.data.batch import History, PreferenceBatch
from prefprior.models.backbone import Backbone
from prefprior.models.paths import Path


@dataclass
class LossTerms:
    """The number to descend, and the parts it is made of, for the log."""

    total: Tensor
    terms: dict[str, Tensor]


class Objective(Protocol):
    """How a prior learns and what its output means: both live in one object, so that they cannot disagree."""

    config: dict[str, Any]  # the node that builds it again
    path: Path
    rank: Any  # the Contrastive that trains the scores of `rank`, or None
    one_step: bool  # the network's output is the embedding itself: there is nothing to integrate

    def loss(self, prior: Backbone, batch: PreferenceBatch, generator: torch.Generator) -> LossTerms:
        """Training loss of a batch; every random draw comes from the generator."""

    def denoise(self, prior: Backbone, noisy_BCSD: Tensor, time: Tensor, condition: Any) -> Tensor:
        """The clean embedding (B, C, S, D) in model scale that the network sees behind a noisy one."""


def probability(name: str, value: float) -> float:
    """A constructor argument that must be a probability."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value}")
    return value


def with_dropped_histories(history: History, drop: float, generator: torch.Generator) -> History:
    """Some users' whole histories hidden: how the null history is learned."""
    keep_B = torch.rand(len(history), generator=generator, device=history.valid_BK.device) >= drop
    return replace(history, valid_BK=history.valid_BK & keep_B[:, None])


def mean_over(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean; 0 where nothing has a weight, so that a batch without targets teaches nothing and breaks nothing.

    Selecting comes first: what has no weight may be NaN. Where several processes share a batch, each divides its sum by
    the mean of all their weights: the average over processes, which is what DDP takes of gradients, is then the mean
    over the whole batch, however unevenly its targets are dealt.
    """
    kept = torch.where(weights > 0, values * weights, 0)
    total = weights.detach().sum()
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.all_reduce(total)
        total = total / distributed.get_world_size()
    return kept.sum() / total.clamp(min=1e-8)
