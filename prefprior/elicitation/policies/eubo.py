"""The expected utility of the best option (qEUBO: Astudillo et al. 2023, arXiv:2303.15746), over sampled tastes.

Shapes: P tastes, N candidates.
"""

import torch

from prefprior.elicitation.policies.policy import Policy, Situation


class Eubo(Policy):
    """Pictures chosen one after the other, so that the favourite among them is expected to please most."""

    fewest = 2  # of one picture, it is Roam

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """Greedy: the expectation is submodular, so this is within 1 - 1/e of the best (Nemhauser et al. 1978)."""
        utility_PN, shown = situation.utility_PN, list[int]()
        best_P1 = utility_PN.amin(1, keepdim=True)
        while len(shown) < situation.kind.shown:
            item = situation.best(situation.weight_P @ torch.maximum(utility_PN, best_P1), shown)
            best_P1 = torch.maximum(best_P1, utility_PN[:, item : item + 1])
            shown.append(item)
        return shown
