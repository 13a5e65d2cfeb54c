"""prefprior/baselines/least_squares.py: every solver finds the minimum that a dense solve finds."""

import numpy as np
import pytest
import torch
from torch import Tensor

from prefprior.baselines.least_squares import Shared, conjugate_gradient, exact, exact_narrow
from prefprior.factorization.sparse import Sparse

STRENGTH = 0.7
ROWS = torch.arange(7)
SHAPES = pytest.mark.parametrize(("columns", "dim"), [(20, 6), (6, 20)])
ZEROS = pytest.mark.parametrize("zeros", [0.0, 0.3])


def problem(columns: int, dim: int, rows: int = 7) -> tuple[Tensor, Sparse, Tensor]:
    """Column factors, ratings and anchors."""
    rng = np.random.default_rng(0)
    factors_MD = torch.from_numpy(rng.normal(size=(columns, dim)).astype(np.float32))
    row = np.concatenate([np.full(n, r) for r, n in enumerate(rng.integers(0, columns, rows))])
    column = np.concatenate([rng.choice(columns, (row == r).sum(), replace=False) for r in range(rows)])
    ratings = Sparse.of(row, column, rng.choice([-1.0, 1.0], len(row)), rows)
    return factors_MD, ratings, torch.from_numpy(rng.normal(size=(rows, dim)).astype(np.float32))


def dense(factors_MD: Tensor, ratings: Sparse, anchor_RD: Tensor, zeros: float) -> Tensor:
    """The minimum, row by row, in float64."""
    rows, dim = [], factors_MD.shape[1]
    for r in range(len(anchor_RD)):
        part = slice(int(ratings.start_R[r]), int(ratings.start_R[r + 1]))
        own, rating = factors_MD[ratings.column_N[part]].double(), ratings.rating_N[part].double()
        full_DD = own.T @ own + zeros * factors_MD.double().T @ factors_MD.double()
        full_DD += STRENGTH * torch.eye(dim, dtype=torch.float64)
        rows.append(torch.linalg.solve(full_DD, own.T @ rating + STRENGTH * anchor_RD[r].double()))
    return torch.stack(rows).float()


@SHAPES
@ZEROS
def test_the_exact_solution_is_the_minimum(columns: int, dim: int, zeros: float) -> None:
    factors_MD, ratings, anchor_RD = problem(columns, dim)
    found = exact(Shared(factors_MD, zeros, STRENGTH), *ratings.padded(ROWS), anchor_RD)
    assert torch.allclose(found, dense(factors_MD, ratings, anchor_RD, zeros), atol=1e-4)


@ZEROS
def test_the_exact_solution_for_few_columns_is_the_minimum(zeros: float) -> None:
    factors_MD, ratings, anchor_RD = problem(6, 20)
    found = exact_narrow(Shared(factors_MD, zeros, STRENGTH), *ratings.padded(ROWS), anchor_RD)
    assert torch.allclose(found, dense(factors_MD, ratings, anchor_RD, zeros), atol=1e-4)


@SHAPES
@ZEROS
def test_conjugate_gradient_converges_to_the_minimum(columns: int, dim: int, zeros: float) -> None:
    factors_MD, ratings, anchor_RD = problem(columns, dim)
    start_RD, shared = torch.zeros_like(anchor_RD), Shared(factors_MD, zeros, STRENGTH)
    found = conjugate_gradient(shared, *ratings.padded(ROWS), anchor_RD, start_RD, 3 * dim)
    assert torch.allclose(found, dense(factors_MD, ratings, anchor_RD, zeros), atol=1e-3)


def test_batches_contain_every_row_once() -> None:
    _, ratings, _ = problem(20, 6)
    assert torch.cat(list(ratings.batches(1 << 20))).sort().values.tolist() == ROWS.tolist()
