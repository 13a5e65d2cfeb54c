"""Sessions: questions and answers in turn, judged in between; without a network."""

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.asker import Asker
from prefprior.elicitation.belief import Belief, Moves
from prefprior.elicitation.policies.random import Random
from prefprior.elicitation.posterior import Posterior
from prefprior.elicitation.questions import Answer, Kind, Question
from prefprior.elicitation.session import Asked, Sessions, run_sessions

ITEMS, TASTES = 12, 5
PAIRS = Asker(policy=Random(), kind=Kind(2))


class First:
    """Picks what stands first; keeps what it was asked."""

    def __init__(self, user: str, hidden: tuple[int, ...] = ()) -> None:
        self.user, self.hidden = user, hidden
        self.asked: list[tuple[int, ...]] = []

    def answer(self, question: Question) -> Answer:
        self.asked.append(question.items)
        return question.chosen([question.items[0]])


class Draws:
    """Judges by a random number, and makes it too."""

    def judge(self, belief: Posterior, generator: torch.Generator) -> tuple[dict[str, float], Tensor | None]:
        number = torch.rand(1, generator=generator)
        return {"number": float(number)}, number


def asked(user: str, hidden: tuple[int, ...] = (), items: int = ITEMS) -> Asked:
    def belief() -> Belief:
        utility_PN = torch.randn(TASTES, items, generator=torch.Generator().manual_seed(1))
        tastes: Any = range(TASTES)  # no more is asked of them than how many they are
        return Belief(tastes, torch.eye(items), utility_PN, AnswerModel(temperature=0.3), Moves(below=0))

    return Asked(First(user, hidden), Draws(), belief, torch.eye(items), torch.arange(items))


def questions(one: Asked) -> list[tuple[int, ...]]:
    return cast(First, one.person).asked


def counts(found: Sessions) -> dict[int, float]:
    return {after: figures[0]["answers"] for after, figures in found.figures.items()}


def test_users_are_judged_after_so_many_answers() -> None:
    found = run_sessions(PAIRS, [asked("a"), asked("b")], [0, 2, 3], seed=0)
    assert counts(found) == {0: 0, 2: 2, 3: 3}
    assert [len(figures) for figures in found.figures.values()] == [2, 2, 2]
    assert len(found.answers["b"]) == 3


def test_what_a_user_is_asked_does_not_depend_on_the_others() -> None:
    alone, beside = asked("b"), asked("b")
    one = run_sessions(PAIRS, [alone], [0, 2], seed=0)
    both = run_sessions(PAIRS, [asked("a"), beside], [0, 2], seed=0)
    assert questions(alone) == questions(beside)
    assert [figures[0] for figures in one.figures.values()] == [figures[1] for figures in both.figures.values()]


def test_another_seed_asks_other_questions() -> None:
    first, second = asked("a"), asked("a")
    run_sessions(PAIRS, [first], [4], seed=0)
    run_sessions(PAIRS, [second], [4], seed=1)
    assert questions(first) != questions(second)


def test_no_item_is_shown_twice_and_then_no_more_is_asked() -> None:
    one = asked("a", items=5)
    assert counts(run_sessions(PAIRS, [one], [1, 2, 6], seed=0)) == {1: 1, 2: 2, 6: 2}
    shown = [item for question in questions(one) for item in question]
    assert len(set(shown)) == len(shown) == 4


def test_who_is_out_of_patience_answers_no_more() -> None:
    assert counts(run_sessions(PAIRS, [asked("a")], [1, 5], seed=0, patience=2)) == {1: 1, 5: 2}


def test_every_question_shows_one_hidden_like() -> None:
    one = asked("a", hidden=(3, 7, 8))
    found = run_sessions(PAIRS, [one], [5], seed=0)
    assert [sum(item in (3, 7, 8) for item in question) for question in questions(one)] == [1, 1, 1]
    assert counts(found) == {5: 3}


def test_what_was_made_is_kept_where_it_is_wanted() -> None:
    found = run_sessions(PAIRS, [asked("a"), asked("b")], [0, 1], seed=0, keep_made=[1])
    assert list(found.made) == [1]
    assert [float(made) for made in found.made[1]] == pytest.approx([each["number"] for each in found.figures[1]])
