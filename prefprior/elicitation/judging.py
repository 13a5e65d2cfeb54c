"""How good is what a belief makes, or how it ranks: by the truth of a world, or by ratings that are never asked.

Shapes: N candidates, n samples, F items that are never asked, D dimension.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from scipy.stats import rankdata
from torch import Tensor

from prefprior.elicitation.posterior import Posterior
from prefprior.elicitation.uncertainty import Uncertainty
from prefprior.evaluation.metrics.ranking import ranking
from prefprior.evaluation.metrics.rating import rating
from prefprior.world.source import WorldSource


class Judge(Protocol):
    """Figures of a belief about one user, and the embeddings that were made for them, if any."""

    def judge(self, belief: Posterior, generator: torch.Generator) -> tuple[dict[str, float], Tensor | None]:
        """Higher is better, but for what `Uncertainty` says."""


@dataclass(frozen=True, eq=False)
class Truth:
    """A user of the world, whose utility of any picture is known."""

    source: WorldSource
    user: str
    n: int
    diversity: float
    candidates_ND: Tensor
    uncertainty: Uncertainty | None = None
    top: int = 20  # best candidates, of which a ranking finds some; 0 where candidates are made

    def judge(self, belief: Posterior, generator: torch.Generator) -> tuple[dict[str, float], Tensor | None]:
        """Utility of what is made, tastes covered, and how many of the best candidates rank among the first."""
        made_nD = belief.made(self.n, generator, diversity=self.diversity)
        utility_n = self.source.scaled_utility(self.user, made_nD)
        covered_K = self.source.modes_covered(self.user, made_nD)
        figures = {
            "utility": float(utility_n.mean()),
            "utility_best": float(utility_n.max()),
            "modes": float(covered_K.mean()) if len(covered_K) > 1 else float("nan"),
        }
        if self.top:
            figures[f"recall_{self.top}"] = self._recall(belief)
        if self.uncertainty is not None:
            figures |= self.uncertainty.figures(belief, generator)
        return figures, made_nD

    def _recall(self, belief: Posterior) -> float:
        true_N = torch.from_numpy(self.source.utility(self.user, self.candidates_ND))
        top = min(self.top, len(true_N))
        best, ranked = true_N.topk(top).indices, (belief.weight_P @ belief.utility_PN).topk(top).indices
        return float(torch.isin(best, ranked).double().mean())


@dataclass(frozen=True, eq=False)
class Ranking:
    """A user of a data set: how items that they are never asked about are ranked, those they rated or, of likes, those
    among random ones."""

    raw_FD: Tensor
    rating_F: Tensor
    liked_F: Tensor  # bool
    graded: bool

    def judge(self, belief: Posterior, generator: torch.Generator) -> tuple[dict[str, float], Tensor | None]:
        """Spearman of graded ratings; NDCG of the likes among the items."""
        score_1F = belief.expected(self.raw_FD)[None]
        figures = {"ndcg_20": _ndcg(score_1F[0], self.liked_F)}
        if self.graded:
            figures["spearman"] = _spearman(score_1F[0], self.rating_F)
        return figures, None


def _spearman(score_F: Tensor, rating_F: Tensor) -> float:
    valid_1F = torch.ones_like(score_F, dtype=torch.bool)[None]
    none_1F = torch.zeros_like(valid_1F)
    return float(rating(score_F[None], rating_F[None], valid_1F, none_1F, none_1F, ("spearman",))["spearman"][0])


def _ndcg(score_F: Tensor, liked_F: Tensor) -> float:
    if liked_F.all():
        return float("nan")
    rank_F = torch.from_numpy(rankdata(-score_F.numpy()))
    return float(ranking(rank_F[None], liked_F[None], (20,))["ndcg_20"][0])
