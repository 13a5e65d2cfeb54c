"""The scoreboard: predictors x history lengths x controls over the same people, everything by person.

Shapes: B people, n samples, D dimension, k length of the recommended list.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefprior.data.held_out import People
from prefprior.evaluation.metrics.exposure import exposure, exposure_intervals, lookalikes, segments, user_vectors
from prefprior.evaluation.metrics.generation import closeness, population, require_samples, sample_recall, spread
from prefprior.evaluation.metrics.personalisation import Personal, personal
from prefprior.evaluation.metrics.ranking import ranking
from prefprior.evaluation.metrics.rating import rating
from prefprior.evaluation.metrics.utility import truth
from prefprior.evaluation.protocol.bootstrap import Figure, interval, weights
from prefprior.evaluation.protocol.controls import CONTROLS
from prefprior.evaluation.protocol.decoding import Decoded, Decoding
from prefprior.evaluation.protocol.scoring import Sampled, score
from prefprior.evaluation.report.labels import DECODED
from prefprior.predictor import Predictor
from prefprior.world.source import truth_known

# Resamples for figures that are not means over people: each costs a pass over all lists.
LIST_RESAMPLES = 200
# Fewer tell nothing of a history's length: the least that a test over people needs.
LEAST_PEOPLE = 3


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one predictor did from histories of one length under one control (None: the true histories)."""

    predictor: str
    length: int | None
    control: str | None
    by_person: dict[str, np.ndarray] = field(default_factory=dict)  # (B,) each, NaN where undefined
    people: int = 0  # who have a history of that length
    users: list[str] = field(default_factory=list)  # for whom samples were made, in their order
    overall: dict[str, float] = field(default_factory=dict)  # figures of all people together
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)  # intervals of some of those
    verdict: Personal | None = None
    samples_BnD: Tensor | None = None
    segment_B: np.ndarray | None = None
    decoded: Decoded | None = None

    @property
    def row(self) -> str:
        """The predictor's name with its control."""
        return self.predictor if self.control is None else f"{self.predictor}+{self.control}"

    @property
    def shots(self) -> str:
        """The history's length, in words."""
        return "all" if self.length is None else str(self.length)


