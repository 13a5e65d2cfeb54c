"""An ensemble: the mean score of several retrievers that differ in their initial weights alone.

Where there is little to learn from, much of what one training finds is chance, and the mean has less variance
(Lakshminarayanan et al. 2017, arXiv:1612.01474).

Shapes: B users, N items, I user tokens, W token width, D dimension.
"""

import torch
from torch import Tensor, nn

from prefprior.errors import require_between
from prefprior.history import History, PreferenceBatch
from prefprior.models.retriever.negatives import Candidates
from prefprior.models.retriever.retriever import Retriever


class Ensemble(Retriever):
    """`n` retrievers of one kind, each trained as if it were alone. They share the batch's negatives."""

    members: list[Retriever]  # a ModuleList

    def __init__(self, *, retriever: Retriever, n: int = 4) -> None:
        require_between("the n of an ensemble", n, 1, 1024)
        super().__init__()
        self.members = nn.ModuleList(  # type: ignore[assignment]
            [retriever, *(retriever.another() for _ in range(n - 1))]
        )
        self.loss = retriever.loss
        self.shares_encoder = retriever.shares_encoder
        self.conditions_generator = retriever.conditions_generator

    def require_readouts(self, count: int) -> None:
        """A shared encoder has as many read-outs for each member."""
        self.members[0].require_readouts(1 + (count - 1) // len(self.members))
        if self.shares_encoder and (count - 1) % len(self.members):
            raise ValueError(
                f"{count - 1} read-outs cannot be divided evenly among {len(self.members)} retrievers. Give "
                f"prior.readouts={1 + len(self.members) * -(-(count - 1) // len(self.members))}."
            )

    def user_tokens(self, history: History) -> Tensor | None:
        """(B, I, W) tokens of all members, one after the other."""
        if self.shares_encoder:
            return None
        return torch.cat([self._own_tokens(member, history) for member in self.members], dim=1)

    def score(self, tokens_BIW: Tensor, raw: Tensor) -> Tensor:
        """(B, N) the members' mean score."""
        scores = [member.score(own_BIW, raw) for member, own_BIW in zip(self.members, self._split(tokens_BIW))]
        return torch.stack(scores).mean(0)

    def losses(
        self, tokens_BIW: Tensor, candidates: Candidates, batch: PreferenceBatch
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The mean of the members' losses, and their mean score."""
        each = [
            member.losses(own_BIW, candidates, batch) for member, own_BIW in zip(self.members, self._split(tokens_BIW))
        ]
        terms = {name: torch.stack([found[name] for found, _ in each]).mean() for name in each[0][0]}
        return terms, torch.stack([score_BN for _, score_BN in each]).mean(0)

    def _split(self, tokens_BIW: Tensor) -> tuple[Tensor, ...]:
        return tokens_BIW.chunk(len(self.members), dim=1)

    @staticmethod
    def _own_tokens(member: Retriever, history: History) -> Tensor:
        tokens_BIW = member.user_tokens(history)
        assert tokens_BIW is not None, "all members are of one class"
        return tokens_BIW
