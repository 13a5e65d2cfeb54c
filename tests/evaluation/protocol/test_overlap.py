"""What a model was trained on of what is evaluated is found by ids, and said where it is not what was promised."""

from dataclasses import replace

import numpy as np
import pytest

from prefprior.data.held_out import HeldOutUsers, first_share
from prefprior.evaluation.protocol.overlap import OTHER, Overlap, what_it_saw
from prefprior.ratings import RatingsTable
from tests.evaluation.tastes import make_tastes


@pytest.fixture(scope="module")
def table() -> RatingsTable:
    return make_tastes(users=8, items=40, rated=10).training.ratings


@pytest.fixture(scope="module")
def people(table: RatingsTable) -> HeldOutUsers:
    first = first_share(table, 0.5)
    return HeldOutUsers.of(
        table.take(np.flatnonzero(first)), table.take(np.flatnonzero(~first)), make_tastes(8, 40, 10).catalogue
    )


def of_users(table: RatingsTable, *users: int) -> RatingsTable:
    return table.take(np.flatnonzero(np.isin(table.user_N, users)))


def test_users_ratings_and_pictures_are_counted(table: RatingsTable, people: HeldOutUsers) -> None:
    everything = Overlap.of(table, people)
    assert everything.people == 8
    assert everything.ratings == int(people.held_valid_BT.sum())
    held = people.held_item_BT
    assert everything.pictures == len(held[held >= 0].unique())


def test_overlap_is_computed_by_ids_and_not_by_codes(table: RatingsTable, people: HeldOutUsers) -> None:
    turned = replace(
        table, users=table.users[::-1], user_N=7 - table.user_N, items=table.items[::-1], item_N=39 - table.item_N
    )
    assert Overlap.of(turned, people) == Overlap.of(table, people)


def test_without_overlap_there_is_no_note(table: RatingsTable, people: HeldOutUsers) -> None:
    assert what_it_saw(of_users(table, 1, 2), of_users(table, 5, 6), people, "test") is None


def test_training_users_are_reported(table: RatingsTable, people: HeldOutUsers) -> None:
    assert what_it_saw(of_users(table, 1, 2, 3), of_users(table, 5), people, "unseen") == "trained on 3 of 8 people"


def test_held_out_training_ratings_are_reported(table: RatingsTable, people: HeldOutUsers) -> None:
    history = table.take(np.flatnonzero(first_share(table, 0.5)))
    held = int(people.held_valid_BT.sum())
    assert what_it_saw(table, history, people, "seen") == f"trained on {held} of {held} held-out ratings"


def test_training_pictures_are_reported_for_unseen_items(table: RatingsTable, people: HeldOutUsers) -> None:
    nobody = replace(table, users=np.array([f"other{u}" for u in range(8)]))
    few = nobody.take(np.arange(3))
    assert what_it_saw(nobody, few, people, "unseen") is None
    assert "of the held-out pictures" in str(what_it_saw(nobody, few, people, "unseen_items"))


def test_unknown_training_data_are_reported(table: RatingsTable, people: HeldOutUsers) -> None:
    assert what_it_saw(None, table, people, "unseen") == OTHER
