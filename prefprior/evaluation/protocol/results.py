"""What predictors did, and the figures drawn from it.

Shapes: B users, n samples, D dimension, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import Tensor

from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.metrics.personalisation import PersonalGap
from prefprior.evaluation.protocol.bootstrap import Figure, difference, interval, weights
from prefprior.evaluation.protocol.decoding import DECODED, Decoded
from prefprior.evaluation.protocol.jackknife import Jackknife


@dataclass(frozen=True)
class Condition:
    """What a predictor sees of each history: its `length` newest ratings (None: all), changed by a `control`.

    `shown`: the history is of so many pictures that were shown at random.
    """

    length: int | None = None
    control: str | None = None
    shown: bool = False

    @property
    def is_full(self) -> bool:
        """Whole histories, unchanged."""
        return self == FULL

    @property
    def is_own(self) -> bool:
        """Users' own histories, unchanged."""
        return self.control is None and not self.shown

    @property
    def shots(self) -> str:
        """The length as it stands in names of figures."""
        return "all" if self.length is None else str(self.length)


FULL = Condition()
SHOWN = "shown"


@dataclass(eq=False)
class Outcome:
    """What one predictor did under one condition."""

    predictor: str
    condition: Condition
    everybody: list[str]  # all users of the evaluation, each with a place: predictors are compared user by user
    people: int  # how many have a history of that length
    users: list[str]  # for whom samples were made, in their order
    by_user: dict[str, np.ndarray] = field(default_factory=dict)  # (B,) each, NaN where undefined
    overall: dict[str, float] = field(default_factory=dict)  # figures of all users together
    exposure: dict[str, Jackknife] = field(default_factory=dict)  # those of all users' lists, with their intervals
    personal: PersonalGap | None = None
    samples_BnD: Tensor | None = None
    segment_B: np.ndarray | None = None
    decoded: Decoded | None = None

    @property
    def row(self) -> str:
        """The predictor's name with its control, or with "shown" where histories are of pictures shown at random."""
        change = SHOWN if self.condition.shown else self.condition.control
        return self.predictor if change is None else f"{self.predictor}+{change}"

    def add(self, users: Sequence[str], values: Mapping[str, Tensor]) -> None:
        """Puts figures of some users in their places."""
        place = {user: b for b, user in enumerate(self.everybody)}
        rows = np.array([place[user] for user in users])
        for name, value_B in values.items():
            self.by_user[name] = np.full(len(self.everybody), np.nan)
            self.by_user[name][rows] = value_B.double().numpy()


@dataclass(frozen=True, eq=False)
class Results:
    """All outcomes of one part, and the figures drawn from them."""

    data: str
    part: str
    people: HeldOutUsers
    outcomes: list[Outcome]
    seed: int = 0

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Every figure with its interval, keyed `<data>/<part>/<predictor>/<metric>@<history length>`.

        Figures of all users' samples together have the interval (NaN, NaN).
        """
        found: dict[str, Figure] = {}
        for outcome in self.outcomes:
            for name, values_B in outcome.by_user.items():
                figure = interval(values_B, self._weights_RB)
                if figure is not None:
                    found[self.key(outcome, name)] = figure
            for name, value in outcome.overall.items():
                shown = outcome.exposure.get(name)
                figure = Figure(value, float("nan"), float("nan"), outcome.people) if shown is None else shown.figure
                found[self.key(outcome, name)] = figure
        return found

    @cached_property
    def differences(self) -> dict[str, Figure]:
        """Paired differences, first predictor minus each other one: from whole histories, and of decoded pictures.

        Where no histories are whole, from those of each length.
        """
        found: dict[str, Figure] = {}
        whole = any(outcome.condition.length is None for outcome in self.outcomes)
        lengths = (None, self.decoded_length) if whole else [outcome.condition.length for outcome in self.outcomes]
        for predictor in self.predictors[1:]:
            for length in dict.fromkeys(lengths):
                condition = Condition(length)
                first, other = self.find(self.predictors[0], condition), self.find(predictor, condition)
                if first is None or other is None:
                    continue
                for name, figure in self._paired(first, other).items():
                    if condition.is_full or not whole or name.endswith(DECODED):
                        found[self._difference_key(predictor, name, condition)] = figure
        return found

    def figure(self, outcome: Outcome, metric: str) -> Figure | None:
        """A figure from whole histories; of decoded pictures, from those they were decoded for."""
        if metric.endswith(DECODED) and outcome.condition.control is None:
            outcome = self.find(outcome.predictor, Condition(self.decoded_length)) or outcome
        return self.figures.get(self.key(outcome, metric))

    def difference(self, predictor: str, metric: str) -> Figure | None:
        """The first predictor minus another, from the same histories as in `figure`."""
        condition = Condition(self.decoded_length) if metric.endswith(DECODED) else FULL
        return self.differences.get(self._difference_key(predictor, metric, condition))

    def key(self, outcome: Outcome, metric: str) -> str:
        """The name of a figure in `metrics.json`."""
        return f"{self.data}/{self.part}/{outcome.row}/{metric}@{outcome.condition.shots}"

    def find(self, predictor: str, condition: Condition = FULL) -> Outcome | None:
        """The outcome of one predictor under one condition."""
        for outcome in self.outcomes:
            if outcome.predictor == predictor and outcome.condition == condition:
                return outcome
        return None

    def whole_histories(self, *, controls: bool) -> list[Outcome]:
        """The outcomes of whole histories, with or without those under a control."""
        return [
            outcome
            for outcome in self.outcomes
            if outcome.condition.length is None and (controls or outcome.condition.control is None)
        ]

    @property
    def decoded_length(self) -> int | None:
        """From how long histories pictures were decoded; of several lengths the whole ones (None), where they are."""
        lengths = [outcome.condition.length for outcome in self.outcomes if outcome.decoded is not None]
        return None if None in lengths or not lengths else lengths[0]

    @property
    def predictors(self) -> list[str]:
        """The predictors, in the order in which they were run."""
        return list(dict.fromkeys(outcome.predictor for outcome in self.outcomes))

    @cached_property
    def _weights_RB(self) -> np.ndarray:
        return weights(len(self.people), self.seed)

    def _paired(self, first: Outcome, other: Outcome) -> dict[str, Figure]:
        """The differences of two outcomes under one condition, by metric."""
        found = {
            name: (first.exposure[name] - other.exposure[name]).figure
            for name in first.exposure.keys() & other.exposure.keys()
        }
        for name in first.by_user.keys() & other.by_user.keys():
            figure = difference(first.by_user[name], other.by_user[name], self._weights_RB)
            if figure is not None:
                found[name] = figure
        return found

    def _difference_key(self, predictor: str, metric: str, condition: Condition) -> str:
        return f"{self.data}/{self.part}/{self.predictors[0]}-{predictor}/{metric}@{condition.shots}"
