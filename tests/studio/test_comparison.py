"""Two arms compared: on synthetic people whose better arm is known, and on two equal arms."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom, norm, ttest_ind

from prefprior.studio.comparison import NAMES, Compared, Plan, compared
from prefprior.studio.store.studies import Outcome, Study

QUICK = Plan(resamples=50, permutations=199)
TIMES = 300
LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0)


def study(*, models: bool = True) -> Study:
    arms = tuple({"run": name, "model": name if models else "a", "policies": {}} for name in "ab")
    return Study(1, "k" * 64, arms, LEVELS, 0.0)


def answered(rng: np.random.Generator, people: int, *, lead: float = 0.0, spread: float = 0.2) -> dict[int, Outcome]:
    """People of two arms who differ far more than chance of each answer does; the second arm leads by a share of what
    is liked."""
    found = {}
    for number in range(people):
        arm = number % 2
        taste = float(np.clip(rng.normal(0.5, spread), 0, 1))
        liking = float(np.clip(taste + lead * arm, 0, 1))
        answers = int(rng.integers(20, 60))
        ratings = [1.0 + 4 * (rng.random() < liking) for _ in range(answers)]
        shown = [15, 15]
        made = [int(rng.binomial(15, np.clip(taste + lead * by, 0, 1))) for by in (0, 1)]
        told = Outcome(arm, 2 * answers, ratings, answers, sum(each > 3 for each in ratings), answers)
        told.picked, told.shown, told.liked_made = int(rng.binomial(answers, liking)), shown, made
        found[number] = told
    return found


def only(name: str, outcomes: dict[int, Outcome], plan: Plan = QUICK, *, models: bool = True) -> Compared:
    (found,) = compared(study(models=models), outcomes, plan, [name])
    return found


def most_by_chance(level: float, times: int = TIMES) -> int:
    return int(binom.ppf(0.999, times, level))


def test_of_two_equal_arms_none_wins_more_often_than_it_may() -> None:
    wins = naive = 0
    for turn in range(TIMES):
        outcomes = answered(np.random.default_rng((1, turn)), 24)
        wins += any(one.winner is not None for one in compared(study(), outcomes, QUICK))
        by_answer = [np.concatenate([told.ratings for told in outcomes.values() if told.arm == arm]) for arm in (0, 1)]
        naive += ttest_ind(*by_answer).pvalue < 0.05
    assert wins <= most_by_chance(0.05)
    assert naive > 2 * most_by_chance(0.05), "these people are alike in their answers: a test of answers is no test"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "answers"])
def test_one_measure_alone_is_as_strict(name: str) -> None:
    wins = sum(only(name, answered(np.random.default_rng((2, turn)), 20)).winner is not None for turn in range(TIMES))
    assert wins <= most_by_chance(0.05)


def test_the_better_arm_is_found_in_every_measure_of_liking() -> None:
    for lead, better in ((0.25, 1), (-0.25, 0)):
        found = {one.name: one for one in compared(study(), answered(np.random.default_rng(3), 120, lead=lead), QUICK)}
        assert {name: one.winner for name, one in found.items()} == {
            "answers": None, "rating": better, "liked": better, "picked": better, "made": better,
        }  # fmt: skip
        assert all((one.wins.value > 0.5) == bool(better) for name, one in found.items() if name != "answers")


@pytest.mark.parametrize(("name", "models"), [("liked", True), ("rating", True), ("made", False), ("made", True)])
def test_as_many_people_as_are_needed_find_the_effect(name: str, models: bool) -> None:
    """Planned on a pilot without an effect: the effect is then found about as often as was planned."""
    plan = Plan(effect=0.1, power=0.8, resamples=10, permutations=199)
    pilot = only(name, answered(np.random.default_rng(4), 400, spread=0.1), plan, models=models)
    times = 100
    found = [
        only(name, answered(np.random.default_rng((5, turn)), pilot.needed, lead=0.1, spread=0.1), plan, models=models)
        for turn in range(times)
    ]
    assert sum(one.winner == 1 for one in found) >= binom.ppf(0.001, times, 0.75)
    assert sum(one.winner == 1 for one in found) <= binom.ppf(0.999, times, 0.92)
    assert sum(one.winner == 0 for one in found) == 0


def test_people_who_see_both_arms_are_needed_less() -> None:
    outcomes = answered(np.random.default_rng(6), 200)
    assert only("made", outcomes).needed < only("made", outcomes, models=False).needed / 2


def test_the_interval_covers_the_difference_as_often_as_it_says() -> None:
    plan = Plan(resamples=400, permutations=9)
    within = 0
    for turn in range(200):
        found = only("made", answered(np.random.default_rng((7, turn)), 60, lead=0.1, spread=0.1), plan).difference
        within += found.low <= 0.1 <= found.high
    assert within >= binom.ppf(0.001, 200, 0.92)


def test_small_arms_are_permuted_in_full() -> None:
    """3 of 6 people can be chosen in 20 ways, of which 2 are as extreme."""
    outcomes = {number: Outcome(number // 3, answers=number) for number in range(6)}
    one = only("answers", outcomes)
    ways = [
        abs(sum(chosen) / 3 - (15 - sum(chosen)) / 3) >= 3 for chosen in itertools.combinations(range(6), 3)
    ]  # fmt: skip
    assert one.p == pytest.approx(sum(ways) / len(ways))
    assert (one.means, one.difference.value, one.wins.value) == ((1.0, 4.0), 3.0, 1.0)


def test_a_tie_is_half_a_win() -> None:
    one = only("answers", {number: Outcome(number % 2, answers=3) for number in range(8)})
    assert (one.wins.value, one.p, one.winner) == (0.5, 1.0, None)


def test_the_same_seed_gives_the_same_figures() -> None:
    outcomes = answered(np.random.default_rng(8), 30)
    assert compared(study(), outcomes, QUICK) == compared(study(), outcomes, QUICK)


def test_the_p_values_are_corrected_for_the_measures_that_are_compared() -> None:
    outcomes = answered(np.random.default_rng(9), 40, lead=0.08)
    every = {one.name: one for one in compared(study(), outcomes, QUICK)}
    assert only("rating", outcomes).p_holm == only("rating", outcomes).p == every["rating"].p
    assert every["rating"].p_holm > every["rating"].p


def test_measures_that_too_few_people_say_something_of_are_left_out() -> None:
    outcomes = {number: Outcome(number % 2, answers=number) for number in range(6)}
    outcomes[0].ratings = [3.0]
    assert [one.name for one in compared(study(), outcomes, QUICK)] == ["answers"]


def test_where_nobody_rates_the_rest_is_compared() -> None:
    """A source of choices alone has no levels."""
    choices = Study(1, "k" * 64, study().arms, (), 0.0)
    outcomes = {number: Outcome(number % 2, answers=number, offered=4, picked=number % 3) for number in range(8)}
    assert [one.name for one in compared(choices, outcomes, QUICK)] == ["answers", "picked"]


def test_more_measures_need_more_people() -> None:
    """As many as a test at 0.05 divided by their number."""
    outcomes = answered(np.random.default_rng(10), 400)
    every = {one.name: one for one in compared(study(), outcomes, QUICK)}
    deviations = [norm.ppf(1 - level / 2) + norm.ppf(QUICK.power) for level in (0.05, 0.05 / len(NAMES))]
    for name in ("rating", "made"):
        alone = only(name, outcomes)
        assert (alone.level, every[name].level) == (pytest.approx(0.05), pytest.approx(0.05 / len(NAMES)))
        assert every[name].needed / alone.needed == pytest.approx((deviations[1] / deviations[0]) ** 2, rel=0.03)


def test_an_arm_without_people_is_told() -> None:
    with pytest.raises(ValueError, match="nobody has been asked anything in arm B of study 1"):
        compared(study(), {1: Outcome(0, answers=3)}, QUICK)


@pytest.mark.parametrize("given", [{"effect": 0.0}, {"power": 1.0}, {"power": 0.0}])
def test_plans_that_cannot_be_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        Plan(**given)
