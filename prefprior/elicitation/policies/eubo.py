"""The expected utility of the best option (qEUBO: Astudillo et al. 2023, arXiv:2303.15746), over sampled tastes.

Shapes: P tastes, N candidates.
"""

import torch
from torch import Tensor

from prefprior.elicitation.policies.policy import Policy, Situation

AT_ONCE = 256  # tastes whose utilities are compared together: they stay in a core's cache


class Eubo(Policy):
    """Pictures chosen one after the other, so that the favourite among them is expected to please most."""

    fewest = 2  # of one picture, it is Roam

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """Greedy: the expectation is submodular, so this is within 1 - 1/e of the best (Nemhauser et al. 1978)."""
        shown = [situation.best(situation.expected_N, [])]
        best_P1 = situation.utility_PN[:, shown]
        while len(shown) < situation.kind.shown:
            item = situation.best(_expected_best(situation, best_P1), shown)
            best_P1 = torch.maximum(best_P1, situation.utility_PN[:, item : item + 1])
            shown.append(item)
        return shown


def _expected_best(situation: Situation, best_P1: Tensor) -> Tensor:
    """(N,) the expected utility of the best so far and each candidate."""
    expected_N = torch.zeros(situation.utility_PN.shape[1])
    parts = (each.split(AT_ONCE) for each in (situation.weight_P, situation.utility_PN, best_P1))
    for weight_p, utility_pN, best_p1 in zip(*parts, strict=True):
        expected_N += weight_p @ torch.maximum(utility_pN, best_p1)
    return expected_N
