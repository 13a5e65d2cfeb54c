"""The weights of the retriever's and the collaborative score, fit on validation users.

Shapes: B users, T targets, N candidates, R ratios, S scales.
"""

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import pad

from prefprior.history import PreferenceBatch
from prefprior.models.retriever.losses import softmax_loss
from prefprior.models.retriever.negatives import Candidates, liked_targets

# Of the weights: a retriever's scores are logits, a collaborative score lies between 0 and 1. None: no retriever.
RATIOS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0, 23.0, 32.0, None)
SCALES = (0.2, 0.35, 0.5, 0.75, 1.0)
ALONE = 16.0  # the weight of a collaborative score that stands alone, at a scale of 1


class Blend(nn.Module):
    """The ratio of both weights ranks validation users' likes highest, by discounted gain; then their scale gives the
    likes the lowest cross-entropy, which makes the sum a log-probability up to a constant.

    Cross-entropy alone would choose another ratio: a collaborative score ranks well, but is no logit. Sums are
    accumulated over the batches of a validation pass. Before the first, the retriever's score stands alone.
    """

    weights_2: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights_2", torch.tensor([1.0, 0.0]))
        self.begin()

    def begin(self) -> None:
        """Starts a new validation pass: resets the sums."""
        self._sums_RX = torch.zeros(len(RATIOS), 1 + len(SCALES), dtype=torch.float64)  # gain, then cross-entropies

    def see(self, score_BN: Tensor, factor_BN: Tensor, candidates: Candidates, batch: PreferenceBatch) -> None:
        """Adds a batch and updates the weights; a collective call in a distributed run."""
        likes = liked_targets(batch).sum()
        sums = []
        for one, other in map(_weights, RATIOS):
            blended_BN = one * score_BN + other * factor_BN
            nll_S = [softmax_loss(scale * blended_BN, candidates, batch) * likes for scale in SCALES]
            sums.append(torch.stack([_discounted_gain(blended_BN, candidates, batch), *nll_S]))
        sums_RX = torch.stack(sums).double()
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(sums_RX)
        self._sums_RX += sums_RX.cpu()
        if self._sums_RX.any():
            ratio = int(self._sums_RX[:, 0].argmax())
            scale = SCALES[int(self._sums_RX[ratio, 1:].argmin())]
            self.weights_2.copy_(scale * torch.tensor(_weights(RATIOS[ratio])))

    def forward(self, score_BN: Tensor, factor_BN: Tensor) -> Tensor:
        """(B, N) the weighted sum."""
        return self.weights_2[0] * score_BN + self.weights_2[1] * factor_BN


def _weights(ratio: float | None) -> tuple[float, float]:
    return (0.0, ALONE) if ratio is None else (1.0, ratio)


def _discounted_gain(score_BN: Tensor, candidates: Candidates, batch: PreferenceBatch) -> Tensor:
    """The sum of 1 / log2(1 + rank) over liked targets; each candidate counts for as many as it was sampled from."""
    weight_N = candidates.exists_N.float()
    if candidates.log_q_N is not None:
        weight_N = weight_N * (-candidates.log_q_N).exp()
    sorted_BN, order_BN = score_BN.sort(dim=1)
    others_BN = (weight_N * ~candidates.excluded_mask_BN).gather(1, order_BN)
    below_BN = pad(others_BN.cumsum(1), (1, 0))  # the weight of the first 0, 1, ... of them
    own_BT = score_BN.gather(1, candidates.own_BT)
    less_BT = below_BN.gather(1, torch.searchsorted(sorted_BN, own_BT))
    as_high_BT = below_BN.gather(1, torch.searchsorted(sorted_BN, own_BT, right=True))
    rank_BT = below_BN[:, -1:] - 0.5 * (less_BT + as_high_BT)  # those above, and half of those that score the same
    return (liked_targets(batch) / torch.log2(2 + rank_BT)).sum()
