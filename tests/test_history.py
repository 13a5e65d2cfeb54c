"""prefprior/history.py: how histories are made, cut and padded, and what they hide."""

from dataclasses import replace

import pytest
import torch

from prefprior.history import History, concatenate, gather_rows, hide_seen
from tests.data.small import module, ratings

TABLE_ND = torch.arange(1.0, 11.0).reshape(5, 2)


def history(*rows: list[int]) -> History:
    """Histories of rows of the table, whose ratings are a tenth of the row."""
    rows_BK = torch.tensor(rows)
    return History.from_rows(TABLE_ND, rows_BK, rows_BK / 10, [f"u{b}" for b in range(len(rows))])


def same(one: History, other: History) -> bool:
    names = ("embeddings_BKD", "ratings_BK", "ages_BK", "valid_BK", "items_BK")
    return one.users == other.users and all(torch.equal(getattr(one, n), getattr(other, n)) for n in names)


def test_rows_of_minus_one_are_zeros() -> None:
    assert gather_rows(TABLE_ND, torch.tensor([[1, -1]])).tolist() == [[[3.0, 4.0], [0.0, 0.0]]]


def test_gathered_rows_of_half_precision_become_float32() -> None:
    assert gather_rows(TABLE_ND.half(), torch.tensor([0, 4])).dtype == torch.float32


def test_padding_is_zeros_without_an_item() -> None:
    made = history([2, -1])
    assert made.valid_BK.tolist() == [[True, False]]
    assert made.items_BK.tolist() == [[2, -1]]
    assert made.embeddings_BKD[0, 1].tolist() == [0, 0]
    assert (made.ratings_BK[0, 1], made.ages_BK[0, 1]) == (0, 0)


def test_ages_count_from_the_most_recent() -> None:
    assert history([2, -1, 4]).ages_BK.tolist() == [[0, 0, 2]]


def test_items_may_be_rows_of_another_table() -> None:
    made = History.from_rows(
        TABLE_ND, torch.tensor([[1, -1]]), torch.ones(1, 2), ["u"], items_BK=torch.tensor([[70, 80]])
    )
    assert made.items_BK.tolist() == [[70, -1]]
    assert made.embeddings_BKD[0, 0].tolist() == TABLE_ND[1].tolist()


def test_a_history_from_embeddings_has_no_items() -> None:
    made = History.of(TABLE_ND[:2], [1.0, -0.5], ages_K=[0, 0], user="you")
    assert torch.equal(made.embeddings_BKD[0], TABLE_ND[:2])
    assert made.items_BK.tolist() == [[-1, -1]]
    assert bool(made.valid_BK.all())


def test_an_empty_list_gives_a_history_without_valid_entries() -> None:
    made = History.of(torch.zeros(0, 2), [], ages_K=[], user="you")
    assert made.embeddings_BKD.shape == (1, 1, 2)
    assert not made.valid_BK.any()


