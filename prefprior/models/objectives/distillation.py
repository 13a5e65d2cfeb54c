"""Training the generator for retrieval: its own one-step answer learns to rank items by cosine.

A regression answer is the mean of what a user may like: close to many items, and the closest to few. These losses move
it towards what distinguishes a user's items, at the price of no longer being that mean.

Shapes: B users, N candidate items, D dimension.
"""

from abc import abstractmethod
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.history import PreferenceBatch
from prefprior.models.preparation import TrainingData
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.recorded import Recorded
from prefprior.models.reduction import weighted_mean
from prefprior.models.retriever.losses import softmax_loss
from prefprior.models.retriever.negatives import Candidates, Negatives
from prefprior.models.retriever.retriever import RetrieverOutput
from prefprior.models.scale import Standardize


class OneStepObjective(Protocol):
    """An objective whose answer can be trained for retrieval."""

    def mean_answer(self, prior: PriorNetwork, encoded: Any, generator: torch.Generator) -> Tensor:
        """(B, D) the mean direction of each user's answers, in model scale."""


class AnswerLoss(Recorded):
    """Logits of items are their cosine to the generator's answer in model scale, divided by a temperature."""

    needs_retriever = False

    def __init__(self, *, weight: float, temperature: float) -> None:
        if not weight > 0 or not temperature > 0:
            raise ValueError(f"weight and temperature must be above 0, got {weight} and {temperature}")
        self.weight = weight
        self.temperature = temperature
        self._cached: tuple[Standardize, Tensor, Tensor] | None = None  # scale, candidates, their directions

    def prepare(self, data: TrainingData) -> None:
        """Nothing to learn."""

    def loss(
        self, objective: OneStepObjective, prior: PriorNetwork, encoded: Any, batch: PreferenceBatch,
        retrieved: RetrieverOutput | None, generator: torch.Generator,
    ) -> dict[str, Tensor]:  # fmt: skip
        """The weighted loss term by name."""
        answer_BD = objective.mean_answer(prior, encoded, generator)
        candidates = self.candidates(batch, retrieved, generator)
        directions_ND = self._directions(prior.scale, candidates.raw_ND)
        with torch.autocast(answer_BD.device.type, enabled=False):  # half precision cannot rank similar items
            logits_BN = normalize(answer_BD.float(), dim=-1, eps=0.1) @ directions_ND.T / self.temperature
        return {"answer": self.weight * self.term(logits_BN, candidates, retrieved, batch)}

    @abstractmethod
    def candidates(
        self, batch: PreferenceBatch, retrieved: RetrieverOutput | None, generator: torch.Generator
    ) -> Candidates:
        """The items that logits are of."""

    @abstractmethod
    def term(
        self, logits_BN: Tensor, candidates: Candidates, retrieved: RetrieverOutput | None, batch: PreferenceBatch
    ) -> Tensor:
        """The loss of these logits."""

    def _directions(self, scale: Standardize, raw_ND: Tensor) -> Tensor:
        """Unit vectors in model scale, kept for the next batch where candidates are the whole catalogue."""
        if self._cached is None or self._cached[0] is not scale or self._cached[1] is not raw_ND:
            self._cached = scale, raw_ND, normalize(scale.to_model(raw_ND.float()), dim=-1)
        return self._cached[2]


class RankingDistillation(AnswerLoss):
    """Cross-entropy to the retriever's softmax: the answer ranks items as the retriever does.

    A `teacher_temperature` below 1 concentrates the teacher on the head of its list.
    """

    needs_retriever = True

    def __init__(self, *, weight: float = 1.0, temperature: float = 0.05, teacher_temperature: float = 1.0) -> None:
        if not teacher_temperature > 0:
            raise ValueError(f"distillation.teacher_temperature must be above 0, got {teacher_temperature}")
        super().__init__(weight=weight, temperature=temperature)
        self.teacher_temperature = teacher_temperature

    def candidates(
        self, batch: PreferenceBatch, retrieved: RetrieverOutput | None, generator: torch.Generator
    ) -> Candidates:
        """Those that the retriever was trained on in this batch."""
        assert retrieved is not None, "checked when the model was built"
        return retrieved.candidates

    def term(
        self, logits_BN: Tensor, candidates: Candidates, retrieved: RetrieverOutput | None, batch: PreferenceBatch
    ) -> Tensor:
        """Cross-entropy over all items but those of the history that the user likes."""
        assert retrieved is not None, "checked when the model was built"
        return distillation_loss(logits_BN, retrieved.score_BN / self.teacher_temperature, candidates, batch)


class AnswerContrast(AnswerLoss):
    """The retriever's own loss, for the answer: a softmax over each liked target and sampled negatives."""

    def __init__(self, *, weight: float = 1.0, temperature: float = 0.05, negatives: Negatives | None = None) -> None:
        super().__init__(weight=weight, temperature=temperature)
        self.negatives = negatives or Negatives()

    def prepare(self, data: TrainingData) -> None:
        """Learns which items were rated in training."""
        self.negatives.prepare(data)

    def candidates(
        self, batch: PreferenceBatch, retrieved: RetrieverOutput | None, generator: torch.Generator
    ) -> Candidates:
        """The batch's targets and sampled negatives."""
        return self.negatives.candidates(batch, generator)

    def term(
        self, logits_BN: Tensor, candidates: Candidates, retrieved: RetrieverOutput | None, batch: PreferenceBatch
    ) -> Tensor:
        """Softmax cross-entropy of liked targets."""
        return softmax_loss(logits_BN, candidates, batch)


def distillation_loss(logits_BN: Tensor, teacher_BN: Tensor, candidates: Candidates, batch: PreferenceBatch) -> Tensor:
    """Cross-entropy of one softmax to another's, over all candidates but what a user's history likes."""
    if candidates.log_q_N is not None:
        logits_BN, teacher_BN = logits_BN - candidates.log_q_N, teacher_BN - candidates.log_q_N
    seen_mask_BN = candidates.liked_in_history(batch) | ~candidates.exists_N
    # Finite, so that where nothing is left the gradient is finite too.
    least = torch.finfo(teacher_BN.dtype).min / 2
    target_BN = teacher_BN.masked_fill(seen_mask_BN, least).softmax(1)
    nll_BN = -logits_BN.masked_fill(seen_mask_BN, least).log_softmax(1).masked_fill(seen_mask_BN, 0)
    return weighted_mean((target_BN * nll_BN).sum(1), (~seen_mask_BN).any(1).float())
