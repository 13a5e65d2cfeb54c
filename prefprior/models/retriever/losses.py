"""The retriever's contrastive loss: softmax over liked targets and negatives, and pairs of one user's own ratings.

Shapes: B users, T targets per user, N candidates.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from prefprior.history import PreferenceBatch
from prefprior.models.preparation import TrainingData
from prefprior.models.recorded import Recorded
from prefprior.models.reduction import weighted_mean
from prefprior.models.retriever.negatives import Candidates, Negatives, liked_targets


class ContrastiveLoss(Recorded):
    """Weights of both terms, and where negatives come from.

    The popularity bias gets the same two terms by itself, as if all users were the same user. The personal score is
    trained on top of it while it is held fixed: it learns what popularity cannot explain.
    """

    def __init__(
        self, *, softmax_weight: float = 0.1, pairwise_weight: float = 0.1, negatives: Negatives | None = None
    ) -> None:
        if min(softmax_weight, pairwise_weight) < 0 or softmax_weight + pairwise_weight == 0:
            raise ValueError(
                "softmax_weight and pairwise_weight must be at least 0, and one of them above 0; got "
                f"{softmax_weight} and {pairwise_weight}. To train no retriever: retriever=none"
            )
        self.softmax_weight = softmax_weight
        self.pairwise_weight = pairwise_weight
        self.negatives = negatives or Negatives()

    def prepare(self, data: TrainingData) -> None:
        """Negatives learn the catalogue."""
        self.negatives.prepare(data)

    def terms(
        self, personal_BN: Tensor, popularity_N: Tensor, candidates: Candidates, batch: PreferenceBatch
    ) -> dict[str, Tensor]:
        """Weighted terms by name, of one pair of towers."""
        found: dict[str, Tensor] = {}
        for name, logits_BN in (("score", personal_BN), ("popularity", popularity_N.expand(len(personal_BN), -1))):
            if self.softmax_weight:
                found[f"{name}_softmax"] = self.softmax_weight * softmax_loss(logits_BN, candidates, batch)
            if self.pairwise_weight:
                own_BT = logits_BN.gather(1, candidates.own_BT)
                found[f"{name}_pairwise"] = self.pairwise_weight * pairwise_loss(own_BT, batch)
        return found


def softmax_loss(logits_BN: Tensor, candidates: Candidates, batch: PreferenceBatch) -> Tensor:
    """Cross-entropy of each liked target against the user's negatives, log-q corrected where that is asked for."""
    own_BT, items_N = candidates.own_BT, candidates.items_N
    if candidates.log_q_N is not None:
        logits_BN = logits_BN - candidates.log_q_N
    positive_BT = logits_BN.gather(1, own_BT)
    logits_BN = logits_BN.masked_fill(candidates.excluded_mask_BN, -torch.inf)
    if candidates.repeats:  # the same item, liked by another user or sampled, is no negative either
        own_items_BT1 = items_N[own_BT][..., None]
        same_BTN = (own_items_BT1 == items_N) & (own_items_BT1 >= 0)
        negatives_BT = logits_BN[:, None].masked_fill(same_BTN, -torch.inf).logsumexp(-1)
    else:  # one sum serves all targets of a user
        negatives_BT = logits_BN.logsumexp(1, keepdim=True)
    return weighted_mean(softplus(negatives_BT - positive_BT), liked_targets(batch) * batch.target_weights_BT)


def pairwise_loss(logits_BT: Tensor, batch: PreferenceBatch) -> Tensor:
    """Of two items that a user rated differently, the better one should score higher, weighted by the difference."""
    valid_BT = batch.target_valid_BT
    rating_BT = torch.where(valid_BT, batch.target_rating_BT, 0)
    better_BTT = (rating_BT[:, :, None] - rating_BT[:, None, :]).clamp(min=0)
    weight_BT = batch.target_weights_BT
    weights_BTT = better_BTT * (weight_BT[:, :, None] * weight_BT[:, None, :])
    return weighted_mean(softplus(logits_BT[:, None, :] - logits_BT[:, :, None]), weights_BTT)
