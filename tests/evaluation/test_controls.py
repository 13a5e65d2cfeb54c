import numpy as np
import pytest
import torch

from prefprior.data.people import first_count, first_share
from prefprior.evaluation.controls import flipped_ratings, other_person, shuffled_ratings
from tests.evaluation.tastes import make_tastes


def test_history_is_the_newest_ratings_with_their_embeddings():
    tastes = make_tastes(users=3, rated=10)
    people = tastes.people
    history = people.history(4)
    past = tastes.training.ratings
    newest = past.item_N[past.user_N == 1][::-1][:4]
    assert history.items_BK[1].tolist() == newest.tolist()
    assert history.ages_BK[1].tolist() == [0, 1, 2, 3]
    assert torch.equal(history.embeddings_BKD[1], tastes.catalogue.embeddings_ND[newest.astype(np.int64)])
    full = people.history()
    assert full.valid_BK.sum(1).tolist() == [6, 6, 6]
    assert torch.equal(full.last(4).items_BK, history.items_BK)


def test_ragged_people_are_padded_and_masked():
    tastes = make_tastes(users=4, rated=8)
    table = tastes.training.ratings
    keep = np.flatnonzero((table.user_N != 2) | (np.arange(len(table)) % 5 == 0))
    from prefprior.data.people import People

    people = People.halves(table.take(keep), tastes.catalogue)
    history = people.history()
    assert (history.items_BK[~history.valid_BK] == -1).all()
    assert (history.embeddings_BKD[~history.valid_BK] == 0).all()
    assert history.valid_BK[:, 0].all()


def test_first_share_always_leaves_something_to_hold_out():
    table = make_tastes(users=2, rated=3).training.ratings
    assert first_share(table, 1.0).sum() == len(table) - 2
    assert first_count(table, 1).sum() == 2


def test_where_keeps_only_some_held_out_items():
    people = make_tastes().people
    liked = people.where(people.held_liked_BT)
    assert (liked.held_rating_BT[liked.held_valid_BT] > 0).all()
    assert int(liked.held_valid_BT.sum()) == int(people.held_liked_BT.sum())


def test_chunks_are_the_people_in_order():
    people = make_tastes().people
    chunks = list(people.chunks(scores=5 * len(people.catalogue)))
    assert [len(c) for c in chunks] == [5, 5, 5, 5, 4]
    assert [u for c in chunks for u in c.users] == people.users


@pytest.mark.parametrize("change", [other_person, shuffled_ratings, flipped_ratings])
def test_controls_leave_held_out_and_seen_alone(change):
    people = make_tastes().people
    changed = change(people, torch.Generator().manual_seed(1))
    assert torch.equal(changed.held_item_BT, people.held_item_BT)
    assert torch.equal(changed.seen_item_BS, people.seen_item_BS)
    if change is other_person:
        own = {tuple(row.tolist()) for row in people.item_BK}
        assert {tuple(row.tolist()) for row in changed.item_BK} == own
        assert not (changed.item_BK == people.item_BK).all(1).any()
    else:
        assert torch.equal(changed.item_BK, people.item_BK)
        assert torch.equal(changed.rating_BK.abs().sum(1), people.rating_BK.abs().sum(1))
        assert not torch.equal(changed.rating_BK, people.rating_BK)
