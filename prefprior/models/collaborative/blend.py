"""The weights of the retriever's and the collaborative score, fit on validation users.

Shapes: B users, N candidates, W pairs of weights.
"""

import torch
from torch import Tensor, distributed, nn

from prefprior.history import PreferenceBatch
from prefprior.models.retriever.losses import softmax_loss
from prefprior.models.retriever.negatives import Candidates, liked_targets

RETRIEVER = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
FACTORS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0, 23.0, 32.0)
GRID = [(one, other) for one in RETRIEVER for other in FACTORS if one or other]


class Blend(nn.Module):
    """The pair of weights with the lowest cross-entropy of validation users' likes, from a grid.

    Sums are accumulated over the batches of a validation pass. Before the first, the retriever's score stands alone.
    """

    weights_2: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights_2", torch.tensor([1.0, 0.0]))
        self.begin()

    def begin(self) -> None:
        """Starts a new validation pass: resets the sums."""
        self._nll_W = torch.zeros(len(GRID), dtype=torch.float64)

    def see(self, score_BN: Tensor, factor_BN: Tensor, candidates: Candidates, batch: PreferenceBatch) -> None:
        """Adds a batch and updates the weights; a collective call in a distributed run."""
        likes = liked_targets(batch).sum()
        nll_W = [softmax_loss(one * score_BN + other * factor_BN, candidates, batch) * likes for one, other in GRID]
        sum_W = torch.stack(nll_W).double()
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(sum_W)
        self._nll_W += sum_W.cpu()
        if self._nll_W.any():
            self.weights_2.copy_(torch.tensor(GRID[int(self._nll_W.argmin())]))

    def forward(self, score_BN: Tensor, factor_BN: Tensor) -> Tensor:
        """(B, N) the weighted sum."""
        return self.weights_2[0] * score_BN + self.weights_2[1] * factor_BN
