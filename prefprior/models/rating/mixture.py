"""The weights of two scores in an expected rating, fit on validation users.

Shapes: B users, T targets, N items.
"""

import torch
from torch import Tensor, distributed, nn

PRIOR_RATINGS = 20.0  # the weight, in ratings, of the prior that only the expected rating counts


class Mixture(nn.Module):
    """Non-negative least squares of ratings on two scores, and a level that all users share.

    The regression is within users, because the level of a score may differ between users. Its sums are accumulated over
    the batches of a validation pass.
    """

    weights_2: Tensor
    level: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights_2", torch.tensor([1.0, 0.0]))
        self.register_buffer("level", torch.zeros(()))
        self.begin()

    def begin(self) -> None:
        """Starts a new validation pass: resets the sums."""
        # Products of the columns, then their sums and the number of rows.
        self._sums_X = torch.zeros(13, dtype=torch.float64)

    def see(self, expected_BT: Tensor, score_BT: Tensor, rating_BT: Tensor, valid_BT: Tensor) -> None:
        """Adds held-out ratings and updates the weights; a collective call in a distributed run."""
        columns_3BT = torch.stack([expected_BT, score_BT, rating_BT]).double()
        columns_3BT = torch.where(valid_BT, columns_3BT, 0)
        mean_3B1 = columns_3BT.sum(2, keepdim=True) / valid_BT.sum(1)[:, None].clamp(min=1)
        rows_3X = torch.where(valid_BT, columns_3BT - mean_3B1, 0).flatten(1)
        sums_X = torch.cat([(rows_3X @ rows_3X.T).flatten(), columns_3BT.sum((1, 2)), valid_BT.sum()[None]])
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(sums_X)
        self._sums_X += sums_X.cpu()
        products_33, mean_3 = self._sums_X[:9].view(3, 3), self._sums_X[9:12] / self._sums_X[12].clamp(min=1)
        weights_2 = _non_negative(products_33, float(self._sums_X[12]))
        self.weights_2.copy_(weights_2)
        self.level.copy_(mean_3[2] - weights_2 @ mean_3[:2])

    def forward(self, expected_BN: Tensor, score_BN: Tensor) -> Tensor:
        """(B, N) the weighted sum."""
        return self.weights_2[0] * expected_BN + self.weights_2[1] * score_BN + self.level


def _non_negative(products_33: Tensor, count: float) -> Tensor:
    """The two weights: a ridge towards (1, 0), with a negative weight replaced by 0."""
    scatter_22, moment_2 = products_33[:2, :2], products_33[:2, 2]
    if count == 0 or not bool((scatter_22.diagonal() > 0).all()):
        return torch.tensor([1.0, 0.0], dtype=torch.float64)
    ridge_2 = PRIOR_RATINGS / count * scatter_22.diagonal()
    prior_2 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    weights_2 = torch.linalg.solve(scatter_22 + ridge_2.diag(), moment_2 + ridge_2 * prior_2)
    if (weights_2 >= 0).all():
        return weights_2
    alone_2 = ((moment_2 + ridge_2 * prior_2) / (scatter_22.diagonal() + ridge_2)).clamp(min=0)
    keep = int(weights_2.argmax())
    return torch.where(torch.arange(2) == keep, alone_2, 0)
