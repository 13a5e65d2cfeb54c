"""Mean-cut maximum variance (MCMV: Canal et al., ICML 2019, arXiv:1905.04363), as PrefGen asks.

Shapes: P tastes, N candidates, S pairs.
"""

import torch

from prefprior.elicitation.policies.policy import Policy, Situation
from prefprior.errors import require_between


class Mcmv(Policy):
    """Of random pairs, the one whose difference in utility varies most over tastes, and is near 0 at their mean."""

    fewest = most = 2

    def __init__(self, *, pairs: int = 1000, balance: float = 1.0) -> None:
        """`balance` is the weight of the expected difference beside its standard deviation."""
        require_between("policy.pairs", pairs, 1, 10_000_000)
        require_between("policy.balance", balance, 0, 1e6)
        self.pairs, self.balance = pairs, balance

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """The best of the pairs."""
        open_rows = situation.open_N.nonzero()[:, 0]
        pair_S2 = open_rows[torch.randint(len(open_rows), (self.pairs, 2), generator=generator)]
        pair_S2 = situation.distinct(pair_S2)
        if not len(pair_S2):
            return situation.filled([], generator)
        first_PS, second_PS = (situation.utility_PN.index_select(1, item_S) for item_S in pair_S2.T)
        gap_PS = first_PS - second_PS
        mean_S = situation.weight_P @ gap_PS
        variance_S = situation.weight_P @ (gap_PS - mean_S).square()
        return pair_S2[int((variance_S.sqrt() - self.balance * mean_S.abs()).argmax())].tolist()
