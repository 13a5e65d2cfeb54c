from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prefprior.data.scaling import PersonScale
from prefprior.evaluation.protocol.split import HistoryCut, fitting_parts, select
from prefprior.ratings import RatingScale, RatingsTable
from tests.evaluation.tastes import make_tastes


class Data:
    """What `select` asks of a data module: six people, of whom two are in validation only and one is in both."""

    def __init__(self, with_strangers: bool = True) -> None:
        self.catalogue = make_tastes(users=2, items=40).catalogue
        rng = np.random.default_rng(0)
        user = np.repeat(np.arange(6), 10).astype(np.int32)
        item = np.concatenate([rng.choice(40, 10, replace=False) for _ in range(6)]).astype(np.int32)
        self.ratings = RatingsTable(
            source="toy", scale=RatingScale(-1, 1, 1), users=np.array([f"u{i}" for i in range(6)]),
            items=np.array(self.catalogue.ids), user_N=user, item_N=item,
            rating_N=rng.choice([-1.0, 1.0], 60).astype(np.float32), time_N=np.arange(60.0),
        )  # fmt: skip
        place = np.arange(60) % 10
        self.parts = np.where((user == 3) & (place >= 6), "val", "train")
        if with_strangers:
            self.parts[user >= 4] = "val"
        self.scale = PersonScale(self.ratings.scale, "scale", 1.0, 0.0, 1.0)
        self.source = SimpleNamespace(name="toy")
        self.part_names = ["train", "val"]

    def part(self, name: str) -> RatingsTable:
        return self.ratings.take(np.flatnonzero(self.parts == name))

    def has_part(self, name: str) -> bool:
        return name in self.part_names


def test_unseen_people_bring_their_own_first_ratings() -> None:
    name, people = select(Data(), None, HistoryCut(), 512)
    assert name == "unseen"
    assert people.users == ["u4", "u5"]
    assert people.valid_BK.sum(1).tolist() == [5, 5]
    assert people.held_valid_BT.sum(1).tolist() == [5, 5]


def test_seen_people_have_their_training_ratings_as_history() -> None:
    data = Data()
    _, people = select(data, "seen", HistoryCut(), 512)
    assert people.users == ["u3"]
    assert people.item_BK[0].tolist() == data.ratings.item_N[30:36].tolist()
    assert people.held_item_BT[0].tolist() == data.ratings.item_N[36:40].tolist()


def test_where_everybody_was_trained_on_the_seen_are_evaluated() -> None:
    assert select(Data(with_strangers=False), None, HistoryCut(), 512)[0] == "seen"


def test_a_part_by_name_holds_seen_and_unseen_people() -> None:
    _, people = select(Data(), "val", HistoryCut(), 512)
    assert people.users == ["u3", "u4", "u5"]


def test_of_unseen_items_nobody_rated_any_in_training() -> None:
    data = Data()
    _, fresh = select(data, "unseen_items", HistoryCut(), 512)
    rated = set(data.part("train").item_N.tolist())
    held = set(fresh.held_item_BT[fresh.held_valid_BT].tolist())
    assert held
    assert not held & rated


def test_a_picture_that_comes_back_is_not_held_out_again() -> None:
    data = Data()
    data.ratings.item_N[45:47] = data.ratings.item_N[40:42]  # u4's first half holds both
    _, people = select(data, "unseen", HistoryCut(), 512)
    assert people.repeated == 2
    assert people.held_valid_BT.sum(1).tolist() == [3, 5]
    assert not set(people.held_item_BT[0].tolist()) & set(people.item_BK[0].tolist())


def test_who_has_nothing_left_to_hold_out_is_left_out() -> None:
    data = Data()
    data.ratings.item_N[45:50] = data.ratings.item_N[40:45]  # all of u4's second half
    _, people = select(data, "unseen", HistoryCut(), 512)
    assert (people.users, people.repeated) == (["u5"], 5)


def test_what_is_evaluated_is_never_learned_from() -> None:
    training, validation = fitting_parts(Data(), "unseen")
    assert validation is None  # validation stands for the test here, so nothing may be tuned on it
    assert set(training.ratings.user_N) == {0, 1, 2, 3}


def test_an_unknown_part_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean unseen"):
        select(Data(), "unsen", HistoryCut(), 512)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"share": 1.5}, "between 0 and 1"), ({"count": 0}, "history_first")]
)
def test_an_impossible_cut_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HistoryCut(**arguments)


def test_a_part_without_anybody_is_named() -> None:
    with pytest.raises(ValueError, match="nobody with both"):
        select(Data(with_strangers=False), "unseen", HistoryCut(), 512)


def test_a_history_may_be_so_many_first_ratings() -> None:
    _, people = select(Data(), "unseen", HistoryCut(count=2), 512)
    assert people.valid_BK.sum(1).tolist() == [2, 2]
