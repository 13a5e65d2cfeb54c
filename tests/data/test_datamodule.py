"""Batches: what is in them, and that they repeat."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.histories.loader import FixedBatches, TrainingBatches
from prefprior.data.scaling import RatingScaling
from prefprior.data.splits import Splits
from prefprior.history import PreferenceBatch, concatenate
from tests.data.small import SmallSource, module, ratings


def same(one: PreferenceBatch, other: PreferenceBatch) -> bool:
    if one.history.users != other.history.users:
        return False
    return all(
        torch.equal(getattr(a, f.name), getattr(b, f.name))
        for a, b in ((one, other), (one.history, other.history))
        for f in fields(a)
        if isinstance(getattr(a, f.name), torch.Tensor)
    )


def test_a_batch_holds_what_its_users_rated() -> None:
    data = module(batch_size=8, history_cap=6, targets_per_user=3, scaling=RatingScaling(how="scale"))
    table = data.part("train")
    rated = {
        (str(table.users[u]), int(i)): r
        for u, i, r in zip(table.user_N, table.item_N, table.scale.signed(table.rating_N))
    }
    for batch in data.train_dataloader():
        history = batch.history
        for b, user in enumerate(history.users):
            seen = set()
            for k in range(history.valid_BK.shape[1]):
                if history.valid_BK[b, k]:
                    item = int(history.items_BK[b, k])
                    assert history.ratings_BK[b, k] == pytest.approx(rated[user, item])
                    assert history.embeddings_BKD[b, k, 0] == item
                    assert history.ages_BK[b, k] == k
                    seen.add(item)
                else:
                    assert history.items_BK[b, k] == -1
                    assert not history.embeddings_BKD[b, k].any()
            for t in range(batch.target_valid_BT.shape[1]):
                if batch.target_valid_BT[b, t]:
                    item = int(batch.target_item_BT[b, t])
                    assert item not in seen
                    assert batch.target_rating_BT[b, t] == pytest.approx(rated[user, item])
                    assert batch.target_BTD[b, t, 0] == item
            assert batch.target_valid_BT[b].any()


def test_single_ratings_make_empty_histories() -> None:
    data = module(ratings(users=10, each=1), batch_size=4, splits=Splits(by="user", val=0.3, test=0))
    for loader in (data.train_dataloader(), data.fixed_loader("val")):
        for batch in loader:
            assert not batch.history.valid_BK.any()
            assert batch.target_valid_BT.all()
            assert torch.isfinite(batch.target_rating_BT).all()


def test_liked_only_is_all_ones() -> None:
    data = module(ratings(liked_only=True), batch_size=8)
    batch = next(iter(data.train_dataloader()))
    assert (batch.history.ratings_BK[batch.history.valid_BK] == 1).all()
    assert (batch.target_rating_BT[batch.target_valid_BT] == 1).all()


def test_the_stream_repeats_and_goes_on_where_it_was() -> None:
    whole = list(module(batch_size=8, epoch_batches=6).train_dataloader())
    again = list(module(batch_size=8, epoch_batches=6).train_dataloader())
    assert all(same(a, b) for a, b in zip(whole, again))
    first = module(batch_size=8, epoch_batches=6)
    iterator = iter(first.train_dataloader())
    for _ in range(2):
        next(iterator)
    resumed = module(batch_size=8, epoch_batches=6)
    resumed.load_state_dict(first.state_dict())
    assert all(same(a, b) for a, b in zip(whole[2:], resumed.train_dataloader()))
    other = list(module(batch_size=8, epoch_batches=6, seed=1).train_dataloader())
    assert not same(whole[0], other[0])


def test_a_second_epoch_brings_other_draws_of_everybody() -> None:
    data = module(batch_size=16, epoch_batches=1)
    loader = data.train_dataloader()
    people = len(data.users("train"))
    seen = [batch.history.users for _ in range(people) for batch in loader]
    counts = np.unique([user for users in seen for user in users], return_counts=True)[1]
    assert (counts == 16).all()  # pass after pass, each user once a pass


def test_workers_change_nothing() -> None:
    alone = list(module(batch_size=8, epoch_batches=3).train_dataloader())
    helped = list(module(batch_size=8, epoch_batches=3, workers=2).train_dataloader())
    assert all(same(a, b) for a, b in zip(alone, helped))


def test_two_ranks_share_one_global_batch() -> None:
    data = module(batch_size=8)
    assembler, rule = data._assembler(data.part("train"), None), data.rule
    whole = TrainingBatches(assembler, rule, batch_size=8, seed=0)
    ranks = [TrainingBatches(assembler, rule, batch_size=8, seed=0, rank=r, world=2) for r in range(2)]
    for place in (0, 8, 80):
        parts = [rank[place] for rank in ranks]
        assert [u for p in parts for u in p.history.users] == whole[place].history.users
        assert same(concatenate(parts), whole[place])
    with pytest.raises(ValueError, match="make it a multiple"):
        TrainingBatches(assembler, rule, batch_size=9, seed=0, world=2)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_fixed_pass_sees_everybody_once_in_equally_many_batches(world: int) -> None:
    data = module(ratings(users=60), batch_size=8, splits=Splits(by="user", val=0.3, test=0))
    assembler = data._assembler(data.part("val"), data.part("train"))
    ranks = [FixedBatches(assembler, data.rule, batch_size=8, seed=0, rank=r, world=world) for r in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    seen = [user for rank in ranks for i in range(len(rank)) for user in rank[i].history.users]
    assert sorted(seen) == sorted(data.users("val"))


def test_validation_is_the_same_every_time() -> None:
    data = module(batch_size=8, splits=Splits(by="user", val=0.4, test=0))
    assert all(same(a, b) for a, b in zip(data.val_dataloader(), data.val_dataloader()))


def test_pairs_do_not_give_their_targets_away() -> None:
    table = ratings(users=30, items=15, each=12, pairs=True)
    data = module(table, batch_size=16, epoch_batches=4, history_cap=12, targets_per_user=3)
    pair_of: dict[tuple[str, int], set[int]] = {}
    for u, i, p in zip(data.ratings.user_N, data.ratings.item_N, data.ratings.pair_N):  # type: ignore[arg-type]
        pair_of.setdefault((str(data.ratings.users[u]), int(i)), set()).add(int(p))
    for batch in data.train_dataloader():
        for b, user in enumerate(batch.history.users):
            shown = {int(i) for i in batch.history.items_BK[b] if i >= 0}
            told = {int(i) for i in batch.target_item_BT[b] if i >= 0}
            assert not shown & told
            assert not any(pair_of[user, s] & pair_of[user, t] for s in shown for t in told)


def test_histories_for_evaluation() -> None:
    data = module(splits=Splits(by="user", val=0.4, test=0), order="time", scaling=RatingScaling(how="scale"))
    users = data.users("val")
    history, held = data.histories("val", users, 5)
    table = data.part("val")
    for b, user in enumerate(users):
        items = table.item_N[table.users[table.user_N] == user]
        shown = history.items_BK[b][history.valid_BK[b]].tolist()
        assert shown == items[:5][::-1].tolist()  # the first ratings, most recent first
        assert held[b].items.tolist() == items[5:].tolist()
    shuffled, rest = module(splits=Splits(by="user", val=0.4, test=0)).histories("val", users, 5)
    assert shuffled.items_BK.tolist() != history.items_BK.tolist()
    for b in range(len(users)):
        assert sorted([*shuffled.items_BK[b][shuffled.valid_BK[b]].tolist(), *rest[b].items]) == sorted(
            [*history.items_BK[b][history.valid_BK[b]].tolist(), *held[b].items]
        )
    with pytest.raises(ValueError, match="nobody"):
        data.histories("val", ["nobody"], 5)


def test_people_who_were_trained_on_keep_their_history() -> None:
    data = module(splits=Splits(by="item", val=0.4, test=0), history_cap=64)
    users = data.users("val")
    history, held = data.histories("val", users, 100)
    train = data.part("train")
    for b, user in enumerate(users):
        known = sorted(train.item_N[train.users[train.user_N] == user].tolist())
        shown = sorted(history.items_BK[b][history.valid_BK[b]].tolist())
        if known:
            assert shown == known
        assert not set(shown) & set(held[b].items.tolist())
    batch = next(iter(data.val_dataloader()))
    train_items = set(train.item_N.tolist())
    for b, user in enumerate(batch.history.users):
        if user in data.users("train"):
            assert {int(i) for i in batch.history.items_BK[b] if i >= 0} <= train_items
        assert not {int(i) for i in batch.target_item_BT[b] if i >= 0} & train_items


def test_missing_embeddings_are_counted_or_refused() -> None:
    table = ratings()
    source = SmallSource(table)
    source.table = replace(table, items=np.array([*table.items[:-1], "gone"], dtype=object))
    with pytest.raises(ValueError, match=r"without an embedding, such as 'gone'.*'i0'"):
        PreferenceDataModule(source=source, missing_allowed=0.0).setup()
    data = PreferenceDataModule(source=source, missing_allowed=0.5)
    data.setup()
    gone = int((table.item_N == 49).sum())
    assert data.ratings.counts["no embedding for the item"] == gone > 0
    assert len(data.ratings) == len(table) - gone
