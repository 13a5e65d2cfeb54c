"""The retriever's interface: scores items for a user, beside the generator.

A user is described by *user tokens*: those of a user tower of the retriever's own, or the read-outs of the generator's
history encoder where it shares that.

Shapes: B users, I user tokens, N items, W token width, D dimension.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prefprior.history import History, PreferenceBatch
from prefprior.models.preparation import TrainingData
from prefprior.models.recorded import Recorded
from prefprior.models.retriever.losses import ContrastiveLoss
from prefprior.models.retriever.negatives import Candidates

CatalogueParts = Callable[[], Iterator[tuple[int, Tensor]]]
Blended = Callable[[Tensor, Tensor], Tensor]  # scores of users and items (B, N) and the items (N, D) -> other scores


@dataclass
class RetrieverOutput:
    """What one training step made of a batch."""

    terms: dict[str, Tensor]  # weighted losses by name
    candidates: Candidates
    score_BN: Tensor  # detached: what a generator may be distilled from


class Retriever(Recorded, nn.Module):
    """User tower, item tower, popularity bias and their loss; wrappers keep the same interface."""

    loss: ContrastiveLoss
    shares_encoder: bool  # reads the generator's read-outs: it has no user tower of its own
    conditions_generator: bool = False  # its user tokens also condition the generator

    def prepare(self, data: TrainingData) -> None:
        """Learns what it must know of the training part, once, before training."""
        self.loss.prepare(data)

    @abstractmethod
    def user_tokens(self, history: History) -> Tensor | None:
        """(B, I, W) of a user tower of its own; None where it shares the generator's encoder."""

    @abstractmethod
    def require_readouts(self, count: int) -> None:
        """Raises unless a shared encoder has a number of read-outs that suits it."""

    @abstractmethod
    def score(self, tokens_BIW: Tensor, raw: Tensor) -> Tensor:
        """(B, N) how well items suit each user: of one catalogue (N, D) or of their own (B, N, D)."""

    @abstractmethod
    def losses(
        self, tokens_BIW: Tensor, candidates: Candidates, batch: PreferenceBatch
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Weighted loss terms by name, and the score of every candidate (B, N), detached."""

    def training_step(self, tokens_BIW: Tensor, batch: PreferenceBatch, generator: torch.Generator) -> RetrieverOutput:
        """Samples candidates and takes the loss."""
        candidates = self.loss.negatives.candidates(batch, generator)
        terms, score_BN = self.losses(tokens_BIW, candidates, batch)
        return RetrieverOutput(terms, candidates, score_BN)

    def rank(
        self, tokens_BIW: Tensor, history: History, parts: CatalogueParts, blended: Blended | None = None
    ) -> Iterator[Tensor]:
        """Scores of a catalogue, part by part; `parts()` yields (first row, embeddings), as often as it is called.

        `blended` adds what another component says of the same items.
        """
        for _, raw_ND in parts():
            yield self.blended_score(tokens_BIW, raw_ND, blended)

    def blended_score(self, tokens_BIW: Tensor, raw_ND: Tensor, blended: Blended | None) -> Tensor:
        """(B, N) scores of a catalogue's items."""
        score_BN = self.score(tokens_BIW, raw_ND)
        return score_BN if blended is None else blended(score_BN, raw_ND)