class Scoreboard:
    """Runs predictors over one part's people and keeps what they did."""

    def __init__(
        self,
        *,
        lengths: Sequence[int | None] = (1, 2, 4, 8, 16, 32, None),
        ks: Sequence[int] = (10, 20),
        samples: int = 16,
        sample_people: int = 300,
        controls: Sequence[str] = tuple(CONTROLS),
        sampled_candidates: int | None = None,
        seed: int = 0,
    ) -> None:
        """`lengths` of histories (None: all, which is always among them); ranking metrics at `ks`; `samples` for each
        of at most `sample_people` people (distances between samples need all pairs); `controls` are run from whole
        histories; `sampled_candidates` random items are ranked with what is held out, not the whole catalogue."""
        if not lengths or any(n is not None and n < 1 for n in lengths):
            raise ValueError(f"lengths must be numbers of at least 1 (null: whole histories), got {list(lengths)}")
        if not ks or min(ks) < 1 or samples < 2 or sample_people < 3:
            raise ValueError(f"ks must be at least 1, samples 2, sample_people 3; got {ks}, {samples}, {sample_people}")
        if unknown := [name for name in controls if name not in CONTROLS]:
            raise ValueError(f"controls are {', '.join(CONTROLS)}; got {', '.join(unknown)}")
        if sampled_candidates is not None and sampled_candidates < max(ks):
            raise ValueError(
                f"sampled_candidates is {sampled_candidates}, but metrics are taken at up to {max(ks)} (ks). Raise it, "
                "or leave it out: then the whole catalogue is ranked"
            )
        self.sampled = None if sampled_candidates is None else Sampled(sampled_candidates, seed)
        # Tables, comparisons and the report are of whole histories.
        self.lengths = (*(n for n in lengths if n is not None), None)
        self.ks, self.samples = tuple(ks), samples
        self.sample_people, self.controls, self.seed = sample_people, tuple(controls), seed

    def labelled(self, part: str) -> str:
        """What figures of a part are filed under: sampled candidates are said wherever a figure stands."""
        return part if self.sampled is None else f"{part} ({self.sampled.count} sampled candidates)"

    def conditions(self) -> list[tuple[int | None, str | None]]:
        """Every (length, control) a predictor is run under."""
        return [(length, None) for length in self.lengths] + [(None, control) for control in self.controls]

    def run(
        self,
        predictor: Predictor,
        people: People,
        source: Any = None,
        progress: Callable[[], None] | None = None,
        decoding: Decoding | None = None,
    ) -> list[Outcome]:
        """One outcome for each condition; of a history's length, over the people who have rated so much."""
        if decoding is not None and not set(decoding.lengths) & set(self.lengths):
            raise ValueError(
                f"pictures are to be decoded from histories of {list(decoding.lengths)} (decoding.lengths), but only "
                f"those of {list(self.lengths)} are measured (board.lengths; null: whole ones). Make them agree, or "
                "decode nothing: decoding=null"
            )
        outcomes = []
        for length, control in self.conditions():
            generator = torch.Generator().manual_seed(self.seed)
            shown = people if control is None else CONTROLS[control](people, generator)
            if length is not None:
                shown = shown.take((shown.valid_BK.sum(1) >= length).nonzero()[:, 0])
            if len(shown) >= LEAST_PEOPLE or length is None:
                outcomes.append(self._one(predictor, shown, people.users, length, control, source, decoding))
            if progress is not None:
                progress()
        return outcomes

    def _one(
        self,
        predictor: Predictor,
        people: People,
        everybody: list[str],
        length: int | None,
        control: str | None,
        source: Any,
        decoding: Decoding | None,
    ) -> Outcome:
        items, whole = len(people.catalogue), length is None and control is None
        scored = score(predictor, people, length, max(self.ks), sampled=self.sampled)
        by_person = {
            **ranking(scored.rank_BT, people.held_liked_BT, self.ks),
            **rating(
                scored.score_BT,
                people.held_rating_BT,
                people.held_valid_BT,
                people.held_liked_BT,
                people.held_disliked_BT,
            ),
        }
        overall, bounds = exposure(scored.top_BK, items), {}
        few = people.first(self.sample_people)
        samples_BnD = self._sample(predictor, few, length)
        made = {
            **closeness(samples_BnD, few),
            **spread(samples_BnD, few),
            **sample_recall(samples_BnD, few, self.ks, self.sampled),
        }
        if truth_known(source, people.catalogue.space):
            made |= truth(source, few.users, samples_BnD)
        verdict = personal(samples_BnD, few, self.seed)
        if verdict is not None:
            made["personal_gap"] = verdict.gap_B
            overall["personal_p"] = verdict.p_value
        segment_B, decoded = None, None
        if whole:
            bounds = exposure_intervals(scored.top_BK, items, weights(len(people), self.seed, LIST_RESAMPLES))
            overall |= population(samples_BnD, few, torch.Generator().manual_seed(self.seed))
            vectors_BD = user_vectors(samples_BnD, few)
            made["lookalikes"] = lookalikes(vectors_BD, few)
            segment_B, made["segment_lift"] = segments(vectors_BD, few, seed=self.seed)
        if decoding is not None and control is None and length in decoding.lengths:
            decoded = decoding.look(samples_BnD, people.catalogue.space, self.seed)
            made |= self._of_pictures(decoded, few, source)
            shown, generator = _shown(decoded, few), torch.Generator().manual_seed(self.seed)
            clouds = population(decoded.embeddings_BnD, shown, generator)
            overall |= {f"{name}{DECODED}": value for name, value in clouds.items()}
        # Everybody has a place, so that predictors are compared person by person: NaN for whom there is no figure.
        place = {user: b for b, user in enumerate(everybody)}
        placed = {}
        for users, found in ((people.users, by_person), (few.users, made)):
            rows = np.array([place[user] for user in users])
            for name, value_B in found.items():
                placed[name] = np.full(len(everybody), np.nan)
                placed[name][rows] = value_B.double().numpy()
        return Outcome(
            predictor=predictor.name,
            length=length,
            control=control,
            by_person=placed,
            people=len(people),
            users=few.users,
            overall=overall,
            bounds=bounds,
            verdict=verdict if whole else None,
            samples_BnD=samples_BnD if whole or decoded is not None else None,
            segment_B=segment_B,
            decoded=decoded,
        )

    def _of_pictures(self, decoded: Decoded, people: People, source: Any) -> dict[str, Tensor]:
        """What is measured on pictures embedded again, for the first people; NaN for the others."""
        shown, embeddings_BnD = _shown(decoded, people), decoded.embeddings_BnD
        figures = {
            "drift": decoded.drift_B,
            **closeness(embeddings_BnD, shown),
            **spread(embeddings_BnD, shown),
            **sample_recall(embeddings_BnD, shown, self.ks, self.sampled),
        }
        if truth_known(source, people.catalogue.space):
            figures |= truth(source, shown.users, embeddings_BnD)
        missing = torch.full((len(people) - len(shown),), torch.nan, dtype=torch.float64)
        return {f"{name}{DECODED}": torch.cat([value_B.double(), missing]) for name, value_B in figures.items()}

    def _sample(self, predictor: Predictor, people: People, length: int | None) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        made = [predictor.sample(chunk.history(length), self.samples, generator).cpu() for chunk in people.chunks()]
        return require_samples(torch.cat(made), people, self.samples, people.catalogue.space, predictor.name)


