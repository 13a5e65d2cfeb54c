"""prefprior/data/held_out.py: the users an evaluation is over."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prefprior.data.held_out import HeldOutUsers, first_share
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space
from tests.data.small import ratings

CATALOGUE = Catalogue(
    Space("x", np.zeros(2, np.float32), np.ones(2, np.float32), 1.0),
    [f"i{i}" for i in range(10)],
    torch.arange(20.0).reshape(10, 2),
)


def table(*rated: tuple[int, int, int], liked_only: bool = False) -> RatingsTable:
    """Ratings of 1 to 5 as (user, item, rating)."""
    user, item, rating = (np.array(column) for column in zip(*rated, strict=True))
    return RatingsTable(
        source="x", scale=RatingScale(1, 5, 4, liked_only=liked_only), users=np.array(["a", "b", "c"]),
        items=np.array(CATALOGUE.ids), user_N=user.astype(np.int32), item_N=item.astype(np.int32),
        rating_N=rating.astype(np.float32),
    )  # fmt: skip


BEFORE = table((0, 1, 5), (0, 2, 1), (0, 3, 4), (1, 4, 2), (2, 9, 5))
AFTER = table((0, 5, 5), (0, 6, 1), (1, 7, 3), (1, 4, 5))


@pytest.fixture
def held_out() -> HeldOutUsers:
    return HeldOutUsers.of(BEFORE, AFTER, CATALOGUE)


def test_only_users_with_history_and_held_out_ratings_are_included(held_out: HeldOutUsers) -> None:
    assert held_out.users == ["a", "b"]


def test_items_rated_before_are_not_held_out_but_counted(held_out: HeldOutUsers) -> None:
    assert held_out.held_item_BT.tolist() == [[5, 6], [7, -1]]
    assert held_out.repeated == 1


def test_histories_are_the_newest_ratings_first(held_out: HeldOutUsers) -> None:
    assert held_out.history(2).items_BK.tolist() == [[3, 2], [4, -1]]


def test_a_history_holds_its_embeddings(held_out: HeldOutUsers) -> None:
    history = held_out.history()
    assert torch.equal(history.embeddings_BKD[0], CATALOGUE.embeddings_ND[[3, 2, 1]])


def test_the_seen_mask_covers_ratings_cut_from_the_history() -> None:
    held_out = HeldOutUsers.of(BEFORE, AFTER, CATALOGUE, cap=1)
    assert held_out.history().items_BK.tolist() == [[3], [4]]
    assert held_out.seen_item_BS.tolist() == [[1, 2, 3], [4, -1, -1]]


def test_likes_use_the_threshold_of_the_source(held_out: HeldOutUsers) -> None:
    assert held_out.held_liked_BT.tolist() == [[True, False], [False, False]]


def test_with_implicit_feedback_all_held_out_items_are_likes() -> None:
    before, after = (replace(t, scale=RatingScale(1, 5, 4, liked_only=True)) for t in (BEFORE, AFTER))
    held_out = HeldOutUsers.of(before, after, CATALOGUE)
    assert held_out.held_liked_BT.tolist() == [[True, True], [True, False]]


def test_negation_changes_only_the_history(held_out: HeldOutUsers) -> None:
    negated = replace(held_out, sign=-1.0)
    assert torch.equal(negated.history().ratings_BK, -held_out.history().ratings_BK)
    assert torch.equal(negated.held_rating_BT, held_out.held_rating_BT)


def test_histories_can_be_exchanged_between_users(held_out: HeldOutUsers) -> None:
    assert replace(held_out, shown_as=("x", "y")).history().users == ["x", "y"]


def test_held_out_embeddings_are_zero_where_padded(held_out: HeldOutUsers) -> None:
    assert held_out.held_embeddings()[1].tolist() == [CATALOGUE.embeddings_ND[7].tolist(), [0, 0]]


def test_selecting_users_trims_the_padding(held_out: HeldOutUsers) -> None:
    alone = held_out.take(torch.tensor([1]))
    assert (alone.users, alone.item_BK.shape, alone.held_item_BT.shape) == (["b"], (1, 1), (1, 1))


def test_users_without_held_out_items_are_dropped_by_a_filter(held_out: HeldOutUsers) -> None:
    left = held_out.where(held_out.held_item_BT == 6)
    assert (left.users, left.held_item_BT.tolist()) == (["a"], [[6]])


def test_chunks_contain_all_users_in_order(held_out: HeldOutUsers) -> None:
    chunks = list(held_out.chunks(scores=len(CATALOGUE)))
    assert [chunk.users for chunk in chunks] == [["a"], ["b"]]


def test_at_most_n_users_are_taken_at_even_distances() -> None:
    many = ratings(users=40)
    catalogue = Catalogue(CATALOGUE.space, [str(i) for i in many.items], torch.zeros(len(many.items), 2))
    held_out = HeldOutUsers.halves(many, catalogue)
    assert held_out.first(4).users == [held_out.users[len(held_out) * i // 4] for i in range(4)]


def test_halves_leave_out_users_with_one_rating() -> None:
    assert HeldOutUsers.halves(BEFORE, CATALOGUE).users == ["a"]


def test_a_first_share_is_rounded_up_but_never_all() -> None:
    assert first_share(replace(BEFORE, time_N=np.arange(5.0)), 0.9).tolist() == [True, True, False, True, True]


def test_a_first_count_is_the_same_for_all_users() -> None:
    assert first_share(replace(BEFORE, time_N=np.arange(5.0)), 0.5, count=1).tolist() == [
        True,
        False,
        False,
        True,
        True,
    ]


def test_without_times_the_split_does_not_depend_on_the_order_of_rows() -> None:
    order = np.array([2, 0, 1, 3, 4])
    first, shuffled = first_share(BEFORE, 0.5), first_share(BEFORE.take(order), 0.5)
    assert shuffled.tolist() == first[order].tolist()


def asked(*rows: tuple[int, int, int, int]) -> RatingsTable:
    """(user, item, rating, question): a question's rating is 5 if picked, else 1."""
    question_N, time_N = np.array([row[3] for row in rows]), np.arange(float(len(rows)))
    return replace(table(*(row[:3] for row in rows)), question_N=question_N, time_N=time_N)


