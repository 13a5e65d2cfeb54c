"""What every objective is: a loss, and the meaning of the network's output.

Shapes: B users, T targets, C conditions, S draws, D dimension.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import torch
from torch import Tensor, distributed

from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import Path
from prefprior.models.prior.network import Backbone
from prefprior.models.prior.user_ids import NOBODY


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


@dataclass(frozen=True, kw_only=True)
class Drops:
    """How often each thing a prediction may go by is hidden in training: how predictions without it are learned."""

    history: float  # and with it who it is
    rating: float
    person: float
    text: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise ValueError(f"drop_{field.name} must be between 0 and 1, got {value}")


def read(prior: Backbone, batch: PreferenceBatch, drops: Drops, generator: torch.Generator) -> tuple[Any, Any]:
    """A batch's histories, encoded, and its targets' ratings and texts as wishes; some of each are hidden."""

    def kept(shape: tuple[int, ...], share: float) -> Tensor:
        return torch.rand(shape, generator=generator, device=batch.target_valid_BT.device) >= share

    history = batch.history
    keep_B = kept((len(history),), drops.history)
    history = replace(history, valid_BK=history.valid_BK & keep_B[:, None])
    valid_BT = batch.target_valid_BT
    rating_BT = torch.where(valid_BT, batch.target_rating_BT, 0)
    known_BT = kept(tuple(valid_BT.shape), drops.rating)
    if prior.people:
        named = (keep_B & kept((len(history),), drops.person)).tolist()
        history = replace(history, users=[u if known else NOBODY for u, known in zip(history.users, named)])
    encoded = prior.encode_history(history)
    if not prior.text:
        return encoded, prior.condition(encoded, rating_BT, known_BT)
    text_BTD = batch.target_text_BTD
    said_BT = text_BTD.any(-1) & valid_BT & kept(tuple(valid_BT.shape), drops.text)
    return encoded, prior.condition(encoded, rating_BT, known_BT, text_BTD, said_BT)


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
