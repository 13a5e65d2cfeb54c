"""Users known by their id: rows of an embedding, found by hashes, so that a checkpoint contains no user's id.

Shapes: B users, P rows.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from prefprior.data.hashing import id_hashes

UNKNOWN = ""  # never a user id: sources refuse empty ones
FREE = 2**63 - 1  # in rows that no user has


class UserIds(nn.Module):
    """Maps ids to rows. Users without a row are unknown, as all are whose id is dropped in training."""

    hash_P: Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.register_buffer("hash_P", torch.full((rows,), FREE, dtype=torch.long))

    def learn(self, users: Sequence[str]) -> None:
        """Gives each of these users a row."""
        if len(users) > len(self.hash_P):
            raise ValueError(
                f"prior.user_ids={len(self.hash_P)} is less than the number of training users. Give "
                f"prior.user_ids={len(users)} or more."
            )
        self.hash_P.fill_(FREE)
        self.hash_P[: len(users)] = torch.from_numpy(np.sort(_hashes(users)))

    def forward(self, users: Sequence[str]) -> Tensor:
        """(B,) each user's row, -1 for unknown users."""
        wanted_B = torch.from_numpy(_hashes(users)).to(self.hash_P.device)
        row_B = torch.searchsorted(self.hash_P, wanted_B).clamp(max=len(self.hash_P) - 1)
        named_B = torch.tensor([user != UNKNOWN for user in users], device=row_B.device)
        return torch.where((self.hash_P[row_B] == wanted_B) & named_B, row_B, -1)


def _hashes(users: Sequence[str]) -> np.ndarray:
    # 63 bits: positive, and below FREE.
    return (id_hashes(users) >> np.uint64(1)).astype(np.int64)
