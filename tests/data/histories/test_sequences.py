"""prefprior/data/histories/sequences.py: what is in histories and targets."""

from collections.abc import Iterator

import numpy as np
import pytest

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.histories.assembler import HeldOutRatings
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import RatingScaling
from prefprior.data.splits import Splits
from prefprior.history import History, PreferenceBatch
from tests.data.small import module, ratings


@pytest.fixture(scope="module")
def data() -> PreferenceDataModule:
    return module(batch_size=8, draws=DrawRule(history_cap=6, targets_per_user=3), scaling=RatingScaling(how="scale"))


def rated(data: PreferenceDataModule) -> dict[tuple[str, int], float]:
    """The signed rating of each user and item."""
    table = data.ratings
    signed = table.scale.signed(table.rating_N)
    pairs = zip(table.user_N, table.item_N, strict=True)
    return {(str(table.users[u]), int(i)): float(r) for (u, i), r in zip(pairs, signed, strict=True)}


def shown(batch: PreferenceBatch) -> Iterator[tuple[int, int, str, int]]:
    """(row, place, user, item) of each history entry."""
    for b, k in batch.history.valid_BK.nonzero().tolist():
        yield b, k, batch.history.users[b], int(batch.history.items_BK[b, k])


def asked(batch: PreferenceBatch) -> Iterator[tuple[int, int, str, int]]:
    """(row, place, user, item) of each target."""
    for b, t in batch.target_valid_BT.nonzero().tolist():
        yield b, t, batch.history.users[b], int(batch.target_item_BT[b, t])


def test_a_history_holds_ratings_of_its_user(data: PreferenceDataModule) -> None:
    known = rated(data)
    for batch in data.train_dataloader():
        for b, k, user, item in shown(batch):
            assert batch.history.ratings_BK[b, k] == pytest.approx(known[user, item])
            assert batch.history.embeddings_BKD[b, k, 0] == item


def test_a_target_is_a_rating_of_its_user(data: PreferenceDataModule) -> None:
    known = rated(data)
    for batch in data.train_dataloader():
        for b, t, user, item in asked(batch):
            assert batch.target_rating_BT[b, t] == pytest.approx(known[user, item])
            assert batch.target_BTD[b, t, 0] == item


def test_no_target_is_in_the_history(data: PreferenceDataModule) -> None:
    for batch in data.train_dataloader():
        assert not {(b, item) for b, _, _, item in shown(batch)} & {(b, item) for b, _, _, item in asked(batch)}


def test_every_user_has_a_target(data: PreferenceDataModule) -> None:
    assert all(batch.target_valid_BT.any(1).all() for batch in data.train_dataloader())


@pytest.fixture(scope="module")
def single() -> PreferenceDataModule:
    """Users with one rating each."""
    return module(ratings(users=10, each=1), batch_size=4, splits=Splits(by="user", val=0.3, test=0))


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_single_rating_is_a_target_of_an_empty_history(single: PreferenceDataModule, part: str) -> None:
    for batch in single.fixed_loader(part):
        assert not batch.history.valid_BK.any()
        assert batch.target_valid_BT.all()


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_target_of_an_empty_history_has_a_finite_rating(single: PreferenceDataModule, part: str) -> None:
    assert all(batch.target_rating_BT.isfinite().all() for batch in single.fixed_loader(part))


def test_with_implicit_feedback_all_ratings_are_one() -> None:
    batch = next(iter(module(ratings(liked_only=True), batch_size=8).train_dataloader()))
    assert (batch.history.ratings_BK[batch.history.valid_BK] == 1).all()
    assert (batch.target_rating_BT[batch.target_valid_BT] == 1).all()


@pytest.fixture(scope="module")
def paired() -> PreferenceDataModule:
    table = ratings(users=30, items=15, each=12, pairs=True)
    return module(table, batch_size=16, epoch_batches=4, draws=DrawRule(history_cap=12, targets_per_user=3))


