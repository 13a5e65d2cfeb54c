"""Figures of sessions: means over seeds and users, and what more answers changed."""

import pytest

from prefprior.elicitation.figures import figures_of, harm, lines_of
from prefprior.elicitation.session import Sessions

NONE = float("nan")


def sessions(one: list[float], two: list[float]) -> Sessions:
    users = [f"u{user}" for user in range(len(one))]
    return Sessions(users, {1: [{"utility": x} for x in one], 2: [{"utility": x} for x in two]})


def test_a_figure_is_the_mean_over_users_of_their_means_over_seeds() -> None:
    """The second user has no figure with one of the seeds."""
    found = {"way": [sessions([0.0, 0.4], [1.0, 1.0]), sessions([0.2, NONE], [1.0, 1.0])]}
    figures, _ = figures_of(found, 2, 0)
    assert figures["way/utility@1"].value == pytest.approx((0.1 + 0.4) / 2)
    assert figures["way/utility@1"].people == 2


def test_a_gain_is_the_paired_difference_to_half_as_many_answers() -> None:
    _, gains = figures_of({"way": [sessions([0.0, 0.4], [0.3, 0.7])]}, 2, 0)
    gain = gains["way/utility_gain@2"]
    assert [gain.value, gain.low, gain.high] == pytest.approx([0.3] * 3)


def test_answers_that_make_things_worse_are_named() -> None:
    before, worse = [0.5, 0.6, 0.7, 0.8], [0.1, 0.21, 0.29, 0.42]
    _, gains = figures_of({"bad": [sessions(before, worse)], "good": [sessions(worse, before)]}, 4, 0)
    assert gains["bad/utility_gain@2"].p_holm < 0.001
    (told,) = harm(gains, "utility")
    assert told.startswith("answers hurt: bad/utility_gain@2 -0.395 [")
    assert told.endswith("(Holm, 2 comparisons)")


def test_a_loss_that_may_be_chance_is_not_named() -> None:
    """One interval of many is below 0 by chance: only together do the comparisons keep their level."""
    some, fewer = [0.5, 0.6, 0.7, 0.8], [0.48, 0.55, 0.72, 0.6]
    ways = {f"way{number}": [sessions(some, fewer)] for number in range(9)}
    _, gains = figures_of(ways, 4, 0)
    assert harm(gains, "utility") == ["no gain of utility is below 0 (Holm, 9 comparisons)"]


def test_nothing_is_said_where_nothing_was_compared() -> None:
    assert harm({}, "utility") == []


def test_what_nobody_has_is_no_figure() -> None:
    figures, gains = figures_of({"way": [sessions([NONE, NONE], [0.1, 0.2])]}, 2, 0)
    assert figures.keys() == {"way/utility@2"}
    assert not gains


def test_lines_are_by_way_and_number_of_answers() -> None:
    figures, _ = figures_of({"a_1": [sessions([0.1], [0.2])], "b_9+none": [sessions([0.3], [0.4])]}, 1, 0)
    lines = lines_of(figures, "utility")
    assert {way: {after: round(f.value, 3) for after, f in line.items()} for way, line in lines.items()} == {
        "a_1": {1: 0.1, 2: 0.2}, "b_9+none": {1: 0.3, 2: 0.4},
    }  # fmt: skip
    assert not lines_of(figures, "util")
