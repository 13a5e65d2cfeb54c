"""What every policy is given, and what it returns.

Shapes: P tastes, N candidates, F some of them, M items shown, D dimension.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.belief import Belief
from prefprior.elicitation.posterior import Posterior
from prefprior.elicitation.questions import MOST_SHOWN, Kind
from prefprior.nodes import Loadable

FIRST = 32  # of the highest score, among which one that can be shown is nearly always found


@dataclass(frozen=True, eq=False)
class Situation:
    """What is believed, and what can be asked now."""

    weight_P: Tensor
    utility_PN: Tensor
    direction_ND: Tensor  # of the candidates, standardised: how alike two pictures are
    open_N: Tensor  # bool: neither shown before nor out of reach
    model: AnswerModel
    kind: Kind
    most_alike: float  # no two pictures of a question are nearer than this cosine
    favourite_PK: Tensor | None = None  # some of what each taste likes best of all candidates, the best first
    posterior: Posterior | None = None  # the belief itself, for a policy that brings its own

    @cached_property
    def expected_N(self) -> Tensor:
        """Expected utilities; -inf for what cannot be asked."""
        return torch.where(self.open_N, self.weight_P @ self.utility_PN, -torch.inf)

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """Rows of tastes, by weight."""
        return torch.multinomial(self.weight_P, count, replacement=True, generator=generator)

    def without_alike(self, score_N: Tensor, shown: list[int]) -> Tensor:
        """Scores with -inf for what cannot be shown beside these pictures."""
        if not shown:
            return torch.where(self.open_N, score_N, -torch.inf)
        allowed_N = self.open_N & ~self.alike(torch.arange(len(score_N)), torch.tensor(shown)).any(1)
        if not allowed_N.any():  # where all are alike, only the same picture twice is out of the question
            allowed_N = self.open_N.clone()
            allowed_N[shown] = False
        return torch.where(allowed_N, score_N, -torch.inf)

    def alike(self, item_F: Tensor, shown_M: Tensor) -> Tensor:
        """(F, M) which of some items are shown already or too near to what is."""
        cosine_FM = self.direction_ND[item_F] @ self.direction_ND[shown_M].T
        return (cosine_FM >= self.most_alike) | (item_F[:, None] == shown_M)

    def best(self, score_N: Tensor, shown: list[int]) -> int:
        """The candidate of the highest score that can be shown beside these."""
        first = torch.where(self.open_N, score_N, -torch.inf).topk(min(FIRST, len(score_N)))
        fits_F = ~self.alike(first.indices, torch.tensor(shown, dtype=torch.long)).any(1) & (first.values > -torch.inf)
        if fits_F.any():
            return int(first.indices[fits_F.nonzero()[0, 0]])
        return int(self.without_alike(score_N, shown).argmax())

    def distinct(self, pair_S2: Tensor) -> Tensor:
        """Those of some pairs that can be shown together."""
        cosine_S = (self.direction_ND[pair_S2[:, 0]] * self.direction_ND[pair_S2[:, 1]]).sum(1)
        return pair_S2[(pair_S2[:, 0] != pair_S2[:, 1]) & (cosine_S < self.most_alike)]

    def filled(self, shown: list[int], generator: torch.Generator) -> list[int]:
        """A question that has begun, completed at random."""
        shown = list(shown)
        while len(shown) < self.kind.shown:
            shown.append(self.best(torch.rand(len(self.open_N), generator=generator), shown))
        return shown


class Policy(Loadable, ABC):
    """Chooses the items of the next question."""

    fewest, most = 1, MOST_SHOWN  # items of a question that it can choose
    along: tuple[str, ...] = ()  # axes along which its candidates are made; none: real pictures

    def begin(self, belief: Belief) -> Posterior:
        """What is believed before the first answer; a policy may bring a belief of its own."""
        return belief

    @abstractmethod
    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """`kind.shown` candidates."""

    def choose_all(self, situations: Sequence[Situation], generators: Sequence[torch.Generator]) -> list[list[int]]:
        """For several people, whose answers are read by one model: what `choose` gives each, to numerical precision."""
        return [self.choose(each, draws) for each, draws in zip(situations, generators, strict=True)]

    def require(self, kind: Kind) -> None:
        """Refuses kinds of questions that the policy is not for."""
        if not self.fewest <= kind.shown <= self.most:
            allowed = str(self.fewest) if self.fewest == self.most else f"{self.fewest} to {self.most}"
            plural = "" if self.most == 1 else "s"
            raise ValueError(
                f"the policy {type(self).__name__} is for questions of {allowed} picture{plural}, not of {kind.shown}"
            )
