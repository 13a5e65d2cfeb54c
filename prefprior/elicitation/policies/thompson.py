"""Thompson sampling: each slot of a question holds the best picture of another sampled taste."""

import torch

from prefprior.elicitation.policies.policy import Policy, Situation


class Thompson(Policy):
    """One draw of a taste for each slot."""

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """The favourites of tastes drawn by weight."""
        shown: list[int] = []
        for row in situation.drawn(situation.kind.shown, generator).tolist():
            shown.append(situation.best(situation.utility_PN[row], shown))
        return shown
