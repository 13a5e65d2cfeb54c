"""What rating apps do: the pictures that are expected to please most are shown."""

import torch

from prefprior.elicitation.policies.policy import Policy, Situation


class Roam(Policy):
    """Pictures of the highest expected utility."""

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """The best first."""
        shown: list[int] = []
        while len(shown) < situation.kind.shown:
            shown.append(situation.best(situation.expected_N, shown))
        return shown
