"""The trained model as a predictor: samples embeddings, ranks a catalogue of any size.

Shapes: B users, n samples, M candidates, N catalogue, D dimension.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior import checkpoint
from prefprior.errors import require_choice
from prefprior.history import History, hide_seen
from prefprior.inference.guidance import guided
from prefprior.inference.selection import (
    Samples,
    all_candidates,
    candidates_per_sample,
    closeness_to_text,
    distinct_candidates,
)
from prefprior.inference.steering import Steering
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.solvers import OneStep
from prefprior.models.model import EncodedUsers, PreferenceModel
from prefprior.models.objectives.objective import Objective
from prefprior.models.retriever.cold_start import ColdStart
from prefprior.predictor import By, Catalogue, TrainingPart
from prefprior.seeding import generator_of
from prefprior.space import Space

RANKING_SAMPLES = 16  # per user, whose mean ranks a catalogue with rank_by=samples
SAMPLES_AT_ONCE = 16384  # embeddings denoised at once: more takes memory and is not faster
TOKENS_AT_ONCE = 2**15  # of histories encoded at once: each block of the denoiser holds their keys and values
SCORES_AT_ONCE = 2**20  # of users x items: each needs a number for every user token
ITEMS_AT_ONCE = 2**16  # of a catalogue, even for a single user: each needs its embedding and features


class TrainedPredictor:
    """A model, its objective and its sampler, ready for use."""

    name = "prior"

    def __init__(
        self,
        *,
        model: PreferenceModel,
        objective: Objective,
        sampler: Sampler,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.model = model.eval()
        self.objective = objective
        self.sampler = sampler
        self.facts = facts or {}
        self._rank_by = "samples" if model.retriever is None else "retriever"

    @classmethod
    def load(
        cls, path: str | Path, device: str | torch.device = "cpu", *, trust: Sequence[str] = ()
    ) -> "TrainedPredictor":
        """Loads a checkpoint; `trust` lists packages besides prefprior whose classes it may name."""
        found = checkpoint.load(path, device, trust=trust)
        return cls(model=found.model, objective=found.objective, sampler=found.sampler, facts=found.facts)

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint that `load` reads."""
        checkpoint.save(
            path, model=self.model, objective=self.objective, sampler=self.sampler, facts=self.facts
        )  # fmt: skip

    @property
    def space(self) -> Space:
        """The space it was trained in."""
        return self.model.prior.space

    @property
    def reads_text(self) -> bool:
        """Whether it was trained with texts as a condition."""
        return self.model.prior.text

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.model.parameters()).device

    @property
    def rank_by(self) -> str:
        """What `rank` uses: the `retriever`, or closeness to `samples`. `save` does not store a change."""
        return self._rank_by

    @rank_by.setter
    def rank_by(self, how: str) -> None:
        if require_choice("rank_by", how, ("retriever", "samples")) == "retriever" and self.model.retriever is None:
            raise ValueError("rank_by=retriever, but this model was trained with retriever=none: leave rank_by out")
        self._rank_by = how

    @property
    def two_scores(self) -> bool:
        """Whether `rank` has different scores by interaction and by rating."""
        rating = self.model.rating
        return rating is not None and rating.has_learned and self.rank_by == "retriever"

    @property
    def cold_start(self) -> ColdStart | None:
        """The cold-start wrapper of the retriever, if there is one and `rank` uses the retriever."""
        retriever = self.model.retriever
        return retriever if isinstance(retriever, ColdStart) and self.rank_by == "retriever" else None

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Does nothing: the model is already trained."""

    @torch.no_grad()
    def sample(
        self,
        history: History,
        n: int,
        generator: torch.Generator,
        *,
        rating: float = 1.0,
        sampler: Sampler | None = None,
        text_BD: Tensor | None = None,
        text_weight: float = 0.5,
        copy_threshold: float | None = None,
        steering: Steering | None = None,
    ) -> Tensor:
        """(B, n, D) raw embeddings of items each user would give that rating (1 loved, -1 hated), best first.

        `sampler` replaces the checkpoint's. `text_BD` are raw embeddings of prompts by the same CLIP's text tower. A
        model that was trained with texts is conditioned on them, and `sampler.guidance.text` is their guidance scale.
        For any other model they take part in the selection among candidates: `text_weight` is the share of the
        similarity to the text in a candidate's quality, from 0 (the user's score alone) to 1 (the text alone).
        Candidates whose similarity to a rated item is at least `copy_threshold` are rejected. `steering` moves
        candidates along axes; those that the user likes best after the move are chosen.
        """
        samples = self.select(
            history, n, generator, rating=rating, sampler=sampler, text_BD=text_BD, text_weight=text_weight,
            copy_threshold=copy_threshold, steering=steering,
        )  # fmt: skip
        return samples.raw_BnD

    @torch.no_grad()
    def select(
        self,
        history: History,
        n: int,
        generator: torch.Generator,
        *,
        rating: float = 1.0,
        sampler: Sampler | None = None,
        text_BD: Tensor | None = None,
        text_weight: float = 0.5,
        copy_threshold: float | None = None,
        steering: Steering | None = None,
    ) -> Samples:
        """Like `sample`, with the number of candidates. The noise of a round is drawn at once, so the result is
        independent of the chunk size."""
        _check_text(text_BD, text_weight, len(history), self.space.dim)
        sampler = sampler or self.sampler
        chosen_by_text = text_BD is not None and not self.reads_text
        per_sample = candidates_per_sample(sampler, chosen_by_text=chosen_by_text, steered=steering is not None)
        independent = per_sample == 1 and copy_threshold is None  # no candidates to select from
        condition_BD = None if chosen_by_text else text_BD

        def propose(rows: Tensor) -> tuple[Tensor, Tensor]:
            shape = (len(rows), n * per_sample, self.space.dim)
            noise_bMD = torch.randn(shape, generator=generator, device=generator.device).to(self.device)
            text_bD = None if condition_BD is None else condition_BD[rows].to(noise_bMD)
            return self._candidates(
                history.take(rows), noise_bMD, rating, sampler, text_bD, steering, scored=not independent
            )

        if copy_threshold is None:
            found = all_candidates(propose, len(history))
        else:
            found = distinct_candidates(propose, history, self.space, n, copy_threshold)
        if not found.raw_BMD.isfinite().all():
            scales = {name: getattr(sampler.guidance, name) for name in ("history", "rating", "text")}
            told = ", ".join(f"{name} {scale:g}" for name, scale in scales.items())
            raise ValueError(f"samples are not finite. Is a guidance scale too large? ({told})")
        if independent:
            return Samples(found.raw_BMD, found.proposed_B, found.near_copies_B)
        near_BM = None
        if chosen_by_text and text_BD is not None:
            near_BM = closeness_to_text(found.raw_BMD, text_BD.to(found.raw_BMD))
        scaled_BMD = self.model.prior.scale.to_model(found.raw_BMD)
        return found.best(
            n, scaled_BMD=scaled_BMD, diversity=sampler.diversity, near_BM=near_BM, text_weight=text_weight
        )

    def negatives(
        self, history: History, n: int, generator: torch.Generator, *, sampler: Sampler | None = None
    ) -> Tensor:
        """(B, n, D) raw embeddings of items each user would dislike most: the negative condition of decoders."""
        return self.sample(history, n, generator, rating=-1.0, sampler=sampler)

    @torch.no_grad()
    def score(self, history: History, raw: Tensor) -> Tensor:
        """(B, N) scores of any embeddings: (N, D), the same for all users, or (B, N, D), each user's own."""
        history, raw = history.to(self.device), raw.to(self.device, torch.float32)
        if self.rank_by == "retriever":
            return self._scores_of(self.model.encode(history), raw)
        return torch.einsum("bd,bnd->bn" if raw.ndim == 3 else "bd,nd->bn", self._mean_of_samples(history),
                            normalize(self.model.prior.scale.to_model(raw), dim=-1))  # fmt: skip

    def score_gradient(self, history: History, raw_BD: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) the score of one embedding for each user, and (B, D) its gradient."""
        history = history.to(self.device)
        with torch.no_grad():
            users = self.model.encode(history)
            query_BD = None if self.rank_by == "retriever" else self._mean_of_samples(history)
        with torch.enable_grad():
            given_BD = raw_BD.detach().to(self.device, torch.float32).clone().requires_grad_()
            if query_BD is None:
                score_B = self._scores_of(users, given_BD[:, None])[:, 0]
            else:
                score_B = (query_BD * normalize(self.model.prior.scale.to_model(given_BD), dim=-1)).sum(1)
            (gradient_BD,) = torch.autograd.grad(score_B.sum(), given_BD)
        return score_B.detach(), gradient_BD

    @torch.no_grad()
    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) scores of the retriever or, with `rank_by=samples`, closeness to samples, which ignores `by`."""
        self.space.require_same(catalogue.space, "the prior", "the catalogue")
        history = history.to(self.device)
        return torch.cat(list(self._chunks(history, catalogue, by)), dim=1)

    @torch.no_grad()
    def top(self, history: History, catalogue: Catalogue, k: int, *, seen: bool = False) -> tuple[Tensor, Tensor]:
        """The k best items of a catalogue for each user: rows (B, k) and scores (B, k).

        Memory is bounded by one chunk of the catalogue. Items of the history are excluded unless `seen`. If fewer than
        k items remain, the scores of the rest are -inf.
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
                hide_seen(scores, history, start)
            both = torch.cat([best, scores], dim=1)
            best, index = both.topk(k, dim=1)
            rows = torch.cat([rows, number.expand(len(history), -1)], dim=1).gather(1, index)
            start += scores.shape[1]
        return rows, best

    def _chunks(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Iterator[Tensor]:
        """Scores of the catalogue, chunk by chunk.

        With `rank_by=samples`, a score is the cosine to the mean of a user's samples, in model scale, where the mean of
        all pictures is 0. Samples come from a fixed seed.
        """

        def parts() -> Iterator[tuple[int, Tensor]]:
            chunk = min(ITEMS_AT_ONCE, max(1, SCORES_AT_ONCE // len(history)))
            for start in range(0, len(catalogue), chunk):
                yield start, catalogue.embeddings_ND[start : start + chunk].to(self.device, torch.float32)

        if self.rank_by == "samples":
            query_BD = self._mean_of_samples(history)
            for _, raw_ND in parts():
                yield query_BD @ normalize(self.model.prior.scale.to_model(raw_ND), dim=-1).T
            return
        interaction = self.model.interaction(self.model.encode(history), history)
        rating = self.model.rating if by != "interaction" and self.two_scores else None
        if rating is None:
            yield from interaction.rank(history, parts)
            return
        posterior = rating.posterior(history)
        if by == "rating":
            for _, raw_ND in parts():
                yield posterior.rate(raw_ND, interaction.scores(raw_ND))
        else:
            for (_, raw_ND), score_BN in zip(parts(), interaction.rank(history, parts)):
                yield score_BN + posterior.log_liking(raw_ND, interaction.scores(raw_ND))

    def _mean_of_samples(self, history: History) -> Tensor:
        """The mean direction of each user's samples in model scale (B, D)."""
        shape = (len(history), RANKING_SAMPLES, self.space.dim)
        noise_BSD = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        means = []
        for rows in torch.arange(len(history)).split(_users_at_once(history, RANKING_SAMPLES)):
            some = history.take(rows)
            users = self.model.encode(some)
            # Lengths are not bounded here: it would change norms about 0, and so directions about the mean.
            made_BSD = self._scaled(some, users, noise_BSD[rows], 1.0, self.sampler, None)
            means.append(normalize(normalize(made_BSD, dim=-1).mean(1), dim=-1))
        return torch.cat(means)

    def _scores_of(self, users: EncodedUsers, raw: Tensor) -> Tensor:
        retriever = self.model.retriever
        assert retriever is not None
        assert users.tokens_BIW is not None
        return retriever.score(users.tokens_BIW, raw)

    def _candidates(
        self, history: History, noise_BMD: Tensor, rating: float, sampler: Sampler, text_BD: Tensor | None,
        steering: Steering | None, *, scored: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """A raw embedding for each noise (B, M, D) and its score (B, M), times `rating`; 0 without a retriever."""
        raw_BMD, score_BM = torch.empty_like(noise_BMD), noise_BMD.new_zeros(noise_BMD.shape[:2])
        for rows in torch.arange(len(history)).split(_users_at_once(history, noise_BMD.shape[1])):
            some = history.take(rows).to(self.device)
            users = self.model.encode(some)
            text_bD = None if text_BD is None else text_BD[rows]
            scaled_bMD = self._scaled(some, users, noise_BMD[rows], rating, sampler, text_bD)
            raw_bMD = self.model.lengths.bounded(self.model.prior.scale.from_model(scaled_bMD))
            if steering is not None:
                raw_bMD = self.model.lengths.bounded(steering.moved(raw_bMD))
            raw_BMD[rows] = raw_bMD
            if scored and self.model.retriever is not None:
                score_BM[rows] = rating * self._scores_of(users, raw_bMD)
        return raw_BMD, score_BM

    def _scaled(
        self, history: History, users: EncodedUsers, noise_BSD: Tensor, rating: float, sampler: Sampler,
        text_BD: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """Samples in model scale: noise, integrated by the solver."""
        denoise = guided(
            self.model.prior, self.objective, sampler.guidance, users.history, self.model.encode_empty(history),
            torch.full((len(history),), rating, device=self.device), text_BD,
        )  # fmt: skip
        solver, steps = (OneStep(), 1) if self.objective.one_step else (sampler.solver, sampler.steps)
        # Seeded by the first noise value of each user, so independent of chunks; deterministic solvers draw nothing.
        firsts = [repr(row.flatten()[0].item()) for row in noise_BSD] if solver.stochastic else []
        generators = [generator_of("noise", first) for first in firsts]
        return solver(denoise, self.objective.schedule, noise_BSD, steps, generators)


def _users_at_once(history: History, samples: int) -> int:
    """How many users are sampled for at once, so that memory is bounded for any length of histories."""
    return max(1, min(SAMPLES_AT_ONCE // samples, TOKENS_AT_ONCE // history.valid_BK.shape[1]))


def _check_text(text_BD: Tensor | None, weight: float, users: int, dim: int) -> None:
    if text_BD is not None and text_BD.shape != (users, dim):
        raise ValueError(
            f"text_BD is {tuple(text_BD.shape)}; it must have a row for each of {users} users, of {dim} "
            "dimensions (zeros for users without a text)"
        )
    if not 0 <= weight <= 1:
        raise ValueError(f"text_weight must be between 0 (the user's taste) and 1 (the text), got {weight}")
