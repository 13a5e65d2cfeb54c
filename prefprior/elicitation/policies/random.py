"""Questions at random: what every other policy must be better than."""

import torch

from prefprior.elicitation.policies.policy import Policy, Situation


class Random(Policy):
    """Pictures drawn at random."""

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """Any that can be shown."""
        return situation.filled([], generator)
