"""A share of what is shown is drawn at random, so that answers can be corrected for what a policy chose to ask.

A policy's own choice has no probability that could be divided by: most take the best. Here each place of its question
goes, with the probability `share`, to an item drawn evenly from those that it did not choose. Given the policy's
choice, whose seed is kept, the probability of being shown is then known for every item, and above 0: weights of
1 / propensity are unbiased (Horvitz & Thompson 1952, doi:10.1080/01621459.1952.10483446).

Shapes: N candidates for questions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prefprior.elicitation.questions import Question
from prefprior.errors import require_between


@dataclass(frozen=True)
class Exploration:
    """The share of the places of a question that chance fills."""

    share: float = 0.1

    def __post_init__(self) -> None:
        require_between("exploration.share", self.share, 1e-4, 0.9999)

    def needs(self, shown: int) -> int:
        """How many candidates must be open for a question: chance may replace all that a policy chose."""
        return 2 * shown

    def mixed(
        self, question: Question, open_N: Tensor, generator: torch.Generator
    ) -> tuple[Question, tuple[float, ...]]:
        """The question that is shown, and the propensity of each of its items. `open_N` are the candidates that could
        have been chosen."""
        chosen = list(question.items)
        others_N = open_N.clone()
        others_N[chosen] = False
        rest = others_N.nonzero()[:, 0]
        if len(rest) < len(chosen):
            raise ValueError(f"a question of {len(chosen)} needs {self.needs(len(chosen))} open candidates")
        by_chance = torch.rand(len(chosen), generator=generator) < self.share
        drawn = rest[torch.randperm(len(rest), generator=generator)[: len(chosen)]].tolist()
        items = [new if chance else old for old, new, chance in zip(chosen, drawn, by_chance.tolist(), strict=True)]
        fresh = self.share * len(chosen) / len(rest)  # expected number of places, spread over the rest
        propensities = tuple(1 - self.share if item in question.items else fresh for item in items)
        return Question(question.kind, tuple(items)), propensities
