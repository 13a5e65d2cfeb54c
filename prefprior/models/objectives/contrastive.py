"""The loss of the scores that `rank` uses: who likes which of many pictures, and which of their own they like better.

Shapes: B users, T targets per user, N candidates (all targets of the batch, then M sampled from the catalogue),
D dimension, Q score dimension.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from prefprior.data.batch import PreferenceBatch
from prefprior.models.backbone import Backbone
from prefprior.models.configured import Recorded
from prefprior.models.encoded import EncodedHistory
from prefprior.models.objectives.base import mean_over


class Contrastive(Recorded):
    """Softmax over the batch's targets and sampled pictures, and pairs of one person's own ratings.

    General appeal gets the same two losses by itself, as if everybody were the same person. Personal fit is trained
    on top of it while appeal is held fixed: it learns what appeal cannot explain.
    """

    def __init__(
        self,
        *,
        softmax_weight: float = 0.1,
        pairs_weight: float = 0.1,
        negatives: int = 0,
        popularity_corrected: bool = True,
        closeness_weight: float = 0.0,
        closeness_sharpness: float = 100.0,
    ) -> None:
        """`closeness_weight` is that of the same softmax where pictures score by their cosine to the prior's own
        answer, times `closeness_sharpness` (100 is CLIP's bound): so that the answer itself finds what a person likes,
        at the price of no longer being the mean of it. Only an objective of one step has an answer to train."""
        if min(softmax_weight, pairs_weight, negatives, closeness_weight) < 0:
            raise ValueError("softmax_weight, pairs_weight, negatives and closeness_weight cannot be below 0")
        if not closeness_sharpness > 0:
            raise ValueError(f"closeness_sharpness must be above 0, got {closeness_sharpness}")
        self.softmax_weight = softmax_weight
        self.pairs_weight = pairs_weight
        self.negatives = negatives
        self.popularity_corrected = popularity_corrected
        self.closeness_weight = closeness_weight
        self.closeness_sharpness = closeness_sharpness
        self._embeddings_ND: Tensor | None = None
        self._shares_N: Tensor | None = None

    @property
    def trains_scores(self) -> bool:
        """Whether the read-outs of `rank` learn anything."""
        return self.softmax_weight > 0 or self.pairs_weight > 0

    def use_catalogue(self, embeddings_ND: Tensor, target_counts_N: Tensor) -> None:
        """Where sampled negatives come from, and how often each picture is a training target."""
        self._embeddings_ND = embeddings_ND
        counts = target_counts_N.double()
        self._shares_N = (counts / counts.sum().clamp(min=1)).float()

    def terms(
        self,
        prior: Backbone,
        encoded: EncodedHistory,
        batch: PreferenceBatch,
        generator: torch.Generator,
        answer_BD: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Weighted loss terms by name; `answer_BD` are the raw embeddings that the prior answers with."""
        if prior.scores is None:
            raise ValueError(f"{type(prior).__name__} has no read-out for rank to train: set objective.rank=null")
        raw_ND, items_N = self._candidates(batch, generator)
        terms = self._score_terms(prior, encoded, raw_ND, items_N, batch) if self.trains_scores else {}
        if self.closeness_weight:
            if answer_BD is None:
                raise ValueError(
                    f"closeness_weight={self.closeness_weight} trains an answer in one step, and this objective gives "
                    "none: choose objective=regression, or set closeness_weight=0."
                )
            closeness_BN = normalize(answer_BD.float(), dim=-1) @ normalize(raw_ND.float(), dim=-1).T
            loss = self._softmax(self.closeness_sharpness * closeness_BN, items_N, batch)
            terms["closeness"] = self.closeness_weight * loss
        return terms

    def _score_terms(
        self, prior: Backbone, encoded: EncodedHistory, raw_ND: Tensor, items_N: Tensor, batch: PreferenceBatch
    ) -> dict[str, Tensor]:
        assert prior.scores is not None
        directions_NQ, appeal_N = prior.scores.item_directions(raw_ND), prior.scores.appeal(raw_ND)
        fit_BN = prior.scores.fit(encoded, directions_NQ)
        users, targets = batch.target_rating_BT.shape
        everybody_BN = appeal_N.expand(users, -1)
        terms = {}
        for name, scores_BN in (("fit", fit_BN + appeal_N.detach()), ("appeal", everybody_BN)):
            if self.softmax_weight:
                terms[f"{name}_softmax"] = self.softmax_weight * self._softmax(scores_BN, items_N, batch)
            if self.pairs_weight:
                own = torch.arange(users * targets, device=scores_BN.device).view(users, targets)
                terms[f"{name}_pairs"] = self.pairs_weight * _pairs(scores_BN.gather(1, own), batch)
        return terms

    def _candidates(self, batch: PreferenceBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        valid_N = batch.target_valid_BT.flatten()
        raw_ND = torch.where(valid_N[:, None], batch.target_BTD.flatten(0, 1), 0)
        items_N = torch.where(valid_N, batch.target_item_BT.flatten(), -1)
        if self.negatives:
            if self._embeddings_ND is None:
                raise ValueError(
                    f"negatives={self.negatives} are to be sampled from the catalogue, but none was given. "
                    "Call use_catalogue first, or set negatives=0."
                )
            rows_M = torch.randint(
                len(self._embeddings_ND), (self.negatives,), generator=generator, device=generator.device
            ).cpu()
            sampled_MD = self._embeddings_ND[rows_M].to(raw_ND)
            raw_ND, items_N = torch.cat([raw_ND, sampled_MD]), torch.cat([items_N, rows_M.to(items_N)])
        return raw_ND, items_N

    def _softmax(self, scores_BN: Tensor, items_N: Tensor, batch: PreferenceBatch) -> Tensor:
        users, targets = batch.target_rating_BT.shape
        inside = users * targets
        device = scores_BN.device
        logits_BN = scores_BN - self._log_expected_count(items_N, inside, len(items_N) - inside)
        number_N = torch.arange(len(items_N), device=device)
        exists_N = (number_N >= inside) | torch.nn.functional.pad(
            batch.target_valid_BT.flatten(), (0, len(items_N) - inside), value=True
        )
        liked_BT = batch.target_valid_BT & (batch.target_rating_BT > 0)
        own_BT = number_N[:inside].view(users, targets)
        # A person's other likes are no negatives of theirs; what they dislike is, and a hard one.
        is_own_like_BN = torch.zeros_like(logits_BN, dtype=torch.bool).scatter(1, own_BT, liked_BT)
        logits_BN = logits_BN.masked_fill(is_own_like_BN | ~exists_N, -torch.inf)
        positive_BT = (scores_BN - self._log_expected_count(items_N, inside, len(items_N) - inside)).gather(1, own_BT)
        # The same picture, liked by somebody else or sampled, is no negative either.
        positive_items_BT = items_N[:inside].view(users, targets)
        same_BTN = (positive_items_BT[..., None] == items_N) & (positive_items_BT[..., None] >= 0)
        rest_BT = logits_BN[:, None].masked_fill(same_BTN, -torch.inf).logsumexp(-1)
        return mean_over(softplus(rest_BT - positive_BT), liked_BT.to(scores_BN.dtype))

    def _log_expected_count(self, items_N: Tensor, inside: int, sampled: int) -> Tensor | float:
        """How many times each candidate is expected among the candidates: the log-q correction (Yi et al. 2019,
        "Sampling-bias-corrected neural modeling", eq. 3), here of two sampled sources at once.
        """
        if not self.popularity_corrected or self._shares_N is None:
            return 0.0
        share_N = self._shares_N.to(items_N.device)[items_N.clamp(min=0)]
        expected_N = inside * share_N + sampled / len(self._shares_N)
        # A picture that is in the batch was expected to be: unknown (-1) and unseen ones count as the rarest possible.
        expected_N = torch.where(items_N >= 0, expected_N, 0).clamp(min=inside / len(self._shares_N) * 1e-2)
        return expected_N.log()


def _pairs(scores_BT: Tensor, batch: PreferenceBatch) -> Tensor:
    """Of two pictures a person rated apart, the better one should score higher; the wider apart, the more it counts."""
    valid_BT = batch.target_valid_BT
    rating_BT = torch.where(valid_BT, batch.target_rating_BT, 0)
    better_BTT = (rating_BT[:, :, None] - rating_BT[:, None, :]).clamp(min=0)
    weights_BTT = better_BTT * (valid_BT[:, :, None] & valid_BT[:, None, :])
    return mean_over(softplus(scores_BT[:, None, :] - scores_BT[:, :, None]), weights_BTT)
