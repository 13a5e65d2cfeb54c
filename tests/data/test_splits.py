"""prefprior/data/splits.py: parts never leak into each other, and new data never moves old."""

from dataclasses import replace

import numpy as np
import pytest

from prefprior.data.splits import Splits, belongs, in_order
from prefprior.ratings import DRAWN, RatingsTable
from tests.data.small import ratings


def codes_of_parts(table: RatingsTable, parts: np.ndarray, by: str) -> list[set[int]]:
    code = table.user_N if by == "user" else table.item_N
    return [set(code[parts == name].tolist()) for name in ("train", "val", "test")]


@pytest.mark.parametrize("by", ["user", "item"])
def test_parts_are_disjoint(by: str) -> None:
    table = ratings(users=200, items=100)
    sets = codes_of_parts(table, Splits(by=by, val=0.2, test=0.2).parts(table), by)
    assert len(set.union(*sets)) == sum(map(len, sets))


@pytest.mark.parametrize("by", ["user", "item"])
def test_parts_have_about_the_requested_shares(by: str) -> None:
    table = ratings(users=200, items=100)
    sets = codes_of_parts(table, Splits(by=by, val=0.2, test=0.2).parts(table), by)
    assert all(0.1 < len(part) / sum(map(len, sets)) < 0.3 for part in sets[1:])


@pytest.mark.parametrize("by", ["user", "item"])
def test_new_data_do_not_move_earlier_data_between_parts(by: str) -> None:
    table = ratings(users=40)
    before = Splits(by=by).parts(table)
    old = np.flatnonzero(table.user_N < 30)
    some = table.take(old)
    # The same people and pictures under other codes, without the newer ones.
    order = np.random.default_rng(0).permutation(len(table.users))
    recoded = replace(some, users=table.users[order], user_N=np.argsort(order)[some.user_N].astype(np.int32))
    assert Splits(by=by).parts(recoded).tolist() == before[old].tolist()


@pytest.mark.parametrize("by", ["user", "item"])
def test_another_seed_gives_another_split(by: str) -> None:
    table = ratings(users=40)
    assert Splits(by=by, seed=1).parts(table).tolist() != Splits(by=by).parts(table).tolist()


@pytest.mark.parametrize("by", ["user", "item"])
def test_folds_cover_everybody_once(by: str) -> None:
    table = ratings(users=200, items=100)
    tested = [
        codes_of_parts(table, Splits(by=by, val=0.1, test=0.25, fold=fold).parts(table), by)[2] for fold in range(4)
    ]
    assert sum(map(len, tested)) == len(set.union(*tested)) == len(set(table.user_N if by == "user" else table.item_N))


@pytest.mark.parametrize("fold", [-1, 5])
def test_a_fold_that_there_is_not_is_refused(fold: int) -> None:
    with pytest.raises(ValueError, match=r"splits.test=0.2 there are 5 folds, from 0"):
        Splits(by="user", test=0.2, fold=fold)


def test_folds_of_a_split_by_time_are_refused() -> None:
    with pytest.raises(ValueError, match=r"splits.fold=1 has no effect with splits.by=time"):
        Splits(by="time", val_from=100, test_from=150, fold=1).parts(ratings())


def test_a_split_by_time_without_dates_is_refused_with_dates_to_use() -> None:
    with pytest.raises(ValueError, match=r"splits.val_from=\d+ splits.test_from=\d+"):
        Splits(by="time").parts(ratings())


def test_a_split_by_time_cuts_at_its_dates() -> None:
    table = ratings()
    parts = Splits(by="time", val_from=100, test_from=150).parts(table)
    assert table.time_N is not None
    assert table.time_N[parts == "train"].max() < 100 <= table.time_N[parts == "val"].min()
    assert table.time_N[parts == "val"].max() < 150 <= table.time_N[parts == "test"].min()


def test_a_split_by_time_needs_times() -> None:
    with pytest.raises(ValueError, match="have none"):
        Splits(by="time", val_from=1, test_from=2).parts(replace(ratings(), time_N=None))


@pytest.fixture
def own_test() -> RatingsTable:
    """A source that names a part for testing and none for validation."""
    table = ratings(users=50)
    return replace(table, part_N=np.where(table.user_N % 7 == 0, "test_unseen", "train"))


def test_a_sources_own_parts_are_kept(own_test: RatingsTable) -> None:
    parts = Splits(val=0.3).parts(own_test)
    assert ((parts == "test_unseen") == (own_test.part_N == "test_unseen")).all()