CHOSEN = asked((0, 1, 4, -1), (0, 2, 1, 0), (0, 3, 5, 0), (0, 4, 1, 0), (0, 5, 2, -1), (0, 6, 1, 1), (0, 7, 5, 1))
LATER = table((0, 8, 5), (0, 9, 1))


def test_a_share_of_answers_never_splits_a_question() -> None:
    assert first_share(CHOSEN, 0.5).tolist() == [True] * 4 + [False] * 3
    assert first_share(CHOSEN, 0.75).tolist() == [True] * 5 + [False] * 2


@pytest.mark.parametrize(("length", "items"), [(7, [7, 6, 5, 4, 3, 2, 1]), (5, [7, 6, 5]), (2, [7, 6]), (1, [])])
def test_histories_keep_questions_whole(length: int, items: list[int]) -> None:
    people = HeldOutUsers.of(CHOSEN, LATER, CATALOGUE)
    history = people.history(length)
    assert history.items_BK[history.valid_BK].tolist() == items
    capped = HeldOutUsers.of(CHOSEN, LATER, CATALOGUE, cap=length).history()
    assert capped.items_BK[capped.valid_BK].tolist() == items


def test_picks_are_read_as_picks_whatever_a_users_scale() -> None:
    history = HeldOutUsers.of(CHOSEN, LATER, CATALOGUE).history()
    assert history.picked_BK[0].tolist() == [True, False, False, False, True, False, False]
    assert history.passed_BK[0].tolist() == [False, True, False, True, False, True, False]
    assert history.ages_BK[0].tolist() == [0, 0, 1, 2, 2, 2, 3]


def test_what_was_passed_over_is_held_out_as_no_rating() -> None:
    people = HeldOutUsers.of(BEFORE, asked((0, 5, 5, 0), (0, 6, 1, 0), (0, 7, 2, -1)), CATALOGUE)
    assert people.held_liked_BT.tolist() == [[True, False, False]]
    assert people.held_disliked_BT.tolist() == [[False, True, True]]
    assert people.held_rated_BT.tolist() == [[False, False, True]]
