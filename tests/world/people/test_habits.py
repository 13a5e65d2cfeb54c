"""prefprior/world/people/habits.py: what people find, and how their ratings follow from their tastes."""

from dataclasses import replace

import numpy as np
import pytest

from prefprior.world.people.habits import FEWEST, MOST, Habits, Rated
from tests.world.people.conftest import Example


def ratings(example: Example) -> list[Rated]:
    return [example.people.ratings(person) for person in range(100)]


def test_users_rate_the_given_number_of_pictures(example: Example) -> None:
    assert all(FEWEST <= len(rated.item_R) <= MOST for rated in ratings(example))


def test_no_picture_is_rated_twice(example: Example) -> None:
    assert all(len(set(rated.item_R)) == len(rated.item_R) for rated in ratings(example))


def test_ratings_are_one_to_five(example: Example) -> None:
    assert set(np.concatenate([rated.rating_R for rated in ratings(example)])) == {1, 2, 3, 4, 5}


def test_times_are_increasing(example: Example) -> None:
    assert all((np.diff(rated.time_R) > 0).all() for rated in ratings(example))


def test_ratings_follow_utility(example: Example) -> None:
    people = example.people
    low, high = [], []
    for person, rated in enumerate(ratings(example)):
        pictures = people.catalogue.take(rated.item_R)
        utility = people.model.utility(people.taste(person), pictures, np.arange(len(pictures)))
        low += list(utility[rated.rating_R <= 2])
        high += list(utility[rated.rating_R >= 4])
    assert np.mean(high) > 0.5 > 0.3 > np.mean(low)


def test_sixteen_ratings_show_nearly_all_modes(example: Example) -> None:
    people = example.people
    shown = []
    for person in range(people.count):
        rated, taste = people.ratings(person), people.taste(person)
        if len(rated.item_R) >= 16 and len(taste) > 1:
            liked = rated.item_R[:16][rated.rating_R[:16] >= 4]
            shown.append(len(set(people.model.mode_of(taste, people.catalogue.take(liked)))) / len(taste))
    assert np.mean(shown) > 0.8


def test_with_sought_0_rated_pictures_are_random(example: Example) -> None:
    people = replace(example.people, habits=Habits(sought=0.0))
    found = people.catalogue.take(np.concatenate([people.ratings(person).item_R for person in range(100)]))
    cosine = np.concatenate([(people.taste(p).modes_KF @ found.view_NF[:20].T).ravel() for p in range(100)])
    assert abs(cosine.mean()) < 0.05


def test_most_of_what_was_looked_for_is_liked_better_than_what_was_shown(example: Example) -> None:
    rated = ratings(example)
    shown = np.concatenate([one.shown_R for one in rated])
    assert 0.35 < shown.mean() < 0.6  # 40 %, and more where all that is near has been seen
    liked = np.concatenate([one.rating_R for one in rated]) >= 4
    assert liked[~shown].mean() > 0.4 > 0.1 > liked[shown].mean()


@pytest.mark.parametrize(
    ("arguments", "message"), [({"sought": 1.5}, "sought"), ({"reach": 0.0}, "reach"), ({"noise": -0.1}, "noise")]
)
def test_impossible_habits_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Habits(**arguments)