def test_the_other_picture_of_a_targets_comparison_is_not_in_the_history(paired: PreferenceDataModule) -> None:
    table = paired.ratings
    assert table.question_N is not None
    pair_of: dict[tuple[str, int], set[int]] = {}
    for user, item, pair in zip(table.user_N, table.item_N, table.question_N, strict=True):
        pair_of.setdefault((str(table.users[user]), int(item)), set()).add(int(pair))
    for batch in paired.train_dataloader():
        seen = {(b, pair) for b, _, user, item in shown(batch) for pair in pair_of[user, item]}
        assert not seen & {(b, pair) for b, _, user, item in asked(batch) for pair in pair_of[user, item]}


def of_part(data: PreferenceDataModule, part: str, user: str) -> list[int]:
    """A user's items of a part, in its order."""
    table = data.part(part)
    return table.item_N[table.users[table.user_N] == user].tolist()


def shown_of(history: History, b: int) -> list[int]:
    return history.items_BK[b][history.valid_BK[b]].tolist()


def histories(order: str) -> tuple[PreferenceDataModule, History, list[HeldOutRatings]]:
    """Histories of five of validation users, who were not trained on."""
    data = module(splits=Splits(by="user", val=0.4, test=0), draws=DrawRule(order=order))
    return data, *data.histories("val", data.users("val"), 5)


def test_an_unseen_users_history_is_the_first_ratings_most_recent_first() -> None:
    data, history, _ = histories("time")
    for b, user in enumerate(history.users):
        assert shown_of(history, b) == of_part(data, "val", user)[:5][::-1]


def test_ratings_after_an_unseen_users_history_are_held_out() -> None:
    data, history, held_out = histories("time")
    for b, user in enumerate(history.users):
        assert held_out[b].items.tolist() == of_part(data, "val", user)[5:]


def test_without_an_order_the_history_is_chosen_by_hash_and_the_rest_held_out() -> None:
    data, history, held_out = histories("set")
    parted = [[*shown_of(history, b), *held_out[b].items] for b in range(len(history))]
    assert [sorted(items) for items in parted] == [sorted(of_part(data, "val", user)) for user in history.users]
    assert any(shown_of(history, b) != of_part(data, "val", u)[:5][::-1] for b, u in enumerate(history.users))


def test_users_without_ratings_in_the_part_are_refused() -> None:
    with pytest.raises(ValueError, match="nobody"):
        module(splits=Splits(by="user", val=0.4, test=0)).histories("val", ["nobody"], 5)


@pytest.fixture(scope="module")
def seen() -> PreferenceDataModule:
    """Users of the validation part who were trained on, too: pictures are held out."""
    return module(splits=Splits(by="item", val=0.4, test=0), draws=DrawRule(history_cap=64))


def test_a_user_who_was_trained_on_has_the_training_part_as_history(seen: PreferenceDataModule) -> None:
    history, _ = seen.histories("val", seen.users("val"), 100)
    for b, user in enumerate(history.users):
        known = sorted(of_part(seen, "train", user))
        assert not known or sorted(shown_of(history, b)) == known


def test_histories_and_held_out_ratings_are_disjoint(seen: PreferenceDataModule) -> None:
    history, held_out = seen.histories("val", seen.users("val"), 100)
    for b in range(len(history)):
        assert not set(shown_of(history, b)) & set(held_out[b].items.tolist())


def test_validation_histories_are_training_ratings_and_targets_are_validation_ratings(
    seen: PreferenceDataModule,
) -> None:
    trained = np.unique(seen.part("train").item_N).tolist()
    known = set(seen.users("train"))
    for batch in seen.fixed_loader("val"):
        assert all(item in trained for _, _, user, item in shown(batch) if user in known)
        assert not any(item in trained for _, _, _, item in asked(batch))


def test_the_first_ratings_are_of_whole_users(data: PreferenceDataModule) -> None:
    whole = Sequences.of(data.part("train"))
    some = whole.first_ratings(len(whole.item_N) // 2)
    assert 0 < len(some.item_N) <= len(whole.item_N) // 2
    for user, start, count in zip(some.users, some.start_U, some.count_U):
        place = whole.users.index(user)
        rows = slice(whole.start_U[place], whole.start_U[place] + whole.count_U[place])
        assert some.item_N[start : start + count].tolist() == whole.item_N[rows].tolist()
        assert some.rating_N[start : start + count].tolist() == whole.rating_N[rows].tolist()
