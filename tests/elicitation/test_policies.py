"""Policies: what each shows, where it can be told what it should."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.policies.directed import Directed
from prefprior.elicitation.policies.eubo import Eubo
from prefprior.elicitation.policies.information import Information
from prefprior.elicitation.policies.mcmv import Mcmv
from prefprior.elicitation.policies.policy import Policy, Situation
from prefprior.elicitation.policies.random import Random
from prefprior.elicitation.policies.roam import Roam
from prefprior.elicitation.policies.thompson import Thompson, favourites
from prefprior.elicitation.questions import Kind
from tests.elicitation.conftest import situation

EVERY = (Random(), Roam(), Thompson(), Information(proposals=200, starts=4), Eubo(), Mcmv(), Directed())


def two_camps() -> Tensor:
    """Three tastes like items 0 and 1, two like items 2 and 3; all like 4 a little; nobody likes the others."""
    utility_PN = torch.zeros(5, 12)
    utility_PN[:3, :2] = torch.tensor([2.0, 1.9])
    utility_PN[3:, 2:4] = torch.tensor([2.0, 1.9])
    utility_PN[:, 4] = 0.8
    return utility_PN


@pytest.mark.parametrize("policy", EVERY, ids=lambda policy: type(policy).__name__)
@pytest.mark.parametrize("shown", [1, 2, 5])
def test_shown_are_different_open_items(policy: Policy, shown: int, draws: torch.Generator) -> None:
    if not policy.fewest <= shown <= policy.most:
        with pytest.raises(ValueError, match=f"not of {shown}"):
            policy.require(Kind(shown))
        return
    open_N = torch.ones(12, dtype=torch.bool)
    open_N[[0, 2, 7]] = False
    for _ in range(20):
        items = policy.choose(situation(two_camps(), shown, open_N=open_N), draws)
        assert len(set(items)) == len(items) == shown
        assert open_N[items].all()


@pytest.mark.parametrize("policy", EVERY, ids=lambda policy: type(policy).__name__)
def test_pictures_that_are_alike_are_not_shown_together(policy: Policy, draws: torch.Generator) -> None:
    """Items 0 and 1 are the same picture, and 2 and 3."""
    direction_ND = torch.eye(12)
    direction_ND[1], direction_ND[3] = direction_ND[0], direction_ND[2]
    for _ in range(20):
        items = set(policy.choose(situation(two_camps(), 2, direction_ND=direction_ND), draws))
        assert not items >= {0, 1}
        assert not items >= {2, 3}


def crowd(people: int, shown: int, **changes: Any) -> list[Situation]:
    """People with tastes, weights and open items of their own; to the last one hardly any are left."""
    g = torch.Generator().manual_seed(3)
    found = []
    for number in range(people):
        utility_PN = torch.randn(40, 300, generator=g)
        open_N = torch.rand(300, generator=g) < (0.7 if number < people - 1 else 0.03)
        weight_P = (3 * torch.randn(40, generator=g)).softmax(0)
        found.append(situation(utility_PN, shown, open_N=open_N, weight_P=weight_P, **changes))
    return found


def seeds(people: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in range(people)]


@pytest.mark.parametrize("policy", EVERY, ids=lambda policy: type(policy).__name__)
@pytest.mark.parametrize("shown", [1, 2, 5])
def test_several_people_are_asked_what_each_alone_would_be(policy: Policy, shown: int) -> None:
    if policy.fewest <= shown <= policy.most:
        people = crowd(6, shown)
        alone = [policy.choose(each, draws) for each, draws in zip(people, seeds(6), strict=True)]
        assert policy.choose_all(people, seeds(6)) == alone
        back = policy.choose_all(people[::-1], seeds(6)[::-1])
        assert back[::-1] == alone, "whoever else waits, in whatever order"


@pytest.mark.parametrize("policy", [Thompson(), Information(proposals=200, starts=4)], ids=["thompson", "information"])
@pytest.mark.parametrize("kept", [300, 40, 12])
def test_favourites_that_are_known_change_nothing(policy: Policy, kept: int) -> None:
    """Also where too few of them can still be shown."""
    for alone in crowd(4, 5):
        known = replace(alone, favourite_PK=alone.utility_PN.topk(kept).indices.int())
        one, other = (policy.choose(each, torch.Generator().manual_seed(1)) for each in (alone, known))
        assert one == other


def test_favourites_are_found_however_many_of_them_were_shown(draws: torch.Generator) -> None:
    """Taste 0 has lost a few of its first 32, taste 1 all of these, taste 2 all that are kept."""
    asked = situation(torch.randn(3, 600, generator=draws), 5)
    order_PN = asked.utility_PN.argsort(dim=1, descending=True)
    asked.open_N[order_PN[0, :5]] = False
    asked.open_N[order_PN[1, :40]] = False
    asked.open_N[order_PN[2, :256]] = False
    row_P = torch.tensor([2, 0, 1, 0, 2])
    open_PN = torch.where(asked.open_N, asked.utility_PN, -torch.inf)
    known = replace(asked, favourite_PK=order_PN[:, :256].int())
    assert torch.equal(favourites(known, row_P), open_PN.topk(10, dim=1).indices[row_P])


def test_where_all_are_alike_a_question_is_asked_all_the_same(draws: torch.Generator) -> None:
    same = situation(two_camps(), 3, direction_ND=torch.ones(12, 1))
    assert len(set(Thompson().choose(same, draws))) == 3


def test_roam_shows_what_is_expected_to_please_most(draws: torch.Generator) -> None:
    assert Roam().choose(situation(two_camps(), 2), draws) == [0, 1]


def test_weights_decide_what_is_expected(draws: torch.Generator) -> None:
    sure = torch.tensor([0.0, 0, 0, 0.5, 0.5])
    assert Roam().choose(situation(two_camps(), 2, weight_P=sure), draws) == [2, 3]


def test_eubo_has_something_for_every_camp(draws: torch.Generator) -> None:
    assert Eubo().choose(situation(two_camps(), 2), draws) == [0, 2]


def test_thompson_shows_favourites_by_weight(draws: torch.Generator) -> None:
    first = [Thompson().choose(situation(two_camps(), 1), draws)[0] for _ in range(300)]
    assert set(first) == {0, 2}
    assert first.count(0) / 300 == pytest.approx(0.6, abs=0.09)


@pytest.mark.parametrize("shown", [1, 2, 3])
def test_information_asks_what_tells_camps_apart(shown: int, draws: torch.Generator) -> None:
    items = Information(proposals=400, starts=4).choose(situation(two_camps(), shown), draws)
    assert set(items) & {0, 1, 2, 3}
    if shown > 1:
        assert set(items) & {0, 1}
        assert set(items) & {2, 3}


def test_mcmv_asks_a_pair_that_divides_tastes(draws: torch.Generator) -> None:
    first, second = sorted(Mcmv(pairs=3000).choose(situation(two_camps(), 2), draws))
    assert first in (0, 1)
    assert second in (2, 3)


def strangers() -> Tensor:
    """Two camps, each with a picture that it alone loves, item 0 or 1. Items 2 and 3 tell the camps apart as well, and
    please nobody. Item 4 pleases all. Item 5 divides both camps alike."""
    camp_P = torch.arange(64) % 2 == 0
    utility_PN = torch.full((64, 6), -2.0)
    for first, second, loved, other in ((0, 1, 3.0, -2.0), (2, 3, 0.0, -5.0)):
        utility_PN[:, first] = torch.where(camp_P, loved, other)
        utility_PN[:, second] = torch.where(camp_P, other, loved)
    utility_PN[:, 4] = torch.where(camp_P, 0.7, 0.6)
    utility_PN[torch.arange(64) % 4 < 2, 5] = 2.5
    return utility_PN


def test_directed_asks_what_says_which_picture_is_best(draws: torch.Generator) -> None:
    """Neither what pleases most on average nor, of what says as much, what pleases less."""
    asked = situation(strangers(), 1)
    assert Roam().choose(asked, draws) == [4]
    assert {Directed().choose(asked, draws)[0] for _ in range(10)} <= {0, 1}


def test_directed_does_not_ask_what_says_nothing_about_the_best(draws: torch.Generator) -> None:
    """What divides both camps alike is information, but not on which picture is the best."""
    asked = situation(strangers(), 1, open_N=torch.tensor([False, False, False, False, True, True]))
    assert Information().choose(asked, draws) == [5]
    assert Directed().choose(asked, draws) == [4]


def test_directed_shows_the_best_to_those_whose_taste_is_known(draws: torch.Generator) -> None:
    one_camp_P = (torch.arange(64) % 2 == 0) / 32
    assert Directed().choose(situation(strangers(), 1, weight_P=one_camp_P), draws) == [0]


def test_the_regret_of_directed_is_about_what_can_still_be_shown(draws: torch.Generator) -> None:
    """With the favourites of both camps closed, item 4 is the best that is left: nothing is lost by showing it."""
    asked = situation(strangers(), 1, open_N=torch.tensor([False, False, True, True, True, False]))
    assert Directed().choose(asked, draws) == [4]


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match=r"policy\.rivals must be at least 2"):
        Directed(rivals=1)
    with pytest.raises(ValueError, match=r"policy\.tastes must be at least 2"):
        Information(tastes=1)


def test_no_slot_of_a_grid_could_be_filled_much_better(draws: torch.Generator) -> None:
    """Alternatives are compared as if every answer said something; here, a tenth say nothing."""
    utility_PN = torch.randn(64, 40, generator=draws)
    model, kind = AnswerModel(temperature=0.4, lapse=0.1), Kind(5)
    asked = situation(utility_PN, 5, model=model)
    policy = Information(proposals=5 * 40, tastes=4096)  # all alternatives, and all tastes many times
    items = policy.choose(asked, draws)

    def information(grid: list[int]) -> float:
        return float(model.information(utility_PN[:, None, grid], asked.weight_P, kind))

    last = max(information([*items[:4], other]) for other in range(40) if other not in items[:4])
    assert information(items) > 0.99 * last
