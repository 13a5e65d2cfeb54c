from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prefprior.data.scaling import PersonScale
from prefprior.evaluation.protocol.split import HistoryCut, fitting_parts, for_tuning, select
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


def test_histories_of_unseen_users_are_their_first_ratings() -> None:
    name, people = select(Data(), None, HistoryCut(), 512)
    assert name == "unseen"
    assert people.users == ["u4", "u5"]
    assert people.valid_BK.sum(1).tolist() == [5, 5]
    assert people.held_valid_BT.sum(1).tolist() == [5, 5]


def test_histories_of_seen_users_are_their_training_ratings() -> None:
    data = Data()
    _, people = select(data, "seen", HistoryCut(), 512)
    assert people.users == ["u3"]
    assert people.item_BK[0].tolist() == data.ratings.item_N[30:36].tolist()
    assert people.held_item_BT[0].tolist() == data.ratings.item_N[36:40].tolist()


def test_without_unseen_users_seen_users_are_evaluated() -> None:
    assert select(Data(with_strangers=False), None, HistoryCut(), 512)[0] == "seen"


def test_a_named_part_may_contain_seen_and_unseen_users() -> None:
    _, people = select(Data(), "val", HistoryCut(), 512)
    assert people.users == ["u3", "u4", "u5"]


def test_unseen_items_have_no_training_ratings() -> None:
    data = Data()
    _, fresh = select(data, "unseen_items", HistoryCut(), 512)
    rated = set(data.part("train").item_N.tolist())
    held = set(fresh.held_item_BT[fresh.held_valid_BT].tolist())
    assert held
    assert not held & rated


def test_a_picture_rated_again_is_not_held_out() -> None:
    data = Data()
    data.ratings.item_N[45:47] = data.ratings.item_N[40:42]  # u4's first half holds both
    _, people = select(data, "unseen", HistoryCut(), 512)
    assert people.repeated == 2
    assert people.held_valid_BT.sum(1).tolist() == [3, 5]
    assert not set(people.held_item_BT[0].tolist()) & set(people.item_BK[0].tolist())


def test_users_without_held_out_ratings_are_left_out() -> None:
    data = Data()
    data.ratings.item_N[45:50] = data.ratings.item_N[40:45]  # all of u4's second half
    _, people = select(data, "unseen", HistoryCut(), 512)
    assert (people.users, people.repeated) == (["u5"], 5)


def test_evaluated_ratings_are_never_training_ratings() -> None:
    training, validation = fitting_parts(Data(), "unseen")
    assert validation is None  # validation stands for the test here, so nothing may be tuned on it
    assert set(training.ratings.user_N) == {0, 1, 2, 3}


def test_an_unknown_part_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean unseen"):
        select(Data(), "unsen", HistoryCut(), 512)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"share": 1.5}, "between 0 and 1"), ({"count": 0}, "history_first")]
)
def test_an_invalid_history_share_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HistoryCut(**arguments)


def test_a_part_without_users_is_refused() -> None:
    with pytest.raises(ValueError, match="no user with both"):
        select(Data(with_strangers=False), "unseen", HistoryCut(), 512)


def test_a_history_can_be_a_number_of_first_ratings() -> None:
    _, people = select(Data(), "unseen", HistoryCut(count=2), 512)
    assert people.valid_BK.sum(1).tolist() == [2, 2]


def test_settings_are_compared_on_validation_people() -> None:
    data = WithTest()
    part, people = select(data, None, HistoryCut(), 512)
    choosing, chooser, reported, name = for_tuning(data, part, people, HistoryCut(), 512)
    assert (chooser, name) == ("val", "unseen")
    assert choosing.users == ["u3", "u4"]
    assert reported.users == people.users == ["u5"]


def test_where_validation_is_evaluated_one_half_chooses_and_the_other_reports() -> None:
    people = make_tastes(users=40).people
    choosing, chooser, reported, name = for_tuning(Data(), "val", people, HistoryCut(), 512)
    assert (chooser, name) == ("val (first half)", "val (second half)")
    assert sorted([*choosing.users, *reported.users]) == sorted(people.users)
    assert 10 < len(choosing) < 30


class WithTest(Data):
    """One of those who are in validation only is in the test part instead."""

    def __init__(self) -> None:
        super().__init__()
        self.parts[self.ratings.user_N == 5] = "test"
        self.part_names = ["train", "val", "test"]
