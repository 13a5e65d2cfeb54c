"""The trained prior as a predictor: samples embeddings, ranks a catalogue of any size.

Shapes: B users, n samples, N catalogue, D dimension.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.errors import require_choice
from prefprior.history import History
from prefprior.inference.selection import spread
from prefprior.models.diffusion.guidance import Guidance, guided
from prefprior.models.diffusion.sampler import Sampling
from prefprior.models.diffusion.solvers import SAMPLERS
from prefprior.models.objectives.objective import Objective
from prefprior.models.prior.network import Backbone
from prefprior.models.retriever.cold_start import KnownPictures, NewPictures, require_share
from prefprior.predictor import Catalogue, TrainingPart
from prefprior.space import Space

TEXT_CANDIDATES = 4  # at least so many for each sample, where a text is to choose among them
RANKING_SAMPLES = 16  # whose mean ranks, where samples do
DRAWS_AT_ONCE = 16384  # embeddings denoised together: more gains nothing and takes memory
SCORES_AT_ONCE = 2**20  # of users x pictures; each needs a number for every interest
PICTURES_AT_ONCE = 2**16  # of a catalogue, for however few people: each needs its embedding, and features of it


class PriorPredictor:
    """A prior, its objective and its way of sampling, ready for use; made by `prefprior.checkpoint.load`."""

    name = "prior"

    def __init__(
        self, *, prior: Backbone, objective: Objective, sampling: Sampling, facts: dict[str, Any] | None = None
    ) -> None:
        self.prior = prior.eval()
        self.objective = objective
        self.sampling = sampling
        self.facts = facts or {}
        self.scores_are_trained = scores_are_trained(prior, objective)
        self.rank_by = "scores" if self.scores_are_trained else "samples"
        self.new_share = sampling.new_share

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
    def new_share(self) -> float:
        """How likely a person's next picture is one that nobody rated in training, to `rank`.

        Its sampling's own at first; a change is for this object, and is not saved.
        """
        return self._new_share

    @new_share.setter
    def new_share(self, share: float) -> None:
        require_share(share)
        require_new_told(share, self.prior, self.objective)
        if share and self.rank_by == "samples":
            raise ValueError(f"new_share={share} is of what scores rank: with rank_by=samples, leave it out")
        self._new_share = share

    @property
    def rank_by(self) -> str:
        """What `rank` goes by: its `scores`, or closeness to its own `samples`.

        The scores, where they are trained; a change is for this object, and is not saved. By samples, new pictures are
        ranked as all others, whatever `new_share`.
        """
        return self._rank_by

    @rank_by.setter
    def rank_by(self, how: str) -> None:
        if require_choice("rank_by", how, ("scores", "samples")) == "scores" and not self.scores_are_trained:
            raise ValueError("rank_by=scores, but this prior's scores were never trained: leave it out")
        self._rank_by = how

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
        text_BD: Tensor | None = None,
        text_weight: float = 1.0,
    ) -> Tensor:
        """(B, n, D) raw embeddings of pictures each person would give that rating (1 loved, -1 hated).

        `text_BD`, raw embeddings of the same CLIP's text tower, say what to show. A prior that was trained with texts
        reads them, and `guidance.text` is what they count. Of any other, those candidates are preferred which are near
        to the text; `text_weight` is what that counts beside the person's own taste. All noise comes from the
        generator at once, so in how many parts it is worked off changes nothing.
        """
        if text_BD is not None and text_BD.shape != (len(history), self.space.dim):
            raise ValueError(
                f"text_BD is {tuple(text_BD.shape)}; it takes a row for each of {len(history)} people, of "
                f"{self.space.dim} dimensions (zeros for whoever has no text)"
            )
        chosen_by_text = text_BD is not None and not self.prior.text
        many = n * (max(self.sampling.candidates, TEXT_CANDIDATES) if chosen_by_text else self.sampling.candidates)
        shape = (len(history), many, self.space.dim)
        noise_BMD = torch.randn(shape, generator=generator, device=generator.device).to(self.device)
        made = []
        for rows in torch.arange(len(history)).split(max(1, DRAWS_AT_ONCE // many)):
            some = history.take(rows).to(self.device)
            encoded = self.prior.encode_history(some)
            said_BD = None if text_BD is None else text_BD[rows].to(noise_BMD)
            read_BD = None if chosen_by_text else said_BD
            raw_BMD = self._denoised(some, encoded, noise_BMD[rows], rating, steps, guidance, read_BD)
            if many > n:
                near = text_weight * closeness(raw_BMD, said_BD) if chosen_by_text and said_BD is not None else None
                raw_BMD = self._chosen(encoded, raw_BMD, n, rating, near)
            made.append(raw_BMD)
        return torch.cat(made)

    def negatives(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D) raw embeddings of pictures each person would hate: what decoders take as the negative."""
        return self.sample(history, n, generator, rating=-1.0)

    @torch.no_grad()
    def rank(self, history: History, catalogue: Catalogue) -> Tensor:
        """(B, N) scores: personal fit plus general appeal, new pictures among them by `new_share`; or, by `rank_by`,
        closeness to samples."""
        self.space.require_same(catalogue.space, "the prior", "the catalogue")
        history = history.to(self.device)
        return torch.cat(list(self._chunks(history, catalogue)), dim=1)

    @torch.no_grad()
    def top(self, history: History, catalogue: Catalogue, k: int, *, seen: bool = False) -> tuple[Tensor, Tensor]:
        """The k best pictures of a catalogue for each person: rows (B, k) and scores (B, k).

        Memory is bounded by a chunk of the catalogue, whatever its size. Pictures of the history are left out unless
        `seen`; where fewer than k are left, their scores are -inf.
        """
        self.space.require_same(catalogue.space, "the prior", "the catalogue")
        history = history.to(self.device)
        k = min(k, len(catalogue))
        best = torch.full((len(history), k), -torch.inf, device=self.device)
        rows = torch.zeros((len(history), k), dtype=torch.long, device=self.device)
        start = 0
        for scores in self._chunks(history, catalogue):
            number = torch.arange(start, start + scores.shape[1], device=self.device)
            if not seen:
                _hide(scores, history, start)
            both = torch.cat([best, scores], dim=1)
            best, index = both.topk(k, dim=1)
            rows = torch.cat([rows, number.expand(len(history), -1)], dim=1).gather(1, index)
            start += scores.shape[1]
        return rows, best

    def _chunks(self, history: History, catalogue: Catalogue) -> Iterator[Tensor]:
        """Scores of the catalogue, chunk by chunk.

        Samples score by closeness to their mean, from draws of its own fixed seed: the cosine in model scale, where
        what all pictures have in common is taken out.
        """
        if self.rank_by == "samples":
            wanted_BD = self._mean_of_samples(history)
            for _, raw_ND in self._parts(history, catalogue):
                yield wanted_BD @ normalize(self.prior.scale.to_model(raw_ND), dim=-1).T
            return
        encoded = self.prior.encode_history(history)
        if self.new_share and self.prior.known_pictures is not None:
            yield from self._with_new(history, encoded, catalogue, self.prior.known_pictures)
            return
        for _, raw_ND in self._parts(history, catalogue):
            yield self._scores_of(encoded, raw_ND)

    def _mean_of_samples(self, history: History) -> Tensor:
        """The mean direction of each person's samples in model scale (B, D)."""
        shape = (len(history), RANKING_SAMPLES, self.space.dim)
        noise_BSD = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        means = []
        for rows in torch.arange(len(history)).split(DRAWS_AT_ONCE // RANKING_SAMPLES):
            some = history.take(rows)
            encoded = self.prior.encode_history(some)
            # Not put onto the shell: that is a change of length about 0, and of direction about the mean.
            made_BSD = self._scaled(some, encoded, noise_BSD[rows], 1.0, None, None)
            means.append(normalize(normalize(made_BSD, dim=-1).mean(1), dim=-1))
        return torch.cat(means)

    def _parts(self, history: History, catalogue: Catalogue) -> Iterator[tuple[int, Tensor]]:
        """Parts of a catalogue that are ranked together, each with the row it starts at."""
        chunk = min(PICTURES_AT_ONCE, max(1, SCORES_AT_ONCE // len(history)))
        for start in range(0, len(catalogue), chunk):
            yield start, catalogue.embeddings_ND[start : start + chunk].to(self.device, torch.float32)

    def _with_new(self, history: History, encoded: Any, catalogue: Catalogue, known: KnownPictures) -> Iterator[Tensor]:
        new = NewPictures(known, history, share=self.new_share, sharpness=self.sampling.new_sharpness)
        for start, raw_ND in self._parts(history, catalogue):
            scores_BN = self._scores_of(encoded, raw_ND)
            _hide(scores_BN, history, start)  # nobody looks for what they have
            new.see(scores_BN, raw_ND)
        for _, raw_ND in self._parts(history, catalogue):
            yield new.ranked(self._scores_of(encoded, raw_ND), raw_ND)

    def _scores_of(self, encoded: Any, raw: Tensor) -> Tensor:
        scores = self.prior.scores
        assert scores is not None
        return scores(encoded, raw)

    def _chosen(self, encoded: Any, raw_BMD: Tensor, n: int, rating: float, near_BM: Tensor | None) -> Tensor:
        quality_BM = torch.zeros(raw_BMD.shape[:2], device=self.device)
        if self.scores_are_trained:
            quality_BM = standardised(rating * self._scores_of(encoded, raw_BMD))
        if near_BM is not None:
            quality_BM = quality_BM + near_BM
        rows_Bn = spread(self.prior.scale.to_model(raw_BMD), quality_BM, n, self.sampling.diversity)
        return raw_BMD.gather(1, rows_Bn[..., None].expand(-1, -1, raw_BMD.shape[2]))

    def _denoised(self, *how: Any) -> Tensor:
        """Raw embeddings (B, S, D), as decoders take them."""
        raw_BSD = self.prior.scale.from_model(self._scaled(*how))
        return self.space.onto_shell(raw_BSD) if self.sampling.on_shell else raw_BSD

    def _scaled(
        self, history: History, encoded: Any, noise_BSD: Tensor, rating: float, steps: int | None,
        guidance: Guidance | None, text_BD: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """What the sampler made of noise, in model scale."""
        denoise = guided(
            self.prior, self.objective, guidance or self.sampling.guidance, encoded, self.prior.null_history(history),
            torch.full((len(history),), rating, device=self.device), text_BD,
        )  # fmt: skip
        method, steps = self.sampling.method, steps or self.sampling.steps
        if self.objective.one_step:
            method, steps = "one_step", 1
        return SAMPLERS[method](denoise, self.objective.path, noise_BSD, steps)


def scores_are_trained(prior: Backbone, objective: Objective) -> bool:
    """Whether a prior has scores that its objective trains."""
    return prior.scores is not None and objective.rank is not None and objective.rank.trains_scores


def require_new_told(new_share: float, prior: Backbone, objective: Objective) -> None:
    """Raises where new pictures are to be ranked apart and cannot be."""
    if new_share and prior.known_pictures is None:
        raise ValueError(
            f"new_share={new_share} ranks pictures that nobody rated apart, but this prior does not know which those "
            "are. Train with prior.pictures=N, at least as many as are rated, or leave new_share at 0."
        )
    if new_share and not (scores_are_trained(prior, objective) and objective.rank.softmax_weight > 0):
        raise ValueError(
            f"new_share={new_share} is a share of probability, and no softmax is trained here to give the other "
            "pictures theirs. Give objective.rank.softmax_weight a value above 0, or leave new_share at 0."
        )


def closeness(raw_BMD: Tensor, text_BD: Tensor) -> Tensor:
    """How near each candidate is to a text, beside its user's other candidates: what all pictures are away from all
    texts in a CLIP space cancels out."""
    return standardised(torch.einsum("bmd,bd->bm", normalize(raw_BMD, dim=-1), normalize(text_BD, dim=-1)))


def standardised(value_BM: Tensor) -> Tensor:
    """Mean 0 and spread 1 for each user."""
    return (value_BM - value_BM.mean(1, keepdim=True)) / value_BM.std(1, keepdim=True, correction=0).clamp(min=1e-8)


def _hide(scores_BN: Tensor, history: History, start: int) -> None:
    """Sets the scores of a chunk's pictures that are in the history to -inf, in place."""
    column_BK = history.items_BK - start
    inside_BK = history.valid_BK & (column_BK >= 0) & (column_BK < scores_BN.shape[1])
    user, place = inside_BK.nonzero(as_tuple=True)
    scores_BN[user, column_BK[user, place]] = -torch.inf
