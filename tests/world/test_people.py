"""Simulated people: tastes are exact, far apart where they have several modes, and independent of who else there is."""

import dataclasses

import numpy as np
import pytest
import torch

from prefprior.world.people import FEWEST, MOST, Habits, People
from prefprior.world.render.captions import describe
from prefprior.world.render.factors import CATEGORICAL, CONTINUOUS, Factors, draw_factors
from prefprior.world.schools import examples, schools
from prefprior.world.tastes import Eye, Seen, TasteModel, unit

DIM = 64
EACH = 12


def embed(factors: Factors) -> np.ndarray:
    """A linear stand-in for the miniature CLIP: a fixed random projection of the true factors."""
    columns = [np.cos(np.deg2rad(factors["hue"])), np.sin(np.deg2rad(factors["hue"]))]
    columns += [factors[name] - 0.5 for name in CONTINUOUS if name != "hue"]
    for name, words in CATEGORICAL.items():
        columns += list((np.eye(len(words))[factors[name]] - 1 / len(words)).T * 1.5)
    projection = np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, DIM)))[0][: len(columns)]
    return (np.stack(columns, 1) @ projection + 0.5).astype(np.float32)


@pytest.fixture(scope="module")
def population() -> tuple[People, Eye, np.ndarray]:
    catalogue = embed(draw_factors(1500, torch.Generator().manual_seed(3)))
    centres = unit(embed(examples(EACH)[0])).reshape(len(schools()), EACH, DIM).mean(1)
    fine = unit(embed(Factors.from_partial({"saturation": (0.7, 1.0)}, 64, torch.Generator().manual_seed(4)))).mean(0)
    eye = Eye.measure(catalogue, centres, fine, views=8)
    people = People(0, 200, TasteModel(), Habits(), eye.place(centres), eye.look(catalogue))
    return people, eye, catalogue


def test_schools_are_distinct_and_can_be_told() -> None:
    told = [describe(school) for school in schools()]
    assert len(set(told)) == len(told) == 48
    pairs = {(school["hue"], school["shape"]) for school in schools()}
    assert len(pairs) == 48


def test_a_person_depends_on_seed_and_number_alone(population: tuple[People, Eye, np.ndarray]) -> None:
    people, _, _ = population
    more = dataclasses.replace(people, count=5000)
    for person in (0, 7):
        a, b = people.ratings(person), more.ratings(person)
        assert all(np.array_equal(x, y) for x, y in zip(a, b))
        assert np.array_equal(people.taste(person).modes_KF, more.taste(person).modes_KF)
    other = dataclasses.replace(people, seed=1)
    assert not np.array_equal(people.ratings(0).item_R[:8], other.ratings(0).item_R[:8])


def test_modes_are_unit_vectors_near_their_schools_and_apart(population: tuple[People, Eye, np.ndarray]) -> None:
    people, _, _ = population
    counts = []
    for person in range(people.count):
        taste = people.taste(person)
        counts.append(len(taste))
        assert np.allclose(np.linalg.norm(taste.modes_KF, axis=1), 1)
        assert ((taste.modes_KF * people.schools_SF[taste.school_K]).sum(1) > 0.9).all()
        assert len(set(taste.school_K)) == len(taste)
        between = people.schools_SF[taste.school_K] @ people.schools_SF[taste.school_K].T
        if len(taste) == 2:
            assert between[0, 1] <= people.model.apart
    assert set(counts) == {1, 2, 3, 4}


def test_utility_is_that_of_the_best_mode_and_saturates(population: tuple[People, Eye, np.ndarray]) -> None:
    people, eye, catalogue = population
    model, taste = people.model, people.taste(1)
    seen = eye.look(catalogue[:50])
    alone = model.utility_of_modes(taste, seen, 5)
    assert np.array_equal(model.utility(taste, seen, 5), alone.max(1))
    assert (alone > 0).all()
    assert (alone < 1).all()
    # By hand, from the formula of the module.
    k, n = 0, 3
    pull = (seen.view_NF[n] @ taste.modes_KF[k] - taste.near_K[k]) / model.width + taste.quality_share * seen.quality_N[
        n
    ]
    weight = 1 - model.drift * (1 - np.cos(5 * 2 * np.pi / model.period + taste.phase_K[k]))
    assert alone[n, k] == pytest.approx(weight / (1 + np.exp(-pull)))


def test_what_lies_between_two_modes_pleases_less(population: tuple[People, Eye, np.ndarray]) -> None:
    people, _, _ = population
    ratios = []
    for person in range(people.count):
        taste = people.taste(person)
        if len(taste) == 2:
            views = np.stack([taste.modes_KF[0], unit(taste.modes_KF.sum(0))])
            at_mode, between = people.model.utility(taste, Seen(views, np.zeros(2)), 0)
            ratios.append(between / at_mode)
    assert len(ratios) > 20
    assert max(ratios) < 1
    assert np.mean(ratios) < 0.4


def test_length_of_a_vector_is_not_taste(population: tuple[People, Eye, np.ndarray]) -> None:
    people, eye, catalogue = population
    once, thrice = (people.model.utility(people.taste(2), eye.look(scale * catalogue[:9]), 0) for scale in (1, 3))
    assert np.allclose(once, thrice)


def test_ratings_follow_utility_and_repeat_nothing(population: tuple[People, Eye, np.ndarray]) -> None:
    people, _, _ = population
    low, high = [], []
    for person in range(100):
        rated = people.ratings(person)
        assert FEWEST <= len(rated.item_R) <= MOST
        assert len(set(rated.item_R)) == len(rated.item_R)
        assert set(rated.rating_R) <= {1, 2, 3, 4, 5}
        assert (np.diff(rated.time_R) > 0).all()
        seen = people.catalogue.take(rated.item_R)
        utility = people.model.utility(people.taste(person), seen, np.arange(len(seen)))
        low += list(utility[rated.rating_R <= 2])
        high += list(utility[rated.rating_R >= 4])
    assert np.mean(high) > 0.5 > 0.3 > np.mean(low)


def test_sixteen_ratings_show_nearly_all_modes(population: tuple[People, Eye, np.ndarray]) -> None:
    people, _, _ = population
    shown = []
    for person in range(people.count):
        rated, taste = people.ratings(person), people.taste(person)
        if len(rated.item_R) >= 16 and len(taste) > 1:
            liked = rated.item_R[:16][rated.rating_R[:16] >= 4]
            shown.append(len(set(people.model.mode_of(taste, people.catalogue.take(liked)))) / len(taste))
    assert np.mean(shown) > 0.8


def test_chance_alone_when_nothing_is_sought(population: tuple[People, Eye, np.ndarray]) -> None:
    people, _, _ = population
    drifting = dataclasses.replace(people, habits=Habits(sought=0.0))
    met = np.concatenate([drifting.ratings(p).item_R for p in range(100)])
    seen = people.catalogue.take(met)
    cosine = np.concatenate([(people.taste(p).modes_KF @ seen.view_NF[:20].T).ravel() for p in range(100)])
    assert abs(cosine.mean()) < 0.05


def test_impossible_habits_and_views_are_refused(population: tuple[People, Eye, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="sought"):
        Habits(sought=1.5)
    with pytest.raises(ValueError, match="noise"):
        Habits(noise=-0.1)
    with pytest.raises(ValueError, match="views must be between"):
        Eye.measure(np.eye(4), np.eye(4), np.ones(4), views=9)
