"""Who answers: users of a world by their utility, replayed users by the ratings they gave."""

import numpy as np
import pytest
import torch

from prefprior.data.scaling import PersonScale
from prefprior.elicitation.people import Levels, Manner, ReplayedPerson, WorldPerson
from prefprior.elicitation.questions import Kind, Question
from prefprior.ratings import RatingScale
from prefprior.world import catalogue
from prefprior.world.source import WorldSource

SCALE = PersonScale(RatingScale(low=1, high=5, likes_from=4), "scale", 1.0, 3.0, 1.0)
LEVELS = Levels.of(SCALE, np.array([1.0, 2, 3, 4, 5]))


def replayed(said: dict[int, int], *, likes: bool = False, flips: float = 0.0) -> ReplayedPerson:
    return ReplayedPerson(
        user="u", said=said, likes=likes, levels=LEVELS, manner=Manner(flips=flips), rng=np.random.default_rng(0)
    )


def test_levels_are_those_of_the_data() -> None:
    assert LEVELS.raw == (1, 2, 3, 4, 5)
    assert LEVELS.signed == (-1, -0.5, 0, 0.5, 1)
    assert LEVELS.likes_from == 3
    assert LEVELS.numbers(np.array([1.0, 4.2, 9.0])).tolist() == [0, 3, 4]


def test_many_ratings_become_evenly_spaced_levels() -> None:
    found = Levels.of(SCALE, np.linspace(1, 5, 500), most=21)
    assert len(found) == 21
    assert found.raw[0] == 1
    assert found.raw[-1] == 5


def test_a_replayed_user_gives_the_rating_they_gave() -> None:
    assert replayed({3: 4}).answer(Question(Kind(1), (3,))).level == 4


def test_a_replayed_user_picks_all_they_rated_highest() -> None:
    assert replayed({1: 2, 2: 4, 5: 4}).answer(Question(Kind(3), (1, 2, 5))).picked == (1, 2)


def test_none_of_these_where_nothing_was_a_like() -> None:
    assert replayed({1: 2, 2: 1}).answer(Question(Kind(2, none=True), (1, 2))).picked == ()


def test_a_like_is_picked_among_what_nobody_came_to() -> None:
    assert replayed({4: 0}, likes=True).answer(Question(Kind(3), (9, 4, 7))).picked == (1,)


def test_flips_are_answers_at_random() -> None:
    person = replayed({1: 0, 2: 4}, flips=1.0)
    picks = [person.answer(Question(Kind(2), (1, 2))).picked for _ in range(200)]
    assert 60 < picks.count((0,)) < 140


def test_manners_are_checked() -> None:
    with pytest.raises(ValueError, match=r"manner\.flips must be at least 0 and at most 1"):
        Manner(flips=1.5)
    with pytest.raises(ValueError, match=r"manner\.patience must be at least 0"):
        Manner(patience=-1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> WorldSource:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "EXAMPLES", 4)
        patch.setattr(catalogue, "FINE_EXAMPLES", 32)
        world = WorldSource(people=60, pictures=400, noise=0.0, root=str(tmp_path_factory.mktemp("embeddings")))
        world.utility("person-0000", world.embeddings().vectors[:1])
    return world


def test_a_user_of_the_world_picks_what_they_like_best(world: WorldSource) -> None:
    items_ND = torch.from_numpy(np.asarray(world.embeddings().vectors[:9])).float()
    for user in ("person-0003", "person-0011"):
        person = WorldPerson(
            user=user,
            source=world,
            candidates_ND=items_ND,
            levels=LEVELS,
            manner=Manner(),
            rng=np.random.default_rng(0),
        )
        best = int(world.utility(user, items_ND).argmax())
        assert person.answer(Question(Kind(9), tuple(range(9)))).picked == (best,)


def test_a_user_of_the_world_rates_higher_what_they_like_more(world: WorldSource) -> None:
    items_ND = torch.from_numpy(np.asarray(world.embeddings().vectors)).float()
    utility_N = world.utility("person-0003", items_ND)
    person = WorldPerson(
        user="person-0003", source=world, candidates_ND=items_ND, levels=LEVELS, manner=Manner(),
        rng=np.random.default_rng(0),
    )  # fmt: skip
    levels = [person.answer(Question(Kind(1), (item,))).level for item in utility_N.argsort()[[0, -1]].tolist()]
    assert levels[0] in (0, 1)
    assert levels[1] is not None
    assert levels[1] >= 3
