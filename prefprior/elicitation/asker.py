"""Asks: a policy within the limits that people set, and the answers taken into a belief.

Shapes: N candidates for questions, D dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefprior.elicitation.belief import Belief
from prefprior.elicitation.policies.policy import Policy, Situation
from prefprior.elicitation.posterior import Posterior
from prefprior.elicitation.questions import Answer, Kind, Question
from prefprior.errors import require_between


@dataclass(frozen=True, eq=False)
class Inquiry:
    """Somebody who waits for a question: what is believed of them, and what their question is drawn with."""

    belief: Posterior
    direction_ND: Tensor
    generator: torch.Generator
    closed: Sequence[int] | Tensor = ()


class Asker:
    """One way to ask: a policy and a kind of question."""

    def __init__(self, *, policy: Policy, kind: Kind, most_alike: float = 0.95, pleasant: float = 0.0) -> None:
        """No two pictures of a question have a standardised cosine of `most_alike` or more: between two that are nearly
        the same, people choose by chance. `pleasant` is the share of the slots of a grid that hold the
        pictures expected to please most: people tire of pictures they dislike."""
        require_between("asker.most_alike", most_alike, -1, 1.01)
        require_between("asker.pleasant", pleasant, 0, 1)
        policy.require(kind)
        self.policy, self.kind, self.most_alike, self.pleasant = policy, kind, most_alike, pleasant

    def ask(
        self,
        belief: Posterior,
        direction_ND: Tensor,
        generator: torch.Generator,
        *,
        closed: Sequence[int] | Tensor = (),
        include: int | None = None,
    ) -> Question | None:
        """The next question; None where too few candidates are left that were not shown.

        What is `closed` is not shown, except for one that is to be `include`d.
        """
        situation = self._situation(belief, direction_ND, closed)
        if situation is None:
            return None
        return self._question(situation, self.policy.choose(situation, generator), generator, include)

    def ask_all(self, inquiries: Sequence[Inquiry]) -> list[Question | None]:
        """The next questions of several people, whose answers are read by one model: what `ask` gives each, to
        numerical precision."""
        situations = [self._situation(each.belief, each.direction_ND, each.closed) for each in inquiries]
        able = [(i, each) for i, each in enumerate(situations) if each is not None]
        found: list[Question | None] = [None] * len(inquiries)
        if able:
            chosen = self.policy.choose_all([each for _, each in able], [inquiries[i].generator for i, _ in able])
            for (i, situation), shown in zip(able, chosen, strict=True):
                found[i] = self._question(situation, shown, inquiries[i].generator, None)
        return found

    def tell(self, belief: Posterior, answer: Answer, generator: torch.Generator) -> None:
        """Takes an answer into account, and looks again where that is due."""
        belief.observe(answer)
        if belief.is_thin:
            belief.look(generator)

    def _situation(self, belief: Posterior, direction_ND: Tensor, closed: Sequence[int] | Tensor) -> Situation | None:
        open_N = torch.ones(len(direction_ND), dtype=torch.bool)
        open_N[belief.shown] = False
        open_N[torch.as_tensor(closed, dtype=torch.long)] = False
        if int(open_N.sum()) < self.kind.shown:
            return None
        return Situation(
            belief.weight_P, belief.utility_PN, direction_ND, open_N, belief.model, self.kind, self.most_alike,
            belief.favourite_PK if isinstance(belief, Belief) else None, belief,
        )  # fmt: skip

    def _question(
        self, situation: Situation, shown: list[int], generator: torch.Generator, include: int | None
    ) -> Question:
        pleasing = int(self.pleasant * self.kind.shown)
        if pleasing and self.kind.shown > 1:
            kept = shown[: self.kind.shown - pleasing]
            while len(kept) < self.kind.shown:
                kept.append(situation.best(situation.expected_N, kept))
            shown = kept
        if include is not None:
            shown[-1] = include
        # Where a picture stands must say nothing about it: people prefer some places.
        order = torch.randperm(len(shown), generator=generator).tolist()
        return Question(self.kind, tuple(shown[i] for i in order))
