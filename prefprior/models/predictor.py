"""The trained prior as a predictor: samples embeddings, ranks a catalogue of any size.

Shapes: B users, n samples, N catalogue, D dimension.
"""

from typing import Any

import torch
from torch import Tensor

from prefprior.data.batch import History
from prefprior.evaluation.predictor import Catalogue, TrainingPart
from prefprior.models.guidance import Guidance, guided
from prefprior.models.objectives.base import Objective
from prefprior.models.prior import EncodedHistory, Prior
from prefprior.models.samplers import SAMPLERS
from prefprior.models.sampling import Sampling
from prefprior.space import Space

CHUNK = 16384  # pictures scored at once: with 512 users that is 32 MB of scores


class PriorPredictor:
    """A prior, its objective and its way of sampling, ready for use; made by `prefprior.checkpoint.load`."""

    name = "prior"

    def __init__(
        self, *, prior: Prior, objective: Objective, sampling: Sampling, facts: dict[str, Any] | None = None
    ) -> None:
        self.prior = prior.eval()
        self.objective = objective
        self.sampling = sampling
        self.facts = facts or {}

    @property
    def space(self) -> Space:
        """The space it was trained in."""
        return self.prior.space

    @property
    def config(self) -> dict[str, Any]:
        """The nodes that build it again."""
        return {
            "prior": self.prior.config,
            "objective": self.objective.config,
            "sampling": self.sampling.config,
        }

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.prior.parameters()).device

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Nothing: it is trained already."""

    @torch.no_grad()
    def sample(
        self,
        history: History,
        n: int,
        generator: torch.Generator,
        *,
        rating: float = 1.0,
        steps: int | None = None,
        guidance: Guidance | None = None,
    ) -> Tensor:
        """(B, n, D) raw embeddings of pictures each person would give that rating (1 loved, -1 hated).

        Draws come from the generator in the order of users, so the same call gives the same embeddings to the bit.
        """
        history = history.to(self.device)
        encoded, null = self.prior.encode_history(history), self.prior.null_history(history)
        denoise = guided(
            self.prior, self.objective, guidance or self.sampling.guidance, encoded, null,
            torch.full((len(history),), rating, device=self.device),
        )  # fmt: skip
        noise_BSD = torch.randn((len(history), n, self.space.dim), generator=generator, device=generator.device)
        method, steps = self.sampling.method, steps or self.sampling.steps
        if self.objective.one_step:
            method, steps = "one_step", 1
        scaled_BSD = SAMPLERS[method](denoise, self.objective.path, noise_BSD.to(self.device), steps)
        raw_BSD = self.prior.scale.from_model(scaled_BSD)
        return self.space.onto_shell(raw_BSD) if self.sampling.on_shell else raw_BSD

    def negatives(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D) raw embeddings of pictures each person would hate: what decoders take as the negative."""
        return self.sample(history, n, generator, rating=-1.0)

    @torch.no_grad()
    def rank(self, history: History, catalogue: Catalogue) -> Tensor:
        """(B, N) scores: personal fit plus general appeal."""
        self.space.require_same(catalogue.space, "the prior", "the catalogue")
        encoded = self.prior.encode_history(history.to(self.device))
        return torch.cat(list(self._scores(encoded, catalogue)), dim=1)

    @torch.no_grad()
    def top(self, history: History, catalogue: Catalogue, k: int, *, seen: bool = False) -> tuple[Tensor, Tensor]:
        """The k best pictures of a catalogue for each person: rows (B, k) and scores (B, k).

        Memory is bounded by a chunk of the catalogue, whatever its size. Pictures of the history are left out unless
        `seen`; where fewer than k are left, their scores are -inf.
        """
        self.space.require_same(catalogue.space, "the prior", "the catalogue")
        history = history.to(self.device)
        encoded = self.prior.encode_history(history)
        k = min(k, len(catalogue))
        best = torch.full((len(history), k), -torch.inf, device=self.device)
        rows = torch.zeros((len(history), k), dtype=torch.long, device=self.device)
        start = 0
        for scores in self._scores(encoded, catalogue):
            number = torch.arange(start, start + scores.shape[1], device=self.device)
            if not seen:
                _hide(scores, history, start)
            both = torch.cat([best, scores], dim=1)
            best, index = both.topk(k, dim=1)
            rows = torch.cat([rows, number.expand(len(history), -1)], dim=1).gather(1, index)
            start += scores.shape[1]
        return rows, best

    def _scores(self, encoded: EncodedHistory, catalogue: Catalogue) -> Any:
        for start in range(0, len(catalogue), CHUNK):
            raw_ND = catalogue.embeddings_ND[start : start + CHUNK].to(self.device, torch.float32)
            yield self.prior.fit(encoded, self.prior.item_directions(raw_ND)) + self.prior.appeal(raw_ND)


def _hide(scores_BN: Tensor, history: History, start: int) -> None:
    """Sets the scores of a chunk's pictures that are in the history to -inf, in place."""
    column_BK = history.items_BK - start
    inside_BK = history.valid_BK & (column_BK >= 0) & (column_BK < scores_BN.shape[1])
    user, place = inside_BK.nonzero(as_tuple=True)
    scores_BN[user, column_BK[user, place]] = -torch.inf
