"""Condition dropout: hides conditions at random in training, so that the generator also learns to do without them.

Classifier-free guidance needs it (Ho & Salimans 2022, arXiv:2207.12598). A hidden history is an empty one, a hidden
rating or text is marked unknown, a hidden user id is nobody's.

Shapes: B users, T targets, D dimension.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from prefprior.history import History, PreferenceBatch
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.prior.user_ids import UNKNOWN


@dataclass(frozen=True)
class TargetConditions:
    """The conditions of each target, and which of them are known."""

    rating_BT: Tensor
    rating_known_BT: Tensor
    text_BTD: Tensor | None = None
    text_known_BT: Tensor | None = None

    def encode(self, prior: PriorNetwork, encoded: Any) -> Any:
        """What the generator makes of them and of the encoded histories."""
        return prior.condition(encoded, self.rating_BT, self.rating_known_BT, self.text_BTD, self.text_known_BT)


@dataclass(frozen=True, kw_only=True)
class ConditionDropout:
    """Probabilities with which each condition is hidden."""

    history: float  # with the history, the user's id is hidden too
    rating: float
    user: float
    text: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"objective.drop_{name} must be between 0 and 1, got {value}")

    def __call__(
        self, prior: PriorNetwork, batch: PreferenceBatch, generator: torch.Generator
    ) -> tuple[History, TargetConditions]:
        """A batch's histories and target conditions, some of each hidden."""

        def kept(shape: tuple[int, ...], dropped: float) -> Tensor:
            return torch.rand(shape, generator=generator, device=batch.target_valid_BT.device) >= dropped

        history, valid_BT = batch.history, batch.target_valid_BT
        keep_B = kept((len(history),), self.history)
        history = replace(history, valid_BK=history.valid_BK & keep_B[:, None])
        rating_BT = torch.where(valid_BT, batch.target_rating_BT, 0)
        rating_known_BT = kept(tuple(valid_BT.shape), self.rating)
        if prior.user_ids:
            named = (keep_B & kept((len(history),), self.user)).tolist()
            history = replace(history, users=[u if known else UNKNOWN for u, known in zip(history.users, named)])
        if not prior.text:
            return history, TargetConditions(rating_BT, rating_known_BT)
        text_BTD = batch.target_text_BTD
        text_known_BT = text_BTD.any(-1) & valid_BT & kept(tuple(valid_BT.shape), self.text)
        return history, TargetConditions(rating_BT, rating_known_BT, text_BTD, text_known_BT)
