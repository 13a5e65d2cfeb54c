"""What `Prior` keeps of histories and conditions between its three calls.

Shapes: B users, R read-outs, N tokens the denoiser attends to, C conditions per user, S noise samples, W width,
M modulation, L denoiser blocks, H heads, E head width, D dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass
class EncodedHistory:
    """B encoded histories: the read-outs, and all tokens as the denoiser attends to them."""

    readouts_BRW: Tensor
    valid_BN: Tensor  # bool: which tokens exist
    keys_BHNE: tuple[Tensor, ...]  # L of them, one for each block of the denoiser
    values_BHNE: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.readouts_BRW)

    def expand(self, count: int) -> "EncodedHistory":
        """One encoded history for `count` users, such as the empty one."""
        return self._each(lambda part: part.expand(count, *part.shape[1:]))

    def joined(self, others: list["EncodedHistory"]) -> "EncodedHistory":
        """This and others, one after the other."""
        every = [self, *others]
        longest = max(e.valid_BN.shape[1] for e in every)
        padded = [e._padded(longest) for e in every]
        return EncodedHistory(
            torch.cat([e.readouts_BRW for e in padded]),
            torch.cat([e.valid_BN for e in padded]),
            tuple(torch.cat(parts) for parts in zip(*(e.keys_BHNE for e in padded))),
            tuple(torch.cat(parts) for parts in zip(*(e.values_BHNE for e in padded))),
        )

    def _padded(self, length: int) -> "EncodedHistory":
        missing = length - self.valid_BN.shape[1]
        if not missing:
            return self
        keys, values = (
            tuple(pad(part, (0, 0, 0, missing)) for part in parts) for parts in (self.keys_BHNE, self.values_BHNE)
        )
        return EncodedHistory(self.readouts_BRW, pad(self.valid_BN, (0, missing)), keys, values)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "EncodedHistory":
        keys, values = (tuple(map(change, parts)) for parts in (self.keys_BHNE, self.values_BHNE))
        return EncodedHistory(change(self.readouts_BRW), change(self.valid_BN), keys, values)


@dataclass
class Condition:
    """All that a denoising step needs to know of users and their conditions."""

    modulation_BCM: Tensor
    valid_BN: Tensor
    keys_BHNE: tuple[Tensor, ...]
    values_BHNE: tuple[Tensor, ...]
