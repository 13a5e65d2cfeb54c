"""Two arms of a study compared: differences of means over people, win rates, and how many people an effect needs.

People are resampled and permuted, never answers: answers of one person are alike.

Shapes: A people of the first arm, B of the second, P people who saw pictures of both.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import bootstrap, norm, permutation_test, rankdata

from prefprior.errors import require_between
from prefprior.evaluation.protocol.bootstrap import LEVEL, RESAMPLES, Figure
from prefprior.evaluation.protocol.holm import holm
from prefprior.studio.store.studies import Outcome, Study

PERMUTATIONS = 9999
AT_ONCE = 200_000  # values of people in memory while they are resampled
FEWEST = 2  # people, below which nothing is known of how they differ


@dataclass(frozen=True)
class Plan:
    """The effect that must not be missed: a difference as a share of the measure's range, or of the mean of answers."""

    effect: float = 0.05
    power: float = 0.8
    seed: int = 0
    resamples: int = RESAMPLES
    permutations: int = PERMUTATIONS

    def __post_init__(self) -> None:
        require_between("effect", self.effect, 1e-6, 10)
        require_between("power", self.power, 0.05, 0.9999)
        require_between("seed", self.seed, 0, 2**32 - 1)


@dataclass(frozen=True)
class Measure:
    """What is compared."""

    name: str
    words: str
    of: Callable[[Outcome], float]  # NaN where a person says nothing of it


@dataclass(frozen=True)
class Compared:
    """One measure in two arms; differences are the second less the first."""

    name: str
    words: str
    people: tuple[int, int]  # in each arm
    means: tuple[float, float]
    difference: Figure
    wins: Figure  # how often the second is better, a tie being half
    p: float
    p_holm: float  # corrected for all measures of the study
    level: float  # of the test that `needed` is for: that of all measures, shared among them
    needed: int  # people in all
    paired: bool  # whether each person saw both

    @property
    def winner(self) -> int | None:
        """The arm that is better, where that is no chance."""
        return None if self.p_holm >= 1 - LEVEL else int(self.difference.value > 0)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _liked_made(told: Outcome, arm: int) -> float:
    return _share(told.liked_made[arm], told.shown[arm])


ANSWERS = Measure("answers", "answers of a person", lambda told: float(told.answers))
RATING = Measure("rating", "mean rating of what was asked", lambda told: _share(sum(told.ratings), len(told.ratings)))
BETWEEN = (
    ANSWERS,
    RATING,
    Measure("liked", "share liked of what was rated", lambda told: _share(told.liked, told.judged)),
    Measure("picked", "share of choices with a pick", lambda told: _share(told.picked, told.offered)),
)
MADE = Measure("made", "share liked of what was made", lambda told: _liked_made(told, told.arm))
NAMES = (*(measure.name for measure in BETWEEN), MADE.name)


def compared(study: Study, outcomes: Mapping[int, Outcome], plan: Plan, names: Sequence[str] = NAMES) -> list[Compared]:
    """All measures, or some, that two people of each arm say something of.

    Where the arms are different models each strip has pictures of both, so these are compared within people.
    """
    for place in (0, 1):
        if not any(told.arm == place for told in outcomes.values()):
            raise ValueError(
                f"nobody has been asked anything in arm {'AB'[place]} of study {study.id}: a comparison needs at least "
                f"{FEWEST} people in each"
            )
    samples = [_sample(measure, study, outcomes) for measure in (*BETWEEN, MADE) if measure.name in names]
    kept = [sample for sample in samples if min(len(sample.first), len(sample.second)) >= FEWEST]
    level = (1 - LEVEL) / max(1, len(kept))  # Holm's for the smallest p, which others share in
    found = [_compared(sample, level, plan) for sample in kept]
    adjusted = holm([one.p for one in found])
    return [replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True)]


