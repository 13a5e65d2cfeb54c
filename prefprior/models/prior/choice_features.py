"""What a history's tokens say of choices: that an item was shown beside others, and how it differs from them.

Shapes: B users, K history, W width, D dimension.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from prefprior.history import History


class ChoiceFeatures(nn.Module):
    """Added to each token: a vector for belonging to a question, and a projection of the signed contrast.

    The contrast is the item less the mean of the others of its question: from what was passed over to what was picked,
    and its negative for what was passed over. It is 0 for a rating. Both weights start at 0, without a random number,
    and are trained only if the training part has choices, so a model of ratings is what it would be without them, to
    the bit. What was shown in which place changes nothing.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.belongs_W = nn.Parameter(torch.zeros(width))
        self.contrast_WD = nn.Parameter(torch.zeros(width, dim))

    def forward(self, items_BKD: Tensor, ratings_BK: Tensor, question_BK: Tensor | None) -> Tensor:
        """(B, K, W), or (1, 1, W) zeros where nobody has a question (None). Items are in model scale, 0 where not
        valid; questions are 0 there."""
        if question_BK is None:  # the weights have a part in every step all the same: DDP waits for their gradients
            signed_BKD, belongs_BK = items_BKD.new_zeros(1, 1, items_BKD.shape[2]), items_BKD.new_zeros(1, 1)
        else:
            belongs_BK = (question_BK > 0).to(items_BKD.dtype)
            signed_BKD = ratings_BK[..., None] * contrast(items_BKD, question_BK)
        return belongs_BK[..., None] * self.belongs_W + linear(signed_BKD, self.contrast_WD)


def contrast(items_BKD: Tensor, question_BK: Tensor) -> Tensor:
    """(B, K, D) each item less the mean of the others of its question; 0 for ratings."""
    same_BKK = ((question_BK[:, :, None] == question_BK[:, None]) & (question_BK > 0)[:, None]).to(items_BKD.dtype)
    shown_BK1 = same_BKK.sum(2, keepdim=True)
    sum_BKD = same_BKK @ items_BKD
    others_BKD = (sum_BKD - items_BKD) / (shown_BK1 - 1).clamp(min=1)
    return torch.where(shown_BK1 > 1, items_BKD - others_BKD, 0)


def questions(history: History) -> Tensor | None:
    """(B, K) the numbers of a history's questions, 0 where not valid; None where there are ratings only."""
    question_BK = torch.where(history.valid_BK, history.question_BK, 0)
    return question_BK if question_BK.any() else None
