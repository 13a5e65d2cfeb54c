"""What asking and judging need of a belief about one user, whatever it is made of.

Shapes: P tastes, N candidates for questions, n samples, D dimension.
"""

from typing import Protocol

import torch
from torch import Tensor

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.questions import Answer
from prefprior.space import Space


class Posterior(Protocol):
    """A belief about one user, which answers change."""

    answers: list[Answer]
    candidates_ND: Tensor  # raw embeddings of what questions can show
    model: AnswerModel

    @property
    def space(self) -> Space:
        """Of the embeddings."""

    @property
    def weight_P(self) -> Tensor:
        """Of tastes; they sum to 1."""

    @property
    def utility_PN(self) -> Tensor:
        """What each taste thinks of each candidate."""

    @property
    def shown(self) -> list[int]:
        """Candidates that were shown so far."""

    def observe(self, answer: Answer) -> None:
        """Takes an answer into account."""

    @property
    def is_thin(self) -> bool:
        """Whether it should `look`."""

    def look(self, generator: torch.Generator) -> None:
        """The part of the work that is too slow, or not needed, after each answer."""

    def expected(self, raw_ND: Tensor) -> Tensor:
        """(N,) expected utilities of any items."""

    def draws(self, count: int, generator: torch.Generator, *, guided: bool = True) -> Tensor:
        """(count, D) posterior samples of what the user would like; the generator's may be `guided`."""

    def made(self, n: int, generator: torch.Generator, *, candidates: int = 4, diversity: float = 1.0) -> Tensor:
        """(n, D) embeddings of the pictures to make."""
