"""The rating head: a Gaussian process, against its closed form and against simulated tastes."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prefprior.data.histories.sequences import Sequences
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


def choice(population: Any, rows: list[int], picked: list[int]) -> History:
    """One user's answer to one question."""
    return History.from_rows(
        population.catalogue.embeddings_ND,
        torch.tensor([rows]),
        torch.tensor([[1.0 if row in picked else -1.0 for row in rows]]),
        ["s"],
        question_BK=torch.ones(1, len(rows), dtype=torch.long),
    )


def deviation(head: RatingHead, history: History, population: Any) -> Tensor:
    """How far expected ratings are from the item means."""
    raw_ND = population.catalogue.embeddings_ND
    mean_N, _ = head.means(raw_ND, head.means.features(raw_ND))
    return (head.posterior(history).expected(raw_ND) - mean_N)[0]


def test_a_choice_is_one_observation_of_a_difference(head: RatingHead, population: Any) -> None:
    """Against the posterior in closed form: x the features of what was picked less the mean of the others."""
    raw_ND = population.catalogue.embeddings_ND
    x_ND = head.means.features(raw_ND)
    mean_N, variance_N = head.means(raw_ND, x_ND)
    _, taste, _ = head.log_variances.exp()
    delta, noise = head.choice_2[0], head.choice_2[1].exp()
    z_D = x_ND[3] - (x_ND[7] + x_ND[11]) / 2
    expected = delta - (mean_N[3] - (mean_N[7] + mean_N[11]) / 2)
    variance = taste * z_D @ z_D + noise + variance_N[3] + (variance_N[7] + variance_N[11]) / 4
    torch.testing.assert_close(
        deviation(head, choice(population, [7, 3, 11], [3]), population), taste * (x_ND @ z_D) * expected / variance
    )


@pytest.mark.parametrize("picked", [[], [3, 7, 11]])
def test_nothing_or_everything_picked_observes_nothing(head: RatingHead, population: Any, picked: list[int]) -> None:
    assert not deviation(head, choice(population, [7, 3, 11], picked), population).any()


def test_what_was_passed_over_is_no_rating(head: RatingHead, population: Any) -> None:
    history = choice(population, [7, 3, 11], [3])
    rated = History.from_rows(population.catalogue.embeddings_ND, history.items_BK, history.ratings_BK, ["s"])
    assert deviation(head, history, population).mean() > deviation(head, rated, population).mean()


def test_choices_alone_say_what_a_user_likes(head: RatingHead, population: Any) -> None:
    draws = np.random.default_rng(5)
    _, truth_UN = new_users(population, 1, users=20)
    rows_UK = np.stack([draws.permutation(len(population.appeal_N))[:80] for _ in truth_UN])
    shown_UQ4 = np.take_along_axis(truth_UN, rows_UK, 1).reshape(20, 20, 4)
    picked_UQ4 = shown_UQ4 == shown_UQ4.max(2, keepdims=True)
    found = {}
    for name, picks in (("true", picked_UQ4), ("other", np.roll(picked_UQ4, 1, axis=2))):
        history = History.from_rows(
            population.catalogue.embeddings_ND,
            torch.from_numpy(rows_UK),
            torch.from_numpy(np.where(picks, 1.0, -1.0).reshape(20, 80)).float(),
            [f"s{u}" for u in range(20)],
            question_BK=(torch.arange(80) // 4 + 1).expand(20, -1),
        )
        expected_UN = head.posterior(history).expected(population.catalogue.embeddings_ND)
        found[name] = agreement(expected_UN, truth_UN)
    assert found["true"] > 0.6
    assert found["true"] > found["other"] + 0.2


def test_a_training_part_with_choices_teaches_what_a_choice_says(space: Space, population: Any) -> None:
    made = RatingHead(space=space, scale=Standardize(space=space))
    made.prepare(with_choices(population))
    assert made.has_learned
    assert made.choice_2.tolist() != RatingHead(space=space, scale=Standardize(space=space)).choice_2.tolist()
    rated = RatingHead(space=space, scale=Standardize(space=space))
    rated.prepare(population)
    torch.testing.assert_close(made.log_variances, rated.log_variances, atol=0.3, rtol=0)


def with_choices(population: Any) -> Any:
    """The same population, whose users also choose the best of four items as often as they rate."""
    table, draws = population.part("train"), np.random.default_rng(3)
    columns: dict[str, list[Any]] = {"user_N": [], "item_N": [], "rating_N": [], "question_N": []}
    for user, taste_D in enumerate(population.taste_UD):
        truth_N = population.appeal_N + population.unit_ND @ taste_D
        own = table.user_N == user
        for item, rating in zip(table.item_N[own], table.rating_N[own], strict=True):
            for name, value in zip(columns, (user, item, rating, -1), strict=True):
                columns[name].append(value)
        for number in range(10):
            shown = draws.choice(len(truth_N), 4, replace=False)
            felt = truth_N[shown] + draws.standard_normal(4) * 0.15
            for item, value in zip(shown, felt, strict=True):
                for name, entry in zip(columns, (user, item, 1 if value == felt.max() else -1, number), strict=True):
                    columns[name].append(entry)
    dtypes = {"user_N": np.int32, "item_N": np.int32, "rating_N": np.float32, "question_N": np.int64}
    asked = replace(table, **{name: np.array(values, dtype=dtypes[name]) for name, values in columns.items()})
    return SimpleNamespace(
        **{**vars(population), "training_sequences": lambda most: Sequences.of(asked).first_ratings(most)}
    )
