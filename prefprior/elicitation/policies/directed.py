"""Information-directed sampling by variances (Russo & Van Roy, Operations Research 2018, arXiv:1403.5556).

To rate a picture costs regret: how much more the best picture would please. It buys information on which picture is the
best, at least in proportion to the variance of its utility over the answers to that. The picture of the least squared
regret per variance is shown. While nothing is known all pictures cost about the same, and the one that says most is
shown; when a taste is known, its best.

Shapes: P tastes, N candidates, G pictures that may be the best.
"""

import torch
from torch import Tensor

from prefprior.elicitation.policies.policy import Policy, Situation
from prefprior.errors import require_between

LEAST = 1e-6  # of regret and of variance: where tastes agree on everything, both are 0


class Directed(Policy):
    """The picture that says most about which is the best, for the utility that showing it costs."""

    fewest = most = 1

    def __init__(self, *, rivals: int = 64) -> None:
        """The favourites of `rivals` tastes, drawn by weight, are the pictures that may be the best."""
        require_between("policy.rivals", rivals, 2, 10_000)
        self.rivals = rivals

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """The least regret squared, in proportion to the variance."""
        best_P = torch.where(situation.open_N, situation.utility_PN, -torch.inf).amax(1)
        regret_N = situation.weight_P @ best_P - situation.weight_P @ situation.utility_PN
        drawn = situation.drawn(self.rivals, generator)
        rival_G = situation.utility_PN[drawn].argmax(1).unique()
        variance_N = _variance_of_means(situation, rival_G)
        return [situation.best(variance_N.clamp_min(LEAST).log() - 2 * regret_N.clamp_min(LEAST).log(), [])]


def _variance_of_means(situation: Situation, rival_G: Tensor) -> Tensor:
    """(N,) the variance, over which rival a taste likes best, of the expected utility of each picture."""
    preferred_P = situation.utility_PN.index_select(1, rival_G).argmax(1)
    weight_G = torch.zeros(len(rival_G)).index_add_(0, preferred_P, situation.weight_P)
    weighted_PN = situation.weight_P[:, None] * situation.utility_PN
    sum_GN = torch.zeros(len(rival_G), weighted_PN.shape[1]).index_add_(0, preferred_P, weighted_PN)
    mean_GN = sum_GN / weight_G[:, None].clamp_min(torch.finfo(weight_G.dtype).tiny)  # nobody may prefer a rival
    return weight_G @ (mean_GN - sum_GN.sum(0)).square()
