"""What every objective of the generator is: a loss, and the meaning of the network's output.

Shapes: B users, T targets, C conditions, S noise samples, D dimension.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import Schedule
from prefprior.models.objectives.condition_dropout import ConditionDropout
from prefprior.models.prior.network import PriorNetwork


@runtime_checkable
class Objective(Protocol):
    """How a generator learns and what its output means: both live in one object, so that they cannot disagree."""

    config: dict[str, Any]  # the node that builds it again
    schedule: Schedule
    dropout: ConditionDropout  # how often each condition is hidden in training
    one_step: bool  # the network's output is the embedding itself: there is nothing to integrate
    can_draw: bool  # a history has several outputs, by noise; otherwise the output is the same every time

    def loss(
        self, prior: PriorNetwork, condition: Any, batch: PreferenceBatch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Loss terms by name, given the encoded condition of each target; all randomness is the generator's."""

    def denoise(self, prior: PriorNetwork, noisy_BCSD: Tensor, time: Tensor, condition: Any) -> Tensor:
        """The clean embedding (B, C, S, D) in model scale that the network predicts from a noisy one."""
