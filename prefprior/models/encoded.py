"""What the light prior keeps of histories and wishes between its three calls.

Shapes: B users, R read-outs, N tokens the denoiser attends to, C conditions per user, S draws, W width, M modulation,
L denoiser blocks, H heads, E head width, D dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass
class EncodedHistory:
    """What the encoder made of B histories: a summary and interests, and tokens as the denoiser attends to them."""

    readouts_BRW: Tensor
    keys_BLHNE: Tensor
    values_BLHNE: Tensor
    valid_BN: Tensor  # bool: which tokens there are

    def __len__(self) -> int:
        return len(self.readouts_BRW)

    def expand(self, count: int) -> "EncodedHistory":
        """One encoded history, for `count` users (the null history, say)."""
        return EncodedHistory(*(part.expand(count, *part.shape[1:]) for part in self._parts()))

    def joined(self, others: list["EncodedHistory"]) -> "EncodedHistory":
        """This and others, one after the other."""
        every = [self, *others]
        longest = max(e.valid_BN.shape[1] for e in every)
        return EncodedHistory(*(torch.cat(parts) for parts in zip(*(e._padded(longest)._parts() for e in every))))

    def _padded(self, length: int) -> "EncodedHistory":
        missing = length - self.valid_BN.shape[1]
        keys, values = (pad(part, (0, 0, 0, missing)) for part in (self.keys_BLHNE, self.values_BLHNE))
        return EncodedHistory(self.readouts_BRW, keys, values, pad(self.valid_BN, (0, missing)))

    def _parts(self) -> tuple[Tensor, ...]:
        return self.readouts_BRW, self.keys_BLHNE, self.values_BLHNE, self.valid_BN


@dataclass
class Condition:
    """All that a denoising step of the light denoiser needs to know of users and wishes."""

    modulation_BCM: Tensor
    keys_BLHNE: Tensor
    values_BLHNE: Tensor
    valid_BN: Tensor
