"""The weights of several scores in an expected rating, fit on validation users.

Shapes: S scores, B users, T targets, N items, X sums: products of the S scores and the rating, then sums, then a count.
"""

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor, distributed, nn

PRIOR_RATINGS = 20.0  # the weight, in ratings, of the prior that only the first score counts


class Mixture(nn.Module):
    """Non-negative least squares of ratings on several scores, and a level that all users share.

    The first score is an expected rating. The regression is within users, because the level of a score may differ
    between users. Its sums are accumulated over the batches of a validation pass.
    """

    weights_S: Tensor
    level: Tensor

    def __init__(self, scores: int) -> None:
        super().__init__()
        self.scores = scores
        self.register_buffer("weights_S", torch.eye(scores)[0].clone())
        self.register_buffer("level", torch.zeros(()))
        self.begin()

    def begin(self) -> None:
        """Starts a new validation pass: resets the sums."""
        columns = self.scores + 1
        self._sums_X = torch.zeros(columns * columns + columns + 1, dtype=torch.float64)

    def see(self, score_SBT: Tensor, rating_BT: Tensor, valid_BT: Tensor) -> None:
        """Adds held-out ratings and updates the weights; a collective call in a distributed run."""
        columns = self.scores + 1
        columns_CBT = torch.cat([score_SBT, rating_BT[None]]).double()
        columns_CBT = torch.where(valid_BT, columns_CBT, 0)
        mean_CB1 = columns_CBT.sum(2, keepdim=True) / valid_BT.sum(1)[:, None].clamp(min=1)
        rows_CX = torch.where(valid_BT, columns_CBT - mean_CB1, 0).flatten(1)
        sums_X = torch.cat([(rows_CX @ rows_CX.T).flatten(), columns_CBT.sum((1, 2)), valid_BT.sum()[None]])
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(sums_X)
        self._sums_X += sums_X.cpu()
        products_CC = self._sums_X[: columns * columns].view(columns, columns)
        count = float(self._sums_X[-1])
        mean_C = self._sums_X[columns * columns : -1] / max(count, 1.0)
        weights_S = _non_negative(products_CC.numpy(), count)
        self.weights_S.copy_(weights_S)
        self.level.copy_(mean_C[-1] - weights_S @ mean_C[:-1])

    def forward(self, score_SBN: Tensor) -> Tensor:
        """(B, N) the weighted sum."""
        return torch.einsum("s,sbn->bn", self.weights_S, score_SBN) + self.level


def _non_negative(products_CC: np.ndarray, count: float) -> Tensor:
    """(S,) weights: a ridge towards the first score alone, from the products of all columns; the rating is the last."""
    scatter_SS, moment_S = products_CC[:-1, :-1], products_CC[:-1, -1]
    prior_S = np.eye(len(moment_S))[0]
    scale_S = scatter_SS.diagonal()
    if count == 0 or scale_S[0] <= 0:
        return torch.from_numpy(prior_S)
    # A score without variance within users keeps the prior's weight.
    ridge_S = np.where(scale_S > 0, PRIOR_RATINGS / count * scale_S, 1.0)
    lower_SS = np.linalg.cholesky(scatter_SS + np.diag(ridge_S))
    # |L^T w - L^-1 b|^2 is the quadratic with these moments.
    weights_S, _ = nnls(lower_SS.T, np.linalg.solve(lower_SS, moment_S + ridge_S * prior_S))
    return torch.from_numpy(weights_S)
