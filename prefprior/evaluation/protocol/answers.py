"""What a predictor answered under one condition, and the metrics that are functions of it alone.

To add a metric: a function of `Answers` in one of the lists below, and its words in `report/labels.py`.

Shapes: B users, n samples, D dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.metrics.generation import diversity_and_novelty, sample_recall, similarity
from prefprior.evaluation.metrics.ranking import ranking
from prefprior.evaluation.metrics.rating import rating
from prefprior.evaluation.metrics.scoring import SampledCandidates, Scored
from prefprior.evaluation.metrics.utility import true_utility
from prefprior.evaluation.protocol.decoding import Decoded
from prefprior.world.source import truth_known


@dataclass(frozen=True, eq=False)
class Answers:
    """Scores for all users with a history of this length, samples for the first few of them."""

    people: HeldOutUsers
    scored: Scored
    few: HeldOutUsers
    samples_BnD: Tensor
    source: Any  # of the data: only a world knows true utilities
    ks: tuple[int, ...]  # lengths of recommended lists
    candidates: SampledCandidates | None

    def of_pictures(self, decoded: Decoded) -> "Answers":
        """The same, with the embeddings of decoded pictures for samples, and of users those who have pictures."""
        shown = self.few.take(torch.arange(len(decoded.pictures)))
        return replace(self, few=shown, samples_BnD=decoded.embeddings_BnD)


Metric = Callable[[Answers], dict[str, Tensor]]

# By user, of all that was ranked.
OF_SCORES: tuple[Metric, ...] = (
    lambda a: ranking(a.scored.rank_BT, a.people.held_liked_BT, a.ks),
    lambda a: rating(
        a.scored.score_BT,
        a.people.held_rating_BT,
        a.people.held_rated_BT,
        a.people.held_liked_BT,
        a.people.held_disliked_BT,
    ),
)

# By user, of samples or of decoded pictures.
OF_SAMPLES: tuple[Metric, ...] = (
    lambda a: similarity(a.samples_BnD, a.few),
    lambda a: diversity_and_novelty(a.samples_BnD, a.few),
    lambda a: sample_recall(a.samples_BnD, a.few, a.ks, a.candidates),
    lambda a: (
        true_utility(a.source, a.few.users, a.samples_BnD) if truth_known(a.source, a.few.catalogue.space) else {}
    ),
)


def measured(metrics: tuple[Metric, ...], answers: Answers) -> dict[str, Tensor]:
    """All figures of a list of metrics, (B,) each."""
    return {name: value_B for metric in metrics for name, value_B in metric(answers).items()}
