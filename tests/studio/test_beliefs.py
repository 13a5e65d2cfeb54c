"""Beliefs follow from the answers in the store alone, whether they were in memory or not."""

import pytest
import torch

from prefprior.elicitation.belief import Belief
from prefprior.elicitation.cast import Cast, Pool
from prefprior.predictor import Catalogue
from prefprior.studio.beliefs import Beliefs, Known, state_of
from prefprior.studio.store.impressions import Given, Impression


def answers(catalogue: Catalogue, count: int) -> list[Impression]:
    """Choices among three, each of the first."""
    return [
        Impression(i + 1, "nine", "3", tuple(catalogue.ids[3 * i : 3 * i + 3]), 100 + i, 0.0, Given(picked=(0,)))
        for i in range(count)
    ]


@pytest.fixture
def beliefs(cast: Cast, pool: Pool) -> Beliefs:
    return Beliefs(cast, pool, most=2)


def settled(beliefs: Beliefs, told: list[Impression], profile: int = 1) -> Belief:
    """After all looks of the network."""
    while (look := (now := beliefs.of(profile, told)).look) is not None:
        beliefs.looked(look, look.taken())
    return now.belief


def require_same(one: Belief, other: Belief) -> None:
    assert torch.equal(one.weight_P, other.weight_P)
    assert torch.equal(one.utility_PN, other.utility_PN)
    assert one.answers == other.answers


def test_one_by_one_is_the_same_as_from_the_store(
    beliefs: Beliefs, cast: Cast, pool: Pool, catalogue: Catalogue
) -> None:
    told = answers(catalogue, 8)
    for count in range(len(told)):
        settled(beliefs, told[:count])
    belief = settled(beliefs, told)
    assert len(belief.tastes) == 16, "the network has looked again"
    require_same(belief, settled(Beliefs(cast, pool), told))


def test_what_is_answered_before_a_look_is_no_different(
    beliefs: Beliefs, cast: Cast, pool: Pool, catalogue: Catalogue
) -> None:
    told = answers(catalogue, 8)
    for count in range(len(told)):
        beliefs.of(1, told[:count])
    now = beliefs.of(1, told)
    assert now.look is not None
    assert len(now.belief.answers) == 8, "all are taken into account meanwhile"
    require_same(settled(beliefs, told), settled(Beliefs(cast, pool), told))


def test_an_answer_that_waits_for_a_look_is_read_once(
    beliefs: Beliefs, cast: Cast, pool: Pool, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, read = answers(catalogue, 8), list[Impression]()
    observe = beliefs._observe

    def noted(belief: Belief, known: Known, one: Impression) -> None:
        read.append(one)
        observe(belief, known, one)

    monkeypatch.setattr(beliefs, "_observe", noted)
    for count in range(len(told) + 1):
        now = beliefs.of(1, told[:count])
    assert now.look is not None
    assert read == told
    left = told[:-2]
    now = beliefs.of(1, left)
    assert now.look is not None, "what was undone had waited"
    require_same(now.belief, Beliefs(cast, pool).of(1, left).belief)
    require_same(settled(beliefs, left), settled(Beliefs(cast, pool), left))


def test_an_answer_that_cannot_be_read_leaves_nothing_while_a_look_is_awaited(
    beliefs: Beliefs, cast: Cast, pool: Pool, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = answers(catalogue, 8)
    assert beliefs.of(1, told[:6]).look is not None
    with monkeypatch.context() as broken:
        broken.setattr(Belief, "observe", lambda self, answer: self.answers.append(answer) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            beliefs.of(1, told[:7])
    require_same(beliefs.of(1, told).belief, Beliefs(cast, pool).of(1, told).belief)


def test_a_look_that_comes_too_late_changes_nothing(beliefs: Beliefs, catalogue: Catalogue) -> None:
    told = answers(catalogue, 8)
    look = beliefs.of(1, told).look
    assert look is not None
    fresh = settled(beliefs, told[:1])
    beliefs.looked(look, look.taken())
    require_same(fresh, beliefs.of(1, told[:1]).belief)


def test_an_undone_answer_leaves_nothing(beliefs: Beliefs, cast: Cast, pool: Pool, catalogue: Catalogue) -> None:
    told = answers(catalogue, 4)
    settled(beliefs, told)
    left = [told[0], *told[2:]]
    require_same(settled(beliefs, left), settled(Beliefs(cast, pool), left))


def test_the_longest_unseen_profile_is_forgotten(beliefs: Beliefs, catalogue: Catalogue) -> None:
    for profile in (1, 2, 1, 3):
        beliefs.of(profile, answers(catalogue, 1))
    assert list(beliefs._kept) == [1, 3]


def test_a_forgotten_profile_is_not_in_memory(beliefs: Beliefs, catalogue: Catalogue) -> None:
    beliefs.of(1, answers(catalogue, 1))
    beliefs.forget(1)
    assert len(beliefs) == 0


def test_profiles_are_believed_apart(beliefs: Beliefs, catalogue: Catalogue) -> None:
    told = answers(catalogue, 3)
    beliefs.of(1, told)
    assert beliefs.of(2, []).belief.answers == []


def test_items_outside_the_pool_are_read_too(beliefs: Beliefs, catalogue: Catalogue) -> None:
    """They were shown by another checkpoint, or from another seed."""
    outside = Impression(9, "pair", "2", (catalogue.ids[230], catalogue.ids[3]), 5, 0.0, Given(picked=(0,)))
    beliefs.of(1, answers(catalogue, 1))
    assert len(beliefs.of(1, [*answers(catalogue, 1), outside]).belief.answers) == 2


def test_items_that_are_gone_are_left_out(beliefs: Beliefs, catalogue: Catalogue) -> None:
    gone = Impression(9, "pair", "2", ("gone", catalogue.ids[3]), 5, 0.0, Given(picked=(0,)))
    assert len(beliefs.of(1, [gone, *answers(catalogue, 1)]).belief.answers) == 1


def test_a_rating_is_the_nearest_level(beliefs: Beliefs, catalogue: Catalogue) -> None:
    rated = Impression(9, "rate", "1", (catalogue.ids[3],), 5, 0.0, Given(rating=4.0))
    assert beliefs.of(1, [rated]).belief.answers[0].level == 3


def test_a_state_says_what_is_known(catalogue: Catalogue) -> None:
    told = answers(catalogue, 2)
    other = [told[0], Impression(2, "nine", "3", told[1].items, 101, 0.0, Given(picked=(1,)))]
    states = {state_of("m", []), state_of("m", told), state_of("m", told[:1]), state_of("m", other), state_of("n", [])}
    assert len(states) == 5
