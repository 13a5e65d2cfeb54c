"""Items of the training part, known again by their embeddings in whatever catalogue they are met.

Shapes: I items of a table, P known items, N items, D dimension; `...` any leading shape.
"""

import numpy as np
import torch
from torch import Tensor

from prefprior.data.hashing import mix
from prefprior.models.learned_tables import LearnedTables

FACTORS = 0x70726566  # any number, but never another: checkpoints hold hashes made with it
AT_ONCE = 8192  # rows hashed together: each takes eight bytes a dimension for a moment


class KnownItems(LearnedTables):
    """Items that were rated in training, by 62-bit hashes of their embeddings, so that any catalogue can be asked.

    Embeddings are compared in half precision, so that it makes no difference whether a catalogue is kept in that or in
    full. They must be the same embeddings: computed again on another machine, one may differ in its last bits.
    """

    hash_P: Tensor

    def __init__(self, *columns: str) -> None:
        """`columns` name numbers that are known of each item; `learn` leaves them to be set."""
        super().__init__(hash_P=torch.zeros(0, dtype=torch.long), **{name: torch.zeros(0) for name in columns})
        self.columns = columns

    def learn(self, embeddings_ID: Tensor, rated_I: Tensor) -> Tensor:
        """Knows those items of a table that are marked as rated; returns the place of each among the P. Items of equal
        embeddings share one."""
        found = [_hashes(embeddings_ID[rows_S]) for rows_S in rated_I.nonzero()[:, 0].split(AT_ONCE)]
        hash_R = torch.cat(found) if found else self.hash_P[:0]
        self.hash_P, place_R = hash_R.unique(return_inverse=True)  # ascending
        return place_R

    def forward(self, raw: Tensor) -> Tensor:
        """(..., D) -> (...) whether each was rated in training."""
        return self.place(raw) >= 0

    def place(self, raw: Tensor) -> Tensor:
        """(..., D) -> (...) which of the P items each is, -1 for none."""
        if not len(self.hash_P):
            return torch.full(raw.shape[:-1], -1, device=raw.device)
        wanted = torch.cat([_hashes(rows) for rows in raw.flatten(0, -2).split(AT_ONCE)])
        place = torch.searchsorted(self.hash_P, wanted).clamp(max=len(self.hash_P) - 1)
        return torch.where(self.hash_P[place] == wanted, place, -1).view(raw.shape[:-1])

    def values(self, raw: Tensor) -> list[Tensor]:
        """(..., D) -> each column (...), 0 for unknown items."""
        if not len(self.hash_P):
            return [raw.new_zeros(raw.shape[:-1]) for _ in self.columns]
        place = self.place(raw)
        return [torch.where(place >= 0, getattr(self, name)[place], 0) for name in self.columns]


def _hashes(raw_ND: Tensor) -> Tensor:
    # Of the bits; + 0 turns -0 into 0. Products overflow, as hashes do.
    bits_ND = (raw_ND.half() + 0).view(torch.int16).long()
    factors_D = torch.from_numpy(mix(np.arange(raw_ND.shape[-1]), FACTORS).view(np.int64)).to(raw_ND.device)
    return (bits_ND * factors_D).sum(-1) & (2**62 - 1)
