"""prefprior/world/people/tastes.py: tastes are exact, and far apart where they have several modes."""

import numpy as np
import pytest

from prefprior.world.people.tastes import Perceived, Perception, Taste, unit
from tests.world.people.conftest import Example


def tastes(example: Example) -> list[Taste]:
    return [example.people.taste(person) for person in range(example.people.count)]


def test_users_have_one_to_four_modes(example: Example) -> None:
    assert {len(taste) for taste in tastes(example)} == {1, 2, 3, 4}


def test_modes_are_unit_vectors(example: Example) -> None:
    assert all(np.allclose(np.linalg.norm(taste.modes_KF, axis=1), 1) for taste in tastes(example))


def test_each_mode_is_near_its_school(example: Example) -> None:
    schools_SF = example.people.schools_SF
    assert all(((taste.modes_KF * schools_SF[taste.school_K]).sum(1) > 0.9).all() for taste in tastes(example))


def test_no_two_modes_share_a_school(example: Example) -> None:
    assert all(len(set(taste.school_K)) == len(taste) for taste in tastes(example))


def test_two_modes_are_far_apart(example: Example) -> None:
    schools_SF, most = example.people.schools_SF, example.people.model.max_mode_cosine
    pairs = [taste.school_K for taste in tastes(example) if len(taste) == 2]
    assert all(schools_SF[one] @ schools_SF[other] <= most for one, other in pairs)


def test_utility_is_the_maximum_over_modes(example: Example) -> None:
    model, taste = example.people.model, example.people.taste(1)
    pictures = example.perception.perceive(example.catalogue_ND[:50])
    assert np.array_equal(model.utility(taste, pictures, 5), model.utility_of_modes(taste, pictures, 5).max(1))


def test_utility_saturates_between_0_and_1(example: Example) -> None:
    pictures = example.perception.perceive(example.catalogue_ND[:50])
    utility = example.people.model.utility_of_modes(example.people.taste(1), pictures, 5)
    assert ((utility > 0) & (utility < 1)).all()


def test_utility_follows_the_formula_of_the_module(example: Example) -> None:
    model, taste, (k, n) = example.people.model, example.people.taste(1), (0, 3)
    pictures = example.perception.perceive(example.catalogue_ND[:50])
    cosine = pictures.view_NF[n] @ taste.modes_KF[k]
    pull = (cosine - taste.threshold_K[k]) / model.width + taste.quality_share * pictures.quality_N[n]
    weight = 1 - model.drift * (1 - np.cos(5 * 2 * np.pi / model.period + taste.phase_K[k]))
    assert model.utility_of_modes(taste, pictures, 5)[n, k] == pytest.approx(weight / (1 + np.exp(-pull)))


def test_utility_is_lower_between_two_modes(example: Example) -> None:
    ratios = []
    for taste in tastes(example):
        if len(taste) == 2:
            views = np.stack([taste.modes_KF[0], unit(taste.modes_KF.sum(0))])
            at_mode, between = example.people.model.utility(taste, Perceived(views, np.zeros(2)), 0)
            ratios.append(between / at_mode)
    assert len(ratios) > 20
    assert max(ratios) < 1
    assert np.mean(ratios) < 0.4


def test_utility_does_not_depend_on_the_norm(example: Example) -> None:
    once, thrice = (example.perception.perceive(scale * example.catalogue_ND[:9]) for scale in (1, 3))
    model, taste = example.people.model, example.people.taste(2)
    assert np.allclose(model.utility(taste, once, 0), model.utility(taste, thrice, 0))


def test_more_views_than_schools_can_span_are_refused() -> None:
    with pytest.raises(ValueError, match="views must be between"):
        Perception.measure(np.eye(4), np.eye(4), np.ones(4), views=9)