def test_ratings_beyond_the_scale_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be in \[-1, 1\], got \[2"):
        History.of(TABLE_ND[:1], [2.0], ages_K=[0], user="you")


def test_a_picture_without_a_rating_is_refused() -> None:
    with pytest.raises(ValueError, match="got 2 pictures, 1 ratings and 2 ages"):
        History.of(TABLE_ND[:2], [1.0], ages_K=[0, 1], user="you")


def test_gathering_positions_keeps_all_columns_aligned() -> None:
    expected = history([3, 1])
    expected.ages_BK = torch.tensor([[2.0, 0.0]])
    assert same(history([1, 2, 3]).gather(torch.tensor([[2, 0]])), expected)


def test_the_last_ratings_are_those_of_the_smallest_ages() -> None:
    shuffled = history([1, 2, 3, -1]).gather(torch.tensor([[3, 2, 0, 1]]))
    assert same(shuffled.last(2), history([1, 2]))


def test_packing_puts_valid_ratings_first_and_cuts_common_padding() -> None:
    packed = history([-1, 2, -1, 4], [-1, -1, -1, 3]).packed(multiple=2)
    assert packed.items_BK.tolist() == [[2, 4], [3, -1]]


def test_packing_pads_to_a_multiple() -> None:
    assert history([1, -1, -1, -1]).packed(multiple=3).valid_BK.shape == (1, 3)


def test_joined_batches_are_padded() -> None:
    data = module()
    batches = [next(iter(data.train_dataloader()))] * 2
    short = replace(batches[0], history=batches[0].history.gather(torch.zeros(len(batches[0]), 1, dtype=torch.long)))
    joined = concatenate([short, batches[1]]).history
    assert bool((joined.items_BK[: len(short), 1:] == -1).all())
    assert same(joined.take(range(len(short), len(joined.users))), batches[1].history)


def hidden(scores_BN: torch.Tensor) -> list[list[int]]:
    return [(row_N == -torch.inf).nonzero()[:, 0].tolist() for row_N in scores_BN]


def test_items_of_the_history_are_masked() -> None:
    seen = history([0, 3], [2, 1])
    seen.valid_BK[1, 1] = False
    assert hidden(hide_seen(torch.zeros(2, 4), seen)) == [[0, 3], [2]]


def test_items_without_a_row_mask_nothing() -> None:
    assert hidden(hide_seen(torch.zeros(1, 4), History.of(torch.zeros(1, 2), [1.0], ages_K=[0], user="you"))) == [[]]


def test_rows_of_items_are_masked() -> None:
    assert hidden(hide_seen(torch.zeros(2, 3), torch.tensor([[0, -1], [-1, -1]]))) == [[0], []]


def test_a_part_of_a_catalogue_masks_its_own_rows() -> None:
    assert hidden(hide_seen(torch.zeros(1, 3), torch.tensor([[1, 4, 6, -1]]), start=4)) == [[0, 2]]


def test_scores_are_changed_in_place() -> None:
    scores_BN = torch.zeros(1, 2)
    assert hide_seen(scores_BN, torch.tensor([[1]])) is scores_BN


def grids() -> History:
    """A rating, a choice among three of which the second was picked, a rating, and a choice of none of two."""
    return History.from_rows(
        TABLE_ND,
        torch.tensor([[0, 1, 2, 3, 4, 0, 1]]),
        torch.tensor([[0.5, -1, 1, -1, -0.5, -1, -1]]),
        ["u"],
        question_BK=torch.tensor([[0, 7, 7, 7, 0, 2, 2]]),
    )


def test_all_items_of_a_question_have_its_age() -> None:
    assert grids().ages_BK.tolist() == [[0, 1, 1, 1, 2, 3, 3]]


def test_what_was_passed_over_is_not_disliked() -> None:
    made = grids()
    assert made.liked_BK[0].nonzero()[:, 0].tolist() == [0, 2]
    assert made.disliked_BK[0].nonzero()[:, 0].tolist() == [4]
    assert made.passed_BK[0].nonzero()[:, 0].tolist() == [1, 3, 5, 6]
    assert made.picked_BK[0].nonzero()[:, 0].tolist() == [2]
    assert made.rated_BK[0].nonzero()[:, 0].tolist() == [0, 4]


@pytest.mark.parametrize(
    ("count", "kept"), [(7, 7), (6, 5), (5, 5), (4, 4), (3, 1), (1, 1)], ids=lambda value: str(value)
)
def test_the_last_entries_never_split_a_question(count: int, kept: int) -> None:
    recent = grids().last(count)
    assert recent.items_BK[recent.valid_BK].tolist() == [0, 1, 2, 3, 4, 0, 1][:kept]


def test_the_last_entries_do_not_depend_on_their_order() -> None:
    order = torch.tensor([[6, 3, 0, 2, 5, 4, 1]])
    recent = grids().gather(order).last(4)
    assert sorted(recent.items_BK[recent.valid_BK].tolist()) == [0, 1, 2, 3]


def test_as_ratings_a_pick_is_a_like_and_nothing_is_passed_over() -> None:
    plain = grids().as_ratings()
    assert plain.items_BK[plain.valid_BK].tolist() == [0, 2, 4]
    assert not plain.has_questions


def test_packing_and_taking_users_keep_questions() -> None:
    two = grids().take([0, 0])
    assert two.question_BK.tolist() == 2 * grids().question_BK.tolist()
    assert two.last(5).packed(1).question_BK.tolist() == 2 * [[0, 7, 7, 7, 0]]


def test_histories_of_ratings_have_question_0() -> None:
    assert not history([1, 2]).question_BK.any()
    assert not History.of(TABLE_ND[:2], [1.0, -0.5], ages_K=[0, 0], user="you").question_BK.any()


@pytest.mark.parametrize(
    ("ratings", "ages", "questions", "message"),
    [
        ([1, -1], [0, 0], [1, 2], "question 1 shows 1 pictures"),
        ([1, 0.5], [0, 0], [1, 1], "rating 0.5; it must be 1"),
        ([1, -1], [0, 1], [1, 1], "same age"),
        ([1, -1], [0, 0], [1], "one question number per picture"),
        ([1, -1], [0, 0], [-1, -1], "number above 0"),
    ],
)
def test_impossible_questions_are_refused(
    ratings: list[float], ages: list[float], questions: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        History.of(TABLE_ND[:2], ratings, ages_K=ages, user="you", question_K=questions)


def test_joined_batches_remember_which_targets_were_picked() -> None:
    one = next(iter(module(ratings(users=8, pairs=True), batch_size=4).train_dataloader()))
    other = replace(one, target_picked_BT=None)
    joined = concatenate([one, other])
    assert one.target_picked_BT is not None
    assert one.target_picked_BT.any()
    assert joined.target_picked_BT is not None
    assert torch.equal(joined.target_rated_BT[:4], one.target_rated_BT)
    assert torch.equal(joined.target_rated_BT[4:], one.target_valid_BT)
