"""prefprior/world/people/population.py: a person follows from the seed and their number alone."""

from dataclasses import replace

import numpy as np
import pytest

from tests.world.people.conftest import Example


@pytest.mark.parametrize("person", [0, 7])
def test_ratings_do_not_depend_on_the_number_of_users(example: Example, person: int) -> None:
    few, many = example.people.ratings(person), replace(example.people, count=5000).ratings(person)
    assert all(np.array_equal(one, other) for one, other in zip(few, many, strict=True))


@pytest.mark.parametrize("person", [0, 7])
def test_tastes_do_not_depend_on_the_number_of_users(example: Example, person: int) -> None:
    many = replace(example.people, count=5000)
    assert np.array_equal(example.people.taste(person).modes_KF, many.taste(person).modes_KF)


def test_another_seed_gives_other_users(example: Example) -> None:
    other = replace(example.people, seed=1)
    assert not np.array_equal(example.people.ratings(0).item_R[:8], other.ratings(0).item_R[:8])
