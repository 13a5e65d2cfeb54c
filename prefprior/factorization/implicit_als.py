"""Implicit ALS (Hu, Koren & Volinsky 2008) with the regularisation of Rendle et al. 2022 (arXiv:2110.14037, eq. 5).

Minimises over users u and items v

    sum over likes (u.v - value)^2 + unobserved * sum over all pairs (u.v)^2
      + strength * (sum over users (n_u + unobserved * I) |u|^2 + sum over items (n_v + unobserved * U) |v|^2)

with n_u the number of a user's likes and n_v that of an item's.

Shapes: U users, I items, R rows of either kind, O rows of the other, N likes, n likes of one row, b rows solved
together, D factors.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prefprior.factorization.sparse import Sparse

# Elements of the systems that are solved at once: 64 MB in float32.
AT_ONCE = 1 << 24


@dataclass(frozen=True)
class ImplicitAls:
    """Settings of the factorisation, and one solve of either side."""

    dim: int
    unobserved: float  # the weight of every pair as a 0
    strength: float  # of the ridge
    sweeps: int = 12

    def items(
        self, user_N: np.ndarray, item_N: np.ndarray, value_N: np.ndarray, shape: tuple[int, int],
        generator: torch.Generator,
    ) -> Tensor:  # fmt: skip
        """(I, D) factors of the items, from alternating between users and items; `shape` is (users, items)."""
        by_user = Sparse.of(user_N, item_N, value_N, shape[0])
        by_item = Sparse.of(item_N, user_N, value_N, shape[1])
        # Rendle et al. start with products of standard deviation 0.1^2 / sqrt(D).
        factors_ID = torch.randn(shape[1], self.dim, generator=generator) * 0.1 / self.dim**0.5
        for _ in range(self.sweeps):
            factors_ID = self._side(by_item, self._side(by_user, factors_ID))
        return factors_ID

    def rows_at_once(self, likes: int) -> int:
        """How many rows of so many likes are solved together."""
        return max(1, AT_ONCE // (self.dim * max(self.dim, likes)))

    def solved(self, factors_bnD: Tensor, value_bn: Tensor, valid_bn: Tensor, gram_DD: Tensor, others: int) -> Tensor:
        """(b, D) minimisers, given the factors of each row's likes (0 for padding); `gram_DD` is of all `others`."""
        gram_D, basis_DD = torch.linalg.eigh(gram_DD)
        return self._rows(factors_bnD @ basis_DD, value_bn, valid_bn, gram_D, others) @ basis_DD.T

    def _rows(self, factors_bnD: Tensor, value_bn: Tensor, valid_bn: Tensor, gram_D: Tensor, others: int) -> Tensor:
        """`solved` in the basis in which the Gram matrix is diagonal; systems are n x n or D x D, the smaller."""
        ridge_b = self.strength * (valid_bn.sum(1) + self.unobserved * others)
        shared_bD = self.unobserved * gram_D.clamp_min(0) + ridge_b[:, None]
        if factors_bnD.shape[1] < self.dim:
            # (F^T F + S)^-1 F^T = S^-1 F^T (F S^-1 F^T + I)^-1
            scaled_bnD = factors_bnD / shared_bD[:, None]
            left_bnn = factors_bnD @ scaled_bnD.mT
            left_bnn.diagonal(dim1=1, dim2=2).add_(1)
            return (_cholesky_solved(left_bnn, value_bn)[:, None] @ scaled_bnD)[:, 0]
        left_bDD = factors_bnD.mT @ factors_bnD
        left_bDD.diagonal(dim1=1, dim2=2).add_(shared_bD)
        return _cholesky_solved(left_bDD, (value_bn[:, None] @ factors_bnD)[:, 0])

    def _side(self, likes: Sparse, factors_OD: Tensor) -> Tensor:
        """(R, D) least-squares factors of one side, given those of the other."""
        gram_D, basis_DD = torch.linalg.eigh(factors_OD.T @ factors_OD)
        turned_OD, rows_RD = factors_OD @ basis_DD, torch.empty(len(likes.count_R), self.dim)
        # Rows are grouped by their number of likes (up to 1, 2, 4, ...), so less than half of a batch is padding.
        group_R = likes.count_R.clamp_min(1).log2().ceil()
        for group in group_R.unique().tolist():
            for rows in (group_R == group).nonzero()[:, 0].split(self.rows_at_once(int(2**group))):
                column_bn, value_bn, valid_bn = likes.padded(rows)
                factors_bnD = turned_OD[column_bn] * valid_bn[..., None]
                rows_RD[rows] = self._rows(factors_bnD, value_bn, valid_bn, gram_D, len(factors_OD))
        return rows_RD @ basis_DD.T


def _cholesky_solved(left_bmm: Tensor, right_bm: Tensor) -> Tensor:
    return torch.cholesky_solve(right_bm[..., None], torch.linalg.cholesky(left_bmm))[..., 0]
