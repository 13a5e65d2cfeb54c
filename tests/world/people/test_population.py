"""prefprior/world/people/population.py: who looks for pictures, and what others say of what they are shown."""

from dataclasses import replace

import numpy as np

from tests.world.people.conftest import Example


def test_a_share_of_the_users_looks_for_nothing(example: Example) -> None:
    people = replace(example.people, shown=0.3)
    shown = [people.ratings(person).shown_R for person in range(200)]
    nothing = np.array([one.all() for one in shown])
    assert abs(nothing.mean() - 0.3) < 0.1
    assert 0.3 < np.mean([one.mean() for one in np.array(shown, dtype=object)[~nothing]]) < 0.55


def test_a_larger_share_keeps_everybody_else_as_they_are(example: Example) -> None:
    few, many = replace(example.people, shown=0.3), replace(example.people, shown=0.6)
    for person in range(60):
        assert many.looks_for_nothing(person) or not few.looks_for_nothing(person)
        same = many.looks_for_nothing(person) == few.looks_for_nothing(person)
        assert np.array_equal(few.ratings(person).item_R, many.ratings(person).item_R) == same


def test_random_pictures_are_new_and_rated_by_the_same_taste(example: Example) -> None:
    people, utility = example.people, []
    for person in range(60):
        without = np.arange(0, 1500, 2)
        row_R, rating_R = people.rate_at_random(person, 40, without)
        assert len(set(row_R)) == 40
        assert not np.isin(row_R, without).any()
        of = people.model.utility(people.taste(person), people.catalogue.take(row_R), 50)
        utility += list(zip(of, rating_R, strict=True))
    value, rating = np.array(utility).T
    assert value[rating >= 4].mean() > 0.5 > 0.2 > value[rating <= 2].mean()
    assert (rating >= 4).mean() < 0.15  # nobody looked for them


def test_fewer_random_pictures_are_the_first_of_more(example: Example) -> None:
    nothing = np.array([], dtype=int)
    few, many = (example.people.rate_at_random(3, count, nothing) for count in (5, 20))
    assert np.array_equal(few[0], many[0][:5])
    assert np.array_equal(few[1], many[1][:5])


def test_a_larger_share_of_choosers_keeps_everybody_else_as_they_are(example: Example) -> None:
    few, many = replace(example.people, choices=0.3), replace(example.people, choices=0.6)
    assert 0.15 < np.mean([few.chooses(person) for person in range(200)]) < 0.45
    for person in range(60):
        assert many.chooses(person) or not few.chooses(person)
        if not many.chooses(person):
            assert np.array_equal(many.ratings(person).item_R, example.people.ratings(person).item_R)
            assert many.ratings(person).question_R is None
