"""The rating head: a Gaussian process, against its closed form and against simulated tastes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prefprior.history import History
from prefprior.models.rating.rating_head import RatingHead
from prefprior.models.scale import Standardize
from prefprior.space import Space
from tests.models.conftest import DIM, make_history
from tests.models.rating.conftest import ratings_of


@pytest.fixture(scope="module")
def head(space: Space, population: Any) -> RatingHead:
    made = RatingHead(space=space, scale=Standardize(space=space))
    made.prepare(population)
    return made


def new_users(population: Any, count: int, users: int = 40) -> tuple[History, np.ndarray]:
    """Users of the same population who were not trained on, and their true ratings of every item."""
    draws = np.random.default_rng(9)
    taste_UD = draws.standard_normal((users, DIM)) * 0.4
    truth_UN = population.appeal_N + taste_UD @ population.unit_ND.T
    rows_UK = np.stack([draws.permutation(len(population.appeal_N) - 10)[:count] for _ in range(users)])
    rating_UK = np.clip(np.take_along_axis(truth_UN, rows_UK, 1), -1, 1).astype(np.float32)
    names = [f"s{i}" for i in range(users)]
    table_ND = population.catalogue.embeddings_ND
    return History.from_rows(table_ND, torch.from_numpy(rows_UK), torch.from_numpy(rating_UK), names), truth_UN


def agreement(expected_UN: Tensor, truth_UN: np.ndarray) -> float:
    return float(np.mean([np.corrcoef(e, t)[0, 1] for e, t in zip(expected_UN.numpy(), truth_UN)]))


def test_more_ratings_improve_predictions(head: RatingHead, population: Any) -> None:
    found = []
    for count in (1, 8, 32):
        history, truth_UN = new_users(population, count)
        found.append(agreement(head.posterior(history).expected(population.catalogue.embeddings_ND), truth_UN))
    assert found[0] < found[1] < found[2]
    assert found[2] > 0.85


def test_negated_ratings_negate_the_predicted_taste(head: RatingHead, population: Any) -> None:
    history, truth_UN = new_users(population, 32)
    personal_UN = truth_UN - population.appeal_N
    raw_ND = population.catalogue.embeddings_ND
    mean_N, _ = head.means(raw_ND, head.means.features(raw_ND))
    true = agreement(head.posterior(history).expected(raw_ND) - mean_N, personal_UN)
    history.ratings_BK.neg_()
    assert true > 0.7
    assert agreement(head.posterior(history).expected(raw_ND) - mean_N, personal_UN) < -0.2


def test_permuted_ratings_predict_worse(head: RatingHead, population: Any) -> None:
    history, truth_UN = new_users(population, 32)
    raw_ND = population.catalogue.embeddings_ND
    true = agreement(head.posterior(history).expected(raw_ND), truth_UN)
    history.ratings_BK = history.ratings_BK.roll(7, dims=1)
    assert agreement(head.posterior(history).expected(raw_ND), truth_UN) < true - 0.2


def test_an_empty_history_gives_the_item_means(head: RatingHead, population: Any) -> None:
    raw_ND = population.catalogue.embeddings_ND
    expected_1N = head.posterior(make_history(2, 5).empty()).expected(raw_ND)
    torch.testing.assert_close(expected_1N[0], head.means(raw_ND, head.means.features(raw_ND))[0])


def test_predictions_match_the_closed_form_of_a_gaussian_process(head: RatingHead, population: Any) -> None:
    history, _ = new_users(population, 6, users=1)
    raw_ND = population.catalogue.embeddings_ND[:9]
    offset, taste, noise = head.log_variances.double().exp()
    x_KD, x_ND = (head.means.features(raw).double() for raw in (history.embeddings_BKD[0], raw_ND))
    mean_K, variance_K = head.means(history.embeddings_BKD[0], head.means.features(history.embeddings_BKD[0]))
    gram_KK = taste * x_KD @ x_KD.T + offset + torch.diag(noise + variance_K)
    weight_K = torch.linalg.solve(gram_KK, (history.ratings_BK[0] - mean_K).double())
    expected_N = head.means(raw_ND, head.means.features(raw_ND))[0] + (taste * x_ND @ x_KD.T + offset) @ weight_K
    torch.testing.assert_close(head.posterior(history).expected(raw_ND)[0], expected_N.float(), atol=1e-5, rtol=1e-4)


def test_padding_and_order_do_not_matter(head: RatingHead) -> None:
    history, raw_ND = make_history(3, 6), torch.randn(7, DIM)
    expected_BN = head.posterior(history).expected(raw_ND)
    mirrored = history.gather(torch.arange(5, -1, -1).expand(3, -1))
    torch.testing.assert_close(head.posterior(mirrored).expected(raw_ND), expected_BN)
    hidden = make_history(3, 6)
    hidden.embeddings_BKD[~hidden.valid_BK] = 1e3
    torch.testing.assert_close(head.posterior(hidden).expected(raw_ND), expected_BN)


def test_items_per_user_are_rated_like_those_of_a_catalogue(head: RatingHead) -> None:
    history, raw_ND = make_history(3, 6), torch.randn(7, DIM)
    own_BND = raw_ND.expand(3, -1, -1)
    torch.testing.assert_close(head.posterior(history).expected(own_BND), head.posterior(history).expected(raw_ND))


def test_likes_alone_are_not_learned(space: Space) -> None:
    made = RatingHead(space=space, scale=Standardize(space=space))
    made.prepare(ratings_of(space, liked_only=True))
    assert not made.has_learned


def test_the_state_dict_restores_predictions(head: RatingHead, space: Space, population: Any) -> None:
    again = RatingHead(space=space, scale=Standardize(space=space))
    again.load_state_dict(head.state_dict())
    history, _ = new_users(population, 4)
    raw_ND = population.catalogue.embeddings_ND
    assert again.has_learned
    assert torch.equal(again.posterior(history).expected(raw_ND), head.posterior(history).expected(raw_ND))


def test_log_liking_orders_items_as_expected_ratings_do(head: RatingHead, population: Any) -> None:
    history, _ = new_users(population, 8)
    raw_ND = population.catalogue.embeddings_ND
    posterior, scores = head.posterior(history), torch.randn(3, len(history), len(raw_ND))
    expected_BN, liking_BN = (
        posterior.rate(raw_ND, scores),
        posterior.log_liking(raw_ND, scores),
    )
    assert torch.equal(expected_BN.argsort(1), liking_BN.argsort(1))
    assert bool((liking_BN <= 0).all())
