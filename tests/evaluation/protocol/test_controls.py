from dataclasses import replace

import numpy as np
import pytest
import torch

from prefprior.data.held_out import HeldOutUsers, first_share
from prefprior.data.scaling import RatingScaling
from prefprior.evaluation.protocol.controls import Control, negated_ratings, other_user, permuted_ratings
from tests.evaluation.tastes import make_tastes


def test_history_is_the_newest_ratings_with_their_embeddings() -> None:
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


def test_users_with_different_lengths_are_padded_and_masked() -> None:
    tastes = make_tastes(users=4, rated=8)
    table = tastes.training.ratings
    keep = np.flatnonzero((table.user_N != 2) | (np.arange(len(table)) % 5 == 0))
    people = HeldOutUsers.halves(table.take(keep), tastes.catalogue)
    history = people.history()
    assert (history.items_BK[~history.valid_BK] == -1).all()
    assert (history.embeddings_BKD[~history.valid_BK] == 0).all()
    assert history.valid_BK[:, 0].all()


def test_first_share_always_leaves_something_to_hold_out() -> None:
    table = make_tastes(users=2, rated=3).training.ratings
    assert first_share(table, 1.0).sum() == len(table) - 2
    assert first_share(table, 0.5, count=1).sum() == 2  # a number of ratings goes before a share
    assert first_share(table, 0.5, count=99).sum() == len(table) - 2


def test_where_keeps_only_some_held_out_items() -> None:
    people = make_tastes().people
    liked = people.where(people.held_liked_BT)
    assert (liked.held_rating_BT[liked.held_valid_BT] > 0).all()
    assert int(liked.held_valid_BT.sum()) == int(people.held_liked_BT.sum())


def test_chunks_contain_the_users_in_order() -> None:
    people = make_tastes().people
    chunks = list(people.chunks(scores=5 * len(people.catalogue)))
    assert [len(c) for c in chunks] == [5, 5, 5, 5, 4]
    assert [u for c in chunks for u in c.users] == people.users


@pytest.mark.parametrize("change", [other_user, permuted_ratings, negated_ratings])
def test_controls_do_not_change_held_out_and_seen_items(change: Control) -> None:
    people = make_tastes().people
    changed = change(people, torch.Generator().manual_seed(1))
    assert torch.equal(changed.held_item_BT, people.held_item_BT)
    assert torch.equal(changed.seen_item_BS, people.seen_item_BS)


@pytest.mark.parametrize("change", [permuted_ratings, negated_ratings])
def test_rating_controls_keep_the_number_of_ratings(change: Control) -> None:
    people = make_tastes().people
    changed = change(people, torch.Generator().manual_seed(1))
    assert torch.equal(changed.item_BK, people.item_BK)
    before, after = people.history().ratings_BK, changed.history().ratings_BK
    assert torch.equal(after.abs().sum(1), before.abs().sum(1))
    assert not torch.equal(after, before)


def test_every_user_gets_the_history_of_another_user() -> None:
    people = make_tastes().people
    changed = other_user(people, torch.Generator().manual_seed(1))
    own = {tuple(row.tolist()) for row in people.item_BK}
    assert {tuple(row.tolist()) for row in changed.item_BK} == own
    assert not (changed.item_BK == people.item_BK).all(1).any()


def test_with_another_users_history_predictors_see_that_users_id() -> None:
    """Else those that know people by their ids would be told who it really is."""
    people = make_tastes(users=6).people
    other = other_user(people, torch.Generator().manual_seed(0))
    assert other.users == people.users
    shown, some = other.history().users, other.take(torch.tensor([4, 1]))
    assert sorted(shown) == sorted(people.users)
    assert all(a != b for a, b in zip(shown, people.users, strict=True))
    assert some.history().users == [shown[4], shown[1]]
    giver = [people.users.index(user) for user in shown]
    assert torch.equal(other.item_BK, people.item_BK[giver])


def test_the_scale_of_a_short_history_is_computed_from_it() -> None:
    tastes = make_tastes(users=3, rated=10)
    table = tastes.training.ratings
    scale = RatingScaling(weight=1e-6).fit(table)
    people = replace(tastes.people, scale=scale)
    for length in (1, 3, None):
        ratings, valid = people.history(length).ratings_BK, people.history(length).valid_BK
        # A person's own centre is subtracted, so that what they see sums to 0 (unless clipped at the ends).
        assert ((ratings * valid).sum(1).abs() < 1e-3)[(ratings.abs() < 1).all(1)].all()


def test_without_times_the_order_of_rows_does_not_matter() -> None:
    table = make_tastes(users=3, rated=10).training.ratings
    order = np.random.default_rng(0).permutation(len(table))
    assert np.array_equal(first_share(table, 0.5)[order], first_share(table.take(order), 0.5))


def test_permuting_ratings_permutes_picks_within_their_questions() -> None:
    people = make_tastes(rated=40).people
    place_K = torch.arange(people.item_BK.shape[1])
    question_BK = torch.where(place_K >= 8, 1 + place_K // 4, 0).expand_as(people.item_BK)
    raw_BK = torch.where(question_BK > 0, torch.where(place_K % 4 == 1, 1.0, -1.0), people.raw_BK)
    people = replace(people, question_BK=question_BK, raw_BK=raw_BK)
    changed = permuted_ratings(people, torch.Generator().manual_seed(1))
    assert torch.equal(changed.raw_BK[:, :8].sum(1), raw_BK[:, :8].sum(1))
    picks_BQ4 = (changed.raw_BK[:, 8:] > 0).unflatten(1, (-1, 4))
    assert (picks_BQ4.sum(2) == 1).all()
    assert len(picks_BQ4.int().argmax(2).unique()) == 4  # not where they were


def test_another_users_choices_are_theirs() -> None:
    people = make_tastes().people
    people = replace(people, question_BK=torch.arange(len(people))[:, None].expand_as(people.item_BK))
    changed = other_user(people, torch.Generator().manual_seed(1))
    giver = [people.users.index(user) for user in changed.shown_as]
    assert changed.question_BK[:, 0].tolist() == giver
