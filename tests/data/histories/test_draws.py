"""prefprior/data/histories/draws.py: histories and targets, disjoint and each as likely as stated."""

import numpy as np
import pytest

from prefprior.data.hashing import mix
from prefprior.data.histories.draws import Draw, DrawRule, draw, is_of_shown

COUNTS = np.tile([1, 2, 3, 5, 8, 40, 400], 200)
KEYS = mix(np.arange(len(COUNTS)))


def past_of(known: bool) -> np.ndarray:
    return COUNTS - np.maximum(COUNTS // 3, 1) if known else np.zeros_like(COUNTS)


@pytest.fixture(params=[("set", False), ("set", True), ("time", False), ("time", True)], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[DrawRule, np.ndarray, Draw]:
    """A rule, how many ratings may only be history, and what was drawn."""
    order, known = request.param
    rule, past = DrawRule(history_cap=16, targets_per_user=4, order=order), past_of(known)
    return rule, past, draw(rule, COUNTS, past, KEYS)


def rows(position_BX: np.ndarray) -> list[list[int]]:
    return [row[row >= 0].tolist() for row in position_BX]


def test_no_rating_is_drawn_twice(case: tuple[DrawRule, np.ndarray, Draw]) -> None:
    drawn = case[2]
    for history, target in zip(rows(drawn.history_BK), rows(drawn.target_BT), strict=True):
        assert len(set(history + target)) == len(history) + len(target)


def test_draws_have_the_size_that_the_rule_allows(case: tuple[DrawRule, np.ndarray, Draw]) -> None:
    rule, _, drawn = case
    assert max(map(len, rows(drawn.history_BK))) == rule.history_cap
    assert {len(target) for target in rows(drawn.target_BT)} <= set(range(1, rule.targets_per_user + 1))


def test_all_drawn_positions_exist(case: tuple[DrawRule, np.ndarray, Draw]) -> None:
    drawn = case[2]
    assert (np.maximum(drawn.history_BK.max(1), drawn.target_BT.max(1)) < COUNTS).all()


def test_history_only_and_target_only_ratings_are_respected(
    case: tuple[DrawRule, np.ndarray, Draw],
) -> None:
    _, past, drawn = case
    for history, target, own in zip(rows(drawn.history_BK), rows(drawn.target_BT), past, strict=True):
        assert own == 0 or (max(history, default=-1) < own <= min(target))


@pytest.mark.parametrize("known", [False, True])
def test_in_order_of_time_targets_follow_the_history(known: bool) -> None:
    drawn = draw(DrawRule(history_cap=16, targets_per_user=4, order="time"), COUNTS, past_of(known), KEYS)
    for history, target in zip(rows(drawn.history_BK), rows(drawn.target_BT), strict=True):
        assert max(history, default=-1) < min(target)


@pytest.mark.parametrize("known", [False, True])
def test_in_order_of_time_the_most_recent_comes_first(known: bool) -> None:
    drawn = draw(DrawRule(history_cap=16, targets_per_user=4, order="time"), COUNTS, past_of(known), KEYS)
    for history in rows(drawn.history_BK):
        assert not history or history == list(range(history[0], history[0] - len(history), -1))


def test_histories_of_what_was_shown_are_as_frequent_as_stated() -> None:
    assert is_of_shown(DrawRule(shown_histories=0.3), mix(np.arange(4000))).mean() == pytest.approx(0.3, abs=0.03)
    assert not is_of_shown(DrawRule(), mix(np.arange(4000))).any()


def test_histories_of_what_was_shown_are_not_in_order_of_time() -> None:
    with pytest.raises(ValueError, match="order=set, or leave shown_histories out"):
        DrawRule(shown_histories=0.3, order="time")


def test_a_draw_does_not_depend_on_its_batch(case: tuple[DrawRule, np.ndarray, Draw]) -> None:
    rule, past, drawn = case
    alone = draw(rule, COUNTS[5:6], past[5:6], KEYS[5:6])
    assert rows(alone.history_BK) == rows(drawn.history_BK[5:6])
    assert rows(alone.target_BT) == rows(drawn.target_BT[5:6])


@pytest.fixture(scope="module")
def many() -> Draw:
    """12,000 draws from twelve ratings each."""
    count = np.full(12000, 12)
    return draw(DrawRule(history_cap=8, targets_per_user=3), count, np.zeros_like(count), mix(np.arange(12000)))


def test_every_rating_becomes_a_target_equally_often(many: Draw) -> None:
    counts = np.bincount(many.target_BT[many.target_BT >= 0], minlength=12)
    assert np.abs(counts / counts.mean() - 1).max() < 0.08


def test_half_of_the_histories_are_shortened_to_a_random_length(many: Draw) -> None:
    lengths = (many.history_BK >= 0).sum(1)
    assert set(lengths) == set(range(1, 9))
    assert 0.5 < (lengths == 8).mean() < 0.62  # half keep all, and one in eight of the shortened ones does


def test_an_unknown_order_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean time"):
        DrawRule(history_cap=4, targets_per_user=1, order="times")


def test_a_history_cap_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        DrawRule(history_cap=0, targets_per_user=1)
