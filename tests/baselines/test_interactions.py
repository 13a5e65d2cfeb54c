"""prefprior/baselines/interactions.py: likes of a training part and of histories as matrices over the same items."""

import numpy as np
import pytest
import torch

from prefprior.baselines.interactions import Items, training_matrix
from prefprior.history import History
from prefprior.predictor import Catalogue, TrainingPart
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space

RAW = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(Space.measure("toy", RAW), ["a", "b", "c", "d"], torch.from_numpy(RAW))


def part(catalogue: Catalogue, rows: list[tuple[int, int, float]], *, liked_only: bool = False) -> TrainingPart:
    """Ratings (user, item, rating) from 1 to 5, of which 4 and 5 are likes."""
    user, item, rating = (np.array(column) for column in zip(*rows, strict=True))
    table = RatingsTable(
        source="toy", scale=RatingScale(1, 5, 4, liked_only), users=np.array([f"u{u}" for u in range(9)]),
        items=np.array(catalogue.ids), user_N=user.astype(np.int32), item_N=item.astype(np.int32),
        rating_N=rating.astype(np.float32),
    )  # fmt: skip
    return TrainingPart(table, catalogue)


def test_likes_count_1_and_other_ratings_what_they_are_said_to(catalogue: Catalogue) -> None:
    training = part(catalogue, [(0, 0, 5), (0, 2, 1), (7, 2, 4)])
    assert training_matrix(training, 0.25).toarray().tolist() == [[1, 0, 0.25, 0], [0, 0, 1, 0]]


def test_where_all_are_likes_no_value_matters(catalogue: Catalogue) -> None:
    assert training_matrix(part(catalogue, [(0, 1, 1)], liked_only=True), 0.0).toarray().tolist() == [[0, 1, 0, 0]]


def test_of_two_ratings_of_one_item_the_newest_counts(catalogue: Catalogue) -> None:
    assert training_matrix(part(catalogue, [(0, 0, 5), (0, 0, 1)]), 0.25).toarray().tolist() == [[0.25, 0, 0, 0]]


def test_what_does_not_count_takes_no_place(catalogue: Catalogue) -> None:
    assert training_matrix(part(catalogue, [(0, 0, 5), (0, 1, 1)]), 0.0).nnz == 1


@pytest.fixture
def history(catalogue: Catalogue) -> History:
    rows_BK = torch.tensor([[3, 0, 1], [1, -1, -1]])
    return History.from_rows(catalogue.embeddings_ND, rows_BK, torch.tensor([[1.0, -1, 1], [-0.5, 0, 0]]), ["x", "y"])


def test_histories_are_rows_over_the_items_that_are_counted(catalogue: Catalogue, history: History) -> None:
    items = Items(["d", "a"])
    assert items.history_matrix(history, catalogue, 0.25).toarray().tolist() == [[1, 0.25], [0, 0]]


def test_pictures_of_no_catalogue_are_left_out(catalogue: Catalogue, history: History) -> None:
    history.items_BK[:] = -1
    assert Items(catalogue.ids).history_matrix(history, catalogue, 0.25).nnz == 0


def test_scores_stand_where_the_catalogue_has_the_items(catalogue: Catalogue) -> None:
    spread_BN = Items(["d", "a"]).spread(torch.tensor([[1.0, 2.0]]), catalogue)
    assert spread_BN.tolist() == [[2, 0, 0, 1]]


def test_a_pick_is_a_like_and_what_was_passed_over_was_never_seen(catalogue: Catalogue) -> None:
    history = History.from_rows(
        catalogue.embeddings_ND, torch.tensor([[1, 2, 3]]), torch.tensor([[-1.0, 1, -1]]), ["u"],
        question_BK=torch.tensor([[1, 1, 1]]),
    )  # fmt: skip
    matrix = Items(catalogue.ids).history_matrix(history, catalogue, unliked=0.5)
    assert matrix.nonzero()[1].tolist() == [2]
