"""The scoreboard: predictors x history lengths x controls over the same users, everything user by user.

Shapes: B users, n samples, D dimension.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.metrics.exposure import exposure, exposure_steps, exposure_without_each
from prefprior.evaluation.metrics.generation import cloud_distances, require_samples
from prefprior.evaluation.metrics.lookalikes import lookalikes, segments, user_vectors
from prefprior.evaluation.metrics.personalisation import personal_gap
from prefprior.evaluation.metrics.scoring import SampledCandidates, score
from prefprior.evaluation.protocol.answers import OF_SAMPLES, OF_SCORES, Answers, measured
from prefprior.evaluation.protocol.controls import CONTROLS
from prefprior.evaluation.protocol.decoding import DECODED, Decoding
from prefprior.evaluation.protocol.jackknife import Jackknife
from prefprior.evaluation.protocol.results import Condition, Outcome
from prefprior.evaluation.protocol.shown import shown_at_random
from prefprior.predictor import Predictor
from prefprior.world.source import truth_known

# A figure over fewer users says nothing; it is also the least that the permutation test needs.
LEAST_PEOPLE = 3


class Scoreboard:
    """Runs predictors over one part's users and keeps what they did."""

    def __init__(
        self,
        *,
        lengths: Sequence[int | None] = (1, 2, 4, 8, 16, 32, None),
        shown: Sequence[int] = (5, 10, 20, 40),
        ks: Sequence[int] = (10, 20),
        samples: int = 16,
        sample_people: int = 300,
        controls: Sequence[str] = tuple(CONTROLS),
        sampled_candidates: int | None = None,
        seed: int = 0,
    ) -> None:
        """`lengths` of histories (None: all, which is always among them); on a world, `shown` are lengths of further
        histories, of pictures shown at random; ranking metrics at `ks`; `samples` for each of at most `sample_people`
        users (distances between samples need all pairs); `controls` are run from whole histories; `sampled_candidates`
        random items are ranked with what is held out, not the whole catalogue."""
        if not lengths or any(n is not None and n < 1 for n in lengths):
            raise ValueError(f"lengths must be numbers of at least 1 (null: whole histories), got {list(lengths)}")
        if any(n < 1 for n in shown):
            raise ValueError(f"shown must be numbers of at least 1, got {list(shown)}")
        if not ks or min(ks) < 1 or samples < 2 or sample_people < 3:
            raise ValueError(
                f"ks must be at least 1, samples at least 2, sample_people at least 3; got {ks}, {samples}, "
                f"{sample_people}"
            )
        if unknown := [name for name in controls if name not in CONTROLS]:
            raise ValueError(f"controls must be among {', '.join(CONTROLS)}; got {', '.join(unknown)}")
        if sampled_candidates is not None and sampled_candidates < max(ks):
            raise ValueError(
                f"sampled_candidates is {sampled_candidates}, but metrics are computed at up to {max(ks)} "
                "(ks). Raise it, or leave it out to rank the whole catalogue"
            )
        self.candidates = None if sampled_candidates is None else SampledCandidates(sampled_candidates, seed)
        # Tables, comparisons and the report are of whole histories.
        self.lengths = (*(n for n in lengths if n is not None), None)
        self.shown = tuple(shown)
        self.ks, self.samples = tuple(ks), samples
        self.sample_people, self.controls, self.seed = sample_people, tuple(controls), seed

    def labelled(self, part: str) -> str:
        """What figures of a part are filed under: sampled candidates are said wherever a figure stands."""
        return part if self.candidates is None else f"{part} ({self.candidates.count} sampled candidates)"

    def conditions(self, *, shows: bool = False) -> list[Condition]:
        """Every condition a predictor is run under; `shows`: the source can show pictures and say what users rate."""
        found = [Condition(length=n) for n in self.lengths] + [Condition(control=name) for name in self.controls]
        return found + [Condition(length=n, shown=True) for n in self.shown if shows]

    def run(
        self,
        predictor: Predictor,
        people: HeldOutUsers,
        source: Any = None,
        progress: Callable[[], None] | None = None,
        decoding: Decoding | None = None,
    ) -> list[Outcome]:
        """One outcome for each condition that at least a few users have a history for."""
        if decoding is not None and not set(decoding.lengths) & set(self.lengths):
            raise ValueError(
                f"decoding.lengths is {list(decoding.lengths)}, but only the lengths {list(self.lengths)} are "
                "measured (scoreboard.lengths; null: whole histories). Make them agree, or give decoding=null"
            )
        outcomes = []
        for condition in self.conditions(shows=truth_known(source, people.catalogue.space)):
            given = self._given(people, condition, source)
            if len(given) >= LEAST_PEOPLE or condition.length is None:
                answers = self._answers(predictor, given, condition.length, source)
                outcomes.append(self._outcome(predictor.name, condition, answers, people.users, decoding))
            if progress is not None:
                progress()
        return outcomes

    def _given(self, people: HeldOutUsers, condition: Condition, source: Any) -> HeldOutUsers:
        """Those who have rated so much, with the histories that a predictor is given."""
        if condition.shown:
            assert condition.length is not None
            return shown_at_random(people, source, condition.length)
        if condition.control is not None:
            people = CONTROLS[condition.control](people, self._generator())
        if condition.length is not None:
            people = people.take((people.valid_BK.sum(1) >= condition.length).nonzero()[:, 0])
        return people

    def _answers(self, predictor: Predictor, people: HeldOutUsers, length: int | None, source: Any) -> Answers:
        few = people.first(self.sample_people)
        return Answers(
            people=people,
            scored=score(predictor, people, length, max(self.ks), candidates=self.candidates),
            few=few,
            samples_BnD=self._sample(predictor, few, length),
            source=source,
            ks=self.ks,
            candidates=self.candidates,
        )

    def _sample(self, predictor: Predictor, people: HeldOutUsers, length: int | None) -> Tensor:
        generator = self._generator()
        made = [predictor.sample(chunk.history(length), self.samples, generator).cpu() for chunk in people.chunks()]
        return require_samples(torch.cat(made), people, self.samples, people.catalogue.space, predictor.name)

    def _outcome(
        self, predictor: str, condition: Condition, answers: Answers, everybody: list[str], decoding: Decoding | None
    ) -> Outcome:
        people, few = answers.people, answers.few
        outcome = Outcome(predictor, condition, everybody, len(people), few.users)
        outcome.add(people.users, measured(OF_SCORES, answers))
        outcome.add(few.users, measured(OF_SAMPLES, answers))
        self._add_exposure(outcome, answers.scored.top_BK, len(people.catalogue))
        personal = personal_gap(answers.samples_BnD, few, self.seed)
        if personal is not None:
            outcome.add(few.users, {"personal_gap": personal.gap_B})
            outcome.overall["personal_p"] = personal.p_value
        if condition.is_full:
            outcome.personal = personal
            self._add_whole(outcome, answers)
        if decoding is not None and condition.is_own and condition.length in decoding.lengths:
            self._add_decoded(outcome, answers, decoding)
        return outcome

    def _add_exposure(self, outcome: Outcome, top_BK: Tensor, items: int) -> None:
        """Figures of all lists together, and the same without each user's list in turn."""
        shown = exposure(top_BK, items)
        outcome.overall |= shown
        if len(top_BK) > 1:
            without, steps = exposure_without_each(top_BK, items), exposure_steps(top_BK, items)
            outcome.exposure = {name: Jackknife(value, without[name], steps[name]) for name, value in shown.items()}

    def _add_whole(self, outcome: Outcome, answers: Answers) -> None:
        """What is measured once, from whole histories: it is slow, or the report shows it."""
        few, samples_BnD = answers.few, answers.samples_BnD
        outcome.overall |= cloud_distances(samples_BnD, few, self._generator())
        vectors_BD = user_vectors(samples_BnD, few)
        outcome.segment_B, lift_B = segments(vectors_BD, few, seed=self.seed)
        outcome.add(few.users, {"lookalikes": lookalikes(vectors_BD, few), "segment_lift": lift_B})
        outcome.samples_BnD = samples_BnD

    def _add_decoded(self, outcome: Outcome, answers: Answers, decoding: Decoding) -> None:
        """The same of pictures embedded again, for the first few users."""
        decoded = decoding.decode_and_embed(answers.samples_BnD, answers.few.catalogue.space, self.seed)
        pictures = answers.of_pictures(decoded)
        by_user = {"drift": decoded.drift_B, **measured(OF_SAMPLES, pictures)}
        overall = cloud_distances(pictures.samples_BnD, pictures.few, self._generator())
        outcome.add(pictures.few.users, {f"{name}{DECODED}": value_B for name, value_B in by_user.items()})
        outcome.overall |= {f"{name}{DECODED}": value for name, value in overall.items()}
        outcome.decoded, outcome.samples_BnD = decoded, answers.samples_BnD

    def _generator(self) -> torch.Generator:
        """Fresh for each use: what one part draws does not depend on another."""
        return torch.Generator().manual_seed(self.seed)
