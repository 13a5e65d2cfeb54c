"""What the ratings and choices of a history say of a user's expected ratings: one observation each.

A choice observes that what was picked is better than what was passed over beside it, by `delta`: the mean expected
rating of the picked items less that of the others. If nothing or everything was picked, it observes nothing.

Shapes: B users, K history, O observations, as many as K: that of a question has the place of its first item.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from prefprior.history import History


class Observations(NamedTuple):
    """Linear observations of the items' expected ratings."""

    weights_BOK: Tensor  # of each item in each observation
    rated_BO: Tensor  # bool
    chosen_BO: Tensor  # bool: of a question


def observations(history: History) -> Observations:
    """Those of each user; a place without one has weights of 0."""
    question_BK, rated_BK = history.question_BK, history.rated_BK
    asked_BK = history.valid_BK & (question_BK > 0)
    same_BKK = (question_BK[:, :, None] == question_BK[:, None]) & asked_BK[:, :, None] & asked_BK[:, None]
    picked_BK, passed_BK = history.picked_BK.float(), history.passed_BK.float()
    picks_BK, others_BK = ((same_BKK.float() @ each[..., None])[..., 0] for each in (picked_BK, passed_BK))
    decided_BK = asked_BK & (picks_BK > 0) & (others_BK > 0)
    weight_BK = picked_BK / picks_BK.clamp(min=1) - passed_BK / others_BK.clamp(min=1)
    first_BK = decided_BK & ~same_BKK.tril(-1).any(2)
    choices_BOK = same_BKK * weight_BK[:, None] * first_BK[..., None]
    return Observations(torch.diag_embed(rated_BK.float()) + choices_BOK, rated_BK, first_BK)
