"""What a prior keeps of histories and wishes between its three calls, and the protocol both architectures keep.

Shapes: B users, R read-outs, K history, C conditions per user, S draws, W width, M modulation, L denoiser blocks,
H heads, E head width, D dimension.
"""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from prefprior.data.batch import History
from prefprior.space import Space, SpaceScale


@dataclass
class EncodedHistory:
    """What the encoder read out of B histories: a summary and interests, and these as the denoiser attends to them."""

    readouts_BRW: Tensor
    keys_BLHRE: Tensor
    values_BLHRE: Tensor

    def __len__(self) -> int:
        return len(self.readouts_BRW)

    def expand(self, count: int) -> "EncodedHistory":
        """One encoded history, for `count` users (the null history, say)."""
        return EncodedHistory(*(part.expand(count, *part.shape[1:]) for part in self._parts()))

    def joined(self, others: list["EncodedHistory"]) -> "EncodedHistory":
        """This and others, one after the other."""
        return EncodedHistory(*(torch.cat(parts) for parts in zip(*(e._parts() for e in [self, *others]))))

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.readouts_BRW, self.keys_BLHRE, self.values_BLHRE


@dataclass
class Condition:
    """All that a denoising step of the light denoiser needs to know of users and wishes."""

    modulation_BCM: Tensor
    keys_BLHRE: Tensor
    values_BLHRE: Tensor


class Encoded(Protocol):
    """Encoded histories of any architecture."""

    def __len__(self) -> int: ...

    def expand(self, count: int) -> Self: ...

    def joined(self, others: list[Any]) -> Self: ...


class Backbone(Protocol):
    """What objectives and samplers ask of a prior, whatever its architecture."""

    config: dict[str, Any]
    space: Space
    scale: SpaceScale
    scores: Any  # the read-outs of `rank`; None where an architecture has none

    def networks(self) -> list[nn.Module]:
        """The parts worth compiling."""

    def encode_history(self, history: History) -> Any:
        """Once per person."""

    def null_history(self, like: History) -> Any:
        """One encoded history of nobody."""

    def condition(self, encoded: Any, rating_BC: Tensor, rating_known_BC: Tensor | None = None) -> Any:
        """Once per wish."""

    def predict(self, noisy_BCSD: Tensor, time: Tensor, condition: Any) -> Tensor:
        """Once per step."""
