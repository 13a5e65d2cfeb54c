"""Looks for further tastes: some questions leave out what is like the pictures that were picked before.

Who likes several kinds of picture picks the same kind again and again, as long as it is among those shown.
"""

import dataclasses

import torch

from prefprior.elicitation.policies.eubo import Eubo
from prefprior.elicitation.policies.policy import Policy, Situation
from prefprior.elicitation.questions import Kind
from prefprior.errors import require_between


class Explore(Policy):
    """Another policy's questions, every so often without what is already known to be liked."""

    fewest = 2

    def __init__(self, *, policy: Policy | None = None, every: int = 2, apart: float = 0.3) -> None:
        """Each question of a number that `every` divides is about pictures whose standardised cosine to all that were
        picked is below `apart`."""
        require_between("policy.every", every, 1, 1_000_000)
        require_between("policy.apart", apart, -1, 1)
        self.policy, self.every, self.apart = policy or Eubo(), every, apart

    def require(self, kind: Kind) -> None:
        """As the other policy."""
        super().require(kind)
        self.policy.require(kind)

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """Every so often, of fewer candidates."""
        if situation.picked and (situation.asked + 1) % self.every == 0:
            picked = list(situation.picked)
            near_N = (situation.direction_ND @ situation.direction_ND[picked].T >= self.apart).any(1)
            elsewhere_N = situation.open_N & ~near_N
            if int(elsewhere_N.sum()) >= situation.kind.shown:
                situation = dataclasses.replace(situation, open_N=elsewhere_N)
        return self.policy.choose(situation, generator)
