"""Items of the training part, recognised by their embeddings in any catalogue.

Shapes: I items of a table, P known items, N items, D dimension; `...` any leading shape.
"""

import numpy as np
import torch
from torch import Tensor

from prefprior.data.hashing import mix
from prefprior.models.learned_tables import LearnedTables

FACTORS = 0x70726566  # an arbitrary seed that must never change: checkpoints hold hashes made with it
AT_ONCE = 8192  # rows hashed at once: each needs eight temporary bytes per dimension


class KnownItems(LearnedTables):
    """Items that were rated in training, stored as 62-bit hashes of their embeddings.

    Hashes are of half-precision values, so a catalogue is recognised in half and in full precision. The embeddings must
    be the same ones: if they are computed again on another machine, the last bits may differ.
    """

    hash_P: Tensor

    def __init__(self, **columns: tuple[int, ...]) -> None:
        """`columns` names further values per item, with the shape of a row; they are to be set after `learn`."""
        empty = {name: torch.zeros(0, *shape) for name, shape in columns.items()}
        super().__init__(hash_P=torch.zeros(0, dtype=torch.long), **empty)
        self.columns = columns

    def learn(self, embeddings_ID: Tensor, rated_I: Tensor) -> tuple[Tensor, Tensor]:
        """Stores the items of a table that are marked as rated; returns the index of each row among the P known items,
        (I,) and -1 for the others, and a row of each known item, (P,). Items with equal embeddings share an index."""
        row_R = rated_I.nonzero()[:, 0]
        found = [_hashes(embeddings_ID[rows_S]) for rows_S in row_R.split(AT_ONCE)]
        hash_R = torch.cat(found) if found else self.hash_P[:0]
        self.hash_P, place_R = hash_R.unique(return_inverse=True)  # ascending
        place_I = torch.full((len(rated_I),), -1)
        place_I[row_R] = place_R
        row_P = torch.empty(len(self.hash_P), dtype=torch.long)
        row_P[place_R] = row_R
        return place_I, row_P

    def forward(self, raw: Tensor) -> Tensor:
        """(..., D) -> (...) whether each item was rated in training."""
        return self.place(raw) >= 0

    def place(self, raw: Tensor) -> Tensor:
        """(..., D) -> (...) index of each item among the P known ones, -1 for unknown items."""
        if not len(self.hash_P):
            return torch.full(raw.shape[:-1], -1, device=raw.device)
        wanted = torch.cat([_hashes(rows) for rows in raw.flatten(0, -2).split(AT_ONCE)])
        place = torch.searchsorted(self.hash_P, wanted).clamp(max=len(self.hash_P) - 1)
        return torch.where(self.hash_P[place] == wanted, place, -1).view(raw.shape[:-1])

    def values(self, raw: Tensor) -> list[Tensor]:
        """(..., D) -> each column (..., *row), 0 for unknown items."""
        place = self.place(raw)
        return [self.column(name, place) for name in self.columns]

    def column(self, name: str, place: Tensor) -> Tensor:
        """Indices (...) of items -> one column (..., *row), 0 where the index is -1."""
        values_P = getattr(self, name)
        if not len(values_P):
            return values_P.new_zeros(*place.shape, *values_P.shape[1:])
        known = (place >= 0).view(*place.shape, *(1 for _ in values_P.shape[1:]))
        return torch.where(known, values_P[place], 0)


def _hashes(raw_ND: Tensor) -> Tensor:
    # Hashes of the bits; + 0 turns -0 into 0. Integer overflow is intended.
    bits_ND = (raw_ND.half() + 0).view(torch.int16).long()
    factors_D = torch.from_numpy(mix(np.arange(raw_ND.shape[-1]), FACTORS).view(np.int64)).to(raw_ND.device)
    return (bits_ND * factors_D).sum(-1) & (2**62 - 1)
