"""Who is known by their id: rows of a table of people, found by hashes, so that a checkpoint names nobody.

Shapes: B users, P people.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from prefprior.data.hashing import id_hashes

NOBODY = ""  # no id of anybody: sources refuse empty ones
FREE = 2**63 - 1  # in rows that nobody has


class KnownPeople(nn.Module):
    """Rows of people; whoever is not among them is unknown, as everybody is whose id was dropped in training."""

    hash_P: Tensor

    def __init__(self, people: int) -> None:
        super().__init__()
        self.register_buffer("hash_P", torch.full((people,), FREE, dtype=torch.long))

    def learn(self, users: Sequence[str]) -> None:
        """Gives each of these people a row."""
        if len(users) > len(self.hash_P):
            raise ValueError(
                f"prior.people={len(self.hash_P)} has fewer rows than there are people to train on. "
                f"Give prior.people={len(users)} or more."
            )
        self.hash_P.fill_(FREE)
        self.hash_P[: len(users)] = torch.from_numpy(np.sort(_hashes(users)))

    def forward(self, users: Sequence[str]) -> Tensor:
        """(B,) each one's row, -1 for whoever has none."""
        wanted_B = torch.from_numpy(_hashes(users)).to(self.hash_P.device)
        row_B = torch.searchsorted(self.hash_P, wanted_B).clamp(max=len(self.hash_P) - 1)
        named_B = torch.tensor([user != NOBODY for user in users], device=row_B.device)
        return torch.where((self.hash_P[row_B] == wanted_B) & named_B, row_B, -1)


def _hashes(users: Sequence[str]) -> np.ndarray:
    # 63 bits: positive, and below what free rows hold.
    return (id_hashes(users) >> np.uint64(1)).astype(np.int64)