@dataclass(frozen=True, eq=False)
class _Sample:
    """What people of both arms say of a measure."""

    measure: Measure
    first: np.ndarray  # [A], or [P] where each person saw both
    second: np.ndarray  # [B], or [P]
    unit: float  # of what an effect is a share
    paired: bool

    def needed(self, level: float, plan: Plan) -> int:
        """People in all, so that a test at this level shows the plan's effect with its power."""
        effect = plan.effect * self.unit
        if self.paired:
            return _needed((self.second - self.first).var(ddof=1), effect, level, plan.power)
        return 2 * _needed(self.first.var(ddof=1) + self.second.var(ddof=1), effect, level, plan.power)


def _sample(measure: Measure, study: Study, outcomes: Mapping[int, Outcome]) -> _Sample:
    if measure is MADE and study.compares_models:
        first_N, second_N = (np.asarray([_liked_made(told, arm) for told in outcomes.values()]) for arm in (0, 1))
        known_N = ~np.isnan(first_N) & ~np.isnan(second_N)
        return _Sample(measure, first_N[known_N], second_N[known_N], 1.0, paired=True)
    first, second = (_known([measure.of(told) for told in outcomes.values() if told.arm == arm]) for arm in (0, 1))
    unit = 1.0
    if measure is ANSWERS:
        unit = float(np.concatenate([first, second]).mean())
    elif measure is RATING and study.levels:  # a source of choices alone has none, and nobody rates
        unit = study.levels[-1] - study.levels[0]
    return _Sample(measure, first, second, unit, paired=False)


def _compared(sample: _Sample, level: float, plan: Plan) -> Compared:
    measure, first, second, paired = sample.measure, sample.first, sample.second, sample.paired
    both = (first, second)
    at_once = max(1, AT_ONCE // (len(first) + len(second)))
    wins = _wins_within if paired else _wins_between
    tested = permutation_test(
        both, _difference, permutation_type="samples" if paired else "independent", vectorized=True,
        n_resamples=plan.permutations, batch=at_once, random_state=_draws(measure, plan, 0),
    )  # fmt: skip
    count = len(second) if paired else len(first) + len(second)

    def figure(statistic: Callable[..., Any], turn: int) -> Figure:
        value = float(statistic(first, second, axis=-1))
        drawn = bootstrap(
            both, statistic, paired=paired, vectorized=True, n_resamples=plan.resamples, batch=at_once,
            confidence_level=LEVEL, method="percentile", random_state=_draws(measure, plan, turn),
        ).confidence_interval  # fmt: skip
        return Figure(value, float(drawn.low), float(drawn.high), count)

    p = float(tested.pvalue)
    return Compared(
        measure.name, measure.words, (len(first), len(second)), (float(first.mean()), float(second.mean())),
        figure(_difference, 1), figure(wins, 2), p, p, level, sample.needed(level, plan), paired,
    )  # fmt: skip


def _difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> Any:
    return second.mean(axis) - first.mean(axis)


def _wins_between(first: np.ndarray, second: np.ndarray, axis: int = -1) -> Any:
    """The probability that somebody of the second arm has more than somebody of the first (Mann and Whitney's U)."""
    count_B, count_A = second.shape[axis], first.shape[axis]
    rank = rankdata(np.concatenate([second, first], axis), axis=axis)
    of_second = np.take(rank, np.arange(count_B), axis).sum(axis) - count_B * (count_B + 1) / 2
    return of_second / (count_A * count_B)


def _wins_within(first: np.ndarray, second: np.ndarray, axis: int = -1) -> Any:
    """The share of people who like more of the second."""
    return (1 + np.sign(second - first).mean(axis)) / 2


def _needed(variance: float, effect: float, level: float, power: float) -> int:
    """People of a sample whose mean, of this variance, shows an effect with this power in a test of this level."""
    deviations = norm.ppf(1 - level / 2) + norm.ppf(power)
    return max(FEWEST, math.ceil(deviations**2 * variance / effect**2)) if effect else FEWEST


def _draws(measure: Measure, plan: Plan, turn: int) -> np.random.Generator:
    return np.random.default_rng((plan.seed, NAMES.index(measure.name), turn))


def _known(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return array[~np.isnan(array)]