def _shown(decoded: Decoded, people: People) -> People:
    """Those of whose samples pictures were made: the first."""
    return people.take(torch.arange(len(decoded.pictures)))


@dataclass(frozen=True, eq=False)
class Board:
    """All outcomes of one part, and the figures drawn from them."""

    data: str
    part: str
    people: People
    outcomes: list[Outcome]
    seed: int = 0

    def figures(self) -> dict[str, Figure]:
        """Every figure with its interval, keyed `<data>/<part>/<predictor>/<metric>@<history length>`.

        Figures of all people together without a way to resample them have the interval (NaN, NaN).
        """
        drawn_RB = weights(len(self.people), self.seed)
        found: dict[str, Figure] = {}
        for outcome in self.outcomes:
            for name, values_B in outcome.by_person.items():
                figure = interval(values_B, drawn_RB)
                if figure is not None:
                    found[self.key(outcome, name)] = figure
            for name, value in outcome.overall.items():
                low, high = outcome.bounds.get(name, (float("nan"), float("nan")))
                found[self.key(outcome, name)] = Figure(value, low, high, outcome.people)
        return found

    def key(self, outcome: Outcome, metric: str) -> str:
        """The name of a figure in `metrics.json`."""
        return f"{self.data}/{self.part}/{outcome.row}/{metric}@{outcome.shots}"

    def find(self, predictor: str, length: int | None = None, control: str | None = None) -> Outcome | None:
        """The outcome of one condition."""
        for outcome in self.outcomes:
            if (outcome.predictor, outcome.length, outcome.control) == (predictor, length, control):
                return outcome
        return None

    @property
    def decoded_length(self) -> int | None:
        """From how long histories pictures were decoded; of several lengths the whole ones (None), where they are."""
        lengths = [outcome.length for outcome in self.outcomes if outcome.decoded is not None]
        return None if None in lengths or not lengths else lengths[0]

    def figure(self, figures: dict[str, Figure], outcome: Outcome, metric: str) -> Figure | None:
        """A figure from whole histories; of decoded pictures, from those they were decoded for."""
        if metric.endswith(DECODED) and outcome.control is None:
            outcome = self.find(outcome.predictor, self.decoded_length) or outcome
        return figures.get(self.key(outcome, metric))

    @property
    def predictors(self) -> list[str]:
        """The predictors, in the order in which they were run."""
        return list(dict.fromkeys(outcome.predictor for outcome in self.outcomes))
