"""Visitors whose requests mix in any order are kept apart: what each sees follows from their own requests alone."""

import random
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.studio.visiting import Person

VISITORS, STEPS = 3, 24


def act(person: Person, draws: random.Random, answers: int) -> int:
    """One request; returns how many answers there should be after it."""
    kind = draws.choice(["answer", "answer", "answer", "undo", "strip"])
    if kind == "answer":
        assert person.answer("1", draws.choice(["nine", "pair", "rate"])).status_code == 303
        return answers + 1
    if kind == "undo":
        assert person.post("/undo").status_code == 303
        return max(answers - 1, 0)
    person.strip()
    return answers


@pytest.mark.parametrize("seed", range(4))
def test_counts_questions_and_pictures_are_each_ones_own(visit: Callable[[], TestClient], seed: int) -> None:
    draws = random.Random(seed)
    people = [Person(visit()) for _ in range(VISITORS)]
    counted = [0] * VISITORS
    for _ in range(STEPS):
        number = draws.randrange(VISITORS)
        counted[number] = act(people[number], draws, counted[number])
        assert [person.answers() for person in people] == counted
    questions = [person.fields()["question"] for person in people]
    assert len(set(questions)) == VISITORS
    for one, question in zip(people, questions, strict=True):
        for other in people:
            if other is not one:
                assert other.answer("1", question=question).status_code == 404
    assert [person.answers() for person in people] == counted
