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


def chosen(example: Example) -> list[Rated]:
    people = replace(example.people, choices=1.0)
    return [people.ratings(person) for person in range(100)]


def test_who_chooses_is_shown_new_pictures_in_grids(example: Example) -> None:
    for rated in chosen(example):
        assert rated.question_R is not None
        assert set(np.bincount(rated.question_R)) == {9}
        assert len(set(rated.item_R)) == len(rated.item_R)
        assert rated.shown_R.all()
        assert all(len(set(rated.time_R[rated.question_R == q])) == 1 for q in range(rated.answers))
    assert 3 <= min(rated.answers for rated in chosen(example)) <= max(rated.answers for rated in chosen(example)) <= 40


def test_at_most_one_is_picked_and_it_is_nearly_the_best(example: Example) -> None:
    people, gaps, picks = example.people, [], []
    for person, rated in enumerate(chosen(example)):
        assert rated.question_R is not None
        utility_R = people.model.utility(people.taste(person), people.catalogue.take(rated.item_R), rated.question_R)
        for q in range(rated.answers):
            utility_G, picked_G = utility_R[rated.question_R == q], rated.rating_R[rated.question_R == q] == 5
            assert picked_G.sum() <= 1
            picks.append(picked_G.any())
            if picked_G.any():
                gaps.append(utility_G.max() - utility_G[picked_G][0])
    assert np.mean(gaps) < 0.05
    assert 0.1 < np.mean(picks) < 0.6  # of nine random pictures often none is worth a 4


def test_a_grid_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="grid must be at least 2"):
        Habits(grid=1)