def test_without_a_validation_part_some_training_users_make_one(own_test: RatingsTable) -> None:
    parts = Splits(val=0.3).parts(own_test)
    train, val, _ = codes_of_parts(own_test, parts, "user")
    assert val
    assert not val & train


def test_a_sources_own_validation_part_is_kept(own_test: RatingsTable) -> None:
    own = np.where(own_test.user_N % 7 == 1, "val_seen", own_test.part_N)
    assert (Splits(val=0.3).parts(replace(own_test, part_N=own)) == own).all()


@pytest.fixture
def partly_drawn(own_test: RatingsTable) -> RatingsTable:
    """The same, whose second half of the users is left to the splits, with every two of them one person."""
    users = len(own_test.users)
    person_U = np.asarray([f"p{user // 2}" for user in range(users)], dtype=object)
    return replace(own_test, part_N=np.where(own_test.user_N < users // 2, own_test.part_N, DRAWN), person_U=person_U)


def test_what_is_left_to_the_splits_is_drawn_by_the_person(partly_drawn: RatingsTable) -> None:
    rows = partly_drawn.part_N == DRAWN
    parts = Splits(val=0.2, test=0.2).parts(partly_drawn)
    by_user = Splits(by="user", val=0.2, test=0.2).parts(partly_drawn)
    assert parts[rows].tolist() == by_user[rows].tolist()
    assert set(parts[rows]) == {"train", "val", "test"}


@pytest.mark.parametrize("words", [{"seed": 1}, {"fold": 1}, {"val": 0.5}, {"test": 0.5}])
def test_every_setting_counts_for_what_is_left_to_the_splits(
    partly_drawn: RatingsTable, words: dict[str, float]
) -> None:
    rows = partly_drawn.part_N == DRAWN
    before = Splits(val=0.2, test=0.2).parts(partly_drawn)
    after = Splits(**{"val": 0.2, "test": 0.2, **words}).parts(partly_drawn)
    assert after[rows].tolist() != before[rows].tolist()


def test_what_is_left_to_the_splits_does_not_change_the_validation_part_of_the_rest(own_test: RatingsTable) -> None:
    """Somebody new who is drawn for validation does not release those who were set aside before."""
    before = Splits(val=0.3).parts(own_test)
    assert own_test.part_N is not None
    new = replace(
        own_test,
        users=np.append(own_test.users, [f"new{k}" for k in range(20)]),
        user_N=np.append(own_test.user_N, len(own_test.users) + np.arange(20)).astype(np.int32),
        item_N=np.append(own_test.item_N, np.zeros(20, np.int32)),
        rating_N=np.append(own_test.rating_N, np.ones(20, np.float32)),
        part_N=np.append(own_test.part_N, np.full(20, DRAWN)),
        time_N=None,
    )
    after = Splits(val=0.3).parts(new)
    assert after[: len(own_test)].tolist() == before.tolist()
    assert "val" in after[len(own_test) :]


def test_where_all_is_left_to_the_splits_they_go_by_user() -> None:
    table = ratings(users=50)
    drawn = replace(table, part_N=np.full(len(table), DRAWN))
    assert Splits().parts(drawn).tolist() == Splits(by="user").parts(table).tolist()


def test_a_source_without_parts_is_refused_by_source() -> None:
    with pytest.raises(ValueError, match="no split of its own"):
        Splits(by="source").parts(ratings())


def test_a_split_that_leaves_nothing_to_train_on_is_refused() -> None:
    table = ratings(users=50)
    with pytest.raises(ValueError, match="leaves no training data"):
        Splits(by="source").parts(replace(table, part_N=np.full(len(table), "test")))


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="leave some ratings for training"):
        Splits(val=0.5, test=0.5)


def test_an_unknown_split_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean user"):
        Splits(by="users")


@pytest.mark.parametrize(("part", "name"), [("test", "test"), ("test_unseen", "test"), ("val_seen", "val")])
def test_a_part_belongs_to_the_prefix_of_its_name(part: str, name: str) -> None:
    assert belongs(part, name)


@pytest.mark.parametrize(("part", "name"), [("training", "train"), ("test", "test_unseen")])
def test_parts_with_other_names_do_not_belong(part: str, name: str) -> None:
    assert not belongs(part, name)


def test_training_is_named_first_then_validation() -> None:
    assert in_order(["test_unseen", "val", "train"]) == ["train", "val", "test_unseen"]
