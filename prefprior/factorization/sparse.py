"""Ratings grouped by row, and padded for some rows at a time.

Shapes: R rows, N ratings, n ratings of one row, b rows solved together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Elements gathered at once: 2**24 in float32 are 64 MB.
GATHER = 1 << 24


@dataclass(frozen=True, eq=False)
class Sparse:
    """Ratings grouped by row."""

    start_R: Tensor  # int64, R + 1: where each row's ratings begin
    column_N: Tensor  # int64
    rating_N: Tensor  # float32

    @classmethod
    def of(cls, row_N: np.ndarray, column_N: np.ndarray, rating_N: np.ndarray, rows: int) -> "Sparse":
        """Groups ratings that are in any order."""
        order = np.argsort(row_N, kind="stable")
        start = np.r_[0, np.bincount(row_N, minlength=rows).cumsum()]
        return cls(
            torch.from_numpy(start),
            torch.from_numpy(column_N[order].astype(np.int64)),
            torch.from_numpy(rating_N[order].astype(np.float32)),
        )

    @property
    def count_R(self) -> Tensor:
        """(R,) the number of ratings of each row."""
        return self.start_R.diff()

    def padded(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(b, n) padded columns and ratings of some rows, and the valid mask."""
        count = self.count_R[rows]
        place = torch.arange(max(int(count.max()), 1)).expand(len(rows), -1)
        valid = place < count[:, None]
        at = (self.start_R[rows][:, None] + place).masked_fill(~valid, 0)
        return self.column_N[at] * valid, self.rating_N[at] * valid, valid

    def batches(self, width: int) -> Iterator[Tensor]:
        """Batches of rows with similar counts, to limit padding; `width` elements are gathered for each rating."""
        order = self.count_R.argsort(stable=True)
        counts, start = self.count_R[order], 0
        while start < len(order):
            # Counts rise, so the last row of a batch sets its padding.
            fits = (torch.arange(1, len(order) - start + 1) * counts[start:].clamp_min(1)) * width <= GATHER
            size = max(int(fits.sum()), 1)
            yield order[start : start + size]
            start += size
