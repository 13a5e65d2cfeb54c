"""One side of weighted alternating least squares: the best row factors given the column factors.

For every row y with ratings r of columns whose factors are F_o, minimises

    |F_o y - r|^2 + zeros * |F y|^2 + strength * |y - anchor|^2

The middle term shrinks all scores, rated or not. It needs no rows x columns matrix, because its quadratic form F^T F
is the same for every row (Hu, Koren & Volinsky 2008). The system of a row differs from the shared one by a low-rank
matrix.

Shapes: R rows, M columns (F is M x D), N ratings, n ratings of one row, b rows solved together, D dimension.
"""

import torch
from torch import Tensor


class Shared:
    """The matrix A = zeros * F^T F + strength * I that all rows share, and products with A and its inverse."""

    def __init__(self, factors_MD: Tensor, zeros: float, strength: float) -> None:
        self.factors_MD, self.zeros, self.strength = factors_MD, zeros, strength
        columns, dim = factors_MD.shape
        self.gram_DD = torch.zeros(dim, dim)
        self._inverse: Tensor | None = None
        self.narrow = columns < dim
        if zeros > 0 and not self.narrow:
            factors = factors_MD.numpy()
            # numpy uses the symmetry of F^T F, which takes half the time.
            self.gram_DD = zeros * torch.from_numpy(factors.T @ factors)
        if self.narrow:
            # Woodbury: A^-1 = (I - F^T Q F) / strength with an M x M matrix Q.
            outer_MM = (factors_MD @ factors_MD.T).double()
            ridge = torch.eye(columns, dtype=torch.float64)
            self.outer_MM = outer_MM.float()
            self.q_MM = (torch.linalg.inv(ridge * (strength / zeros) + outer_MM) if zeros > 0 else 0 * ridge).float()

    def times(self, vectors_bD: Tensor) -> Tensor:
        """A y for each row."""
        if self.narrow:
            full = (vectors_bD @ self.factors_MD.T) @ self.factors_MD
            return self.zeros * full + self.strength * vectors_bD
        return vectors_bD @ self.gram_DD + self.strength * vectors_bD

    def solve(self, vectors_bD: Tensor) -> Tensor:
        """A^-1 y for each row."""
        if self.zeros == 0:
            return vectors_bD / self.strength
        if self.narrow:
            return (vectors_bD - (vectors_bD @ self.factors_MD.T @ self.q_MM) @ self.factors_MD) / self.strength
        if self._inverse is None:
            eye_DD = torch.eye(len(self.gram_DD), dtype=torch.float64)
            full_DD = self.gram_DD.double() + self.strength * eye_DD
            self._inverse = torch.cholesky_inverse(torch.linalg.cholesky(full_DD)).float()
        return vectors_bD @ self._inverse


def exact(shared: Shared, column_bn: Tensor, rating_bn: Tensor, valid_bn: Tensor, anchor_bD: Tensor) -> Tensor:
    """(b, D) minimisers by the Woodbury identity: one n x n solve per row, independent of D."""
    factors_bnD = shared.factors_MD[column_bn] * valid_bn[..., None]
    return folded(shared, factors_bnD, rating_bn, anchor_bD)


def folded(shared: Shared, factors_bnD: Tensor, rating_bn: Tensor, anchor_bD: Tensor) -> Tensor:
    """`exact` with given factors of the rated columns (0 for padding), which need not be among those of the fit."""
    b, n, dim = factors_bnD.shape
    start_bD = shared.solve(shared.strength * anchor_bD)
    solved_bnD = shared.solve(factors_bnD.reshape(b * n, dim)).reshape(b, n, dim)
    kernel_bnn = factors_bnD @ solved_bnD.transpose(1, 2) + torch.eye(n)
    error_bn = rating_bn - (factors_bnD @ start_bD[..., None])[..., 0]
    dual_bn = torch.linalg.solve(kernel_bnn, error_bn)
    return start_bD + (dual_bn[:, None] @ solved_bnD)[:, 0]


def exact_narrow(shared: Shared, column_bn: Tensor, rating_bn: Tensor, valid_bn: Tensor, anchor_bD: Tensor) -> Tensor:
    """`exact` for fewer columns than dimensions: the solution is the anchor plus a combination of the M columns.

    Two products with F for a whole batch replace gathering n factors for each row.
    """
    outer, q, strength = shared.outer_MM, shared.q_MM, shared.strength
    score_bM = anchor_bD @ shared.factors_MD.T
    pulled_bM = score_bM @ q  # start = anchor - pulled F
    start_bM = score_bM - pulled_bM @ outer
    inner_MM = (outer - outer @ q @ outer) / strength  # F A^-1 F^T
    kernel_bnn = inner_MM[column_bn[:, :, None], column_bn[:, None, :]]
    kernel_bnn = kernel_bnn * (valid_bn[:, :, None] & valid_bn[:, None, :]) + torch.eye(column_bn.shape[1])
    error_bn = (rating_bn - start_bM.gather(1, column_bn)) * valid_bn
    dual_bn = torch.linalg.solve(kernel_bnn, error_bn) * valid_bn
    dual_bM = torch.zeros_like(score_bM).scatter_add_(1, column_bn, dual_bn)
    return anchor_bD + ((dual_bM - dual_bM @ outer @ q) / strength - pulled_bM) @ shared.factors_MD


def conjugate_gradient(
    shared: Shared,
    column_bn: Tensor,
    rating_bn: Tensor,
    valid_bn: Tensor,
    anchor_bD: Tensor,
    start_bD: Tensor,
    steps: int,
) -> Tensor:
    """(b, D) rows after a few steps from `start_bD`; each step lowers the objective."""
    factors_bnD = shared.factors_MD[column_bn] * valid_bn[..., None]

    def operator(y_bD: Tensor) -> Tensor:
        return shared.times(y_bD) + ((factors_bnD @ y_bD[..., None])[..., 0][:, None] @ factors_bnD)[:, 0]

    target_bD = shared.strength * anchor_bD + (rating_bn[:, None] @ factors_bnD)[:, 0]
    y_bD, residual_bD = start_bD.clone(), target_bD - operator(start_bD)
    step_bD, norm_b = residual_bD, residual_bD.square().sum(1)
    for _ in range(steps):
        product_bD = operator(step_bD)
        size_b = norm_b / (step_bD * product_bD).sum(1).clamp_min(1e-30)
        y_bD = y_bD + size_b[:, None] * step_bD
        residual_bD = residual_bD - size_b[:, None] * product_bD
        last_b, norm_b = norm_b, residual_bD.square().sum(1)
        step_bD = residual_bD + (norm_b / last_b.clamp_min(1e-30))[:, None] * step_bD
    return y_bD
