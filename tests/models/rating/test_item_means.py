"""Item means: the posterior, shrinkage towards embeddings, and leaving out a user's own rating."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prefprior.models.rating.item_means import ItemMeans
from prefprior.models.scale import Standardize
from prefprior.space import Space


def of(means: ItemMeans, raw: Tensor, without: Tensor | None = None) -> tuple[Tensor, Tensor]:
    return means(raw, means.features(raw), without)


@pytest.fixture(scope="module")
def means(space: Space, population: Any) -> ItemMeans:
    made, table = ItemMeans(Standardize(space=space)), population.part("train")
    made.learn(population.catalogue.embeddings_ND, table.item_N, table.user_N, table.rating_N)
    return made


def test_means_are_near_the_true_ones(means: ItemMeans, population: Any) -> None:
    found_N, _ = of(means, population.catalogue.embeddings_ND)
    assert np.corrcoef(found_N[:-10], population.appeal_N[:-10])[0, 1] > 0.9


def test_an_item_without_ratings_keeps_the_prior_of_its_embedding(means: ItemMeans, population: Any) -> None:
    new_ND = population.catalogue.embeddings_ND[-10:]
    mean_N, variance_N = of(means, new_ND)
    torch.testing.assert_close(mean_N, means.features(new_ND) @ means.weights_D + means.level)
    torch.testing.assert_close(variance_N, means.own.expand(10))


def test_ratings_reduce_the_variance_of_an_item(means: ItemMeans, population: Any) -> None:
    _, variance_N = of(means, population.catalogue.embeddings_ND)
    assert variance_N[:-10].max() < 0.5 * variance_N[-1]


def test_the_posterior_is_the_conjugate_one(means: ItemMeans, population: Any) -> None:
    raw_1D = population.catalogue.embeddings_ND[:1]
    place = int(means.known.place(raw_1D))
    prior = float(means.features(raw_1D) @ means.weights_D + means.level)
    precision = 1 / float(means.own) + float(means.known.count_P[place] / means.noise)
    expected = (prior / float(means.own) + float(means.known.sum_P[place] / means.noise)) / precision
    mean, variance = of(means, raw_1D)
    assert float(mean) == pytest.approx(expected, rel=1e-4)
    assert float(variance) == pytest.approx(1 / precision, rel=1e-4)


def test_one_rating_can_be_left_out(means: ItemMeans, population: Any) -> None:
    raw_1D = population.catalogue.embeddings_ND[:1]
    place = int(means.known.place(raw_1D))
    rest = ItemMeans(means.scale)
    rest.load_state_dict(means.state_dict())
    rest.known.sum_P[place] -= 0.7
    rest.known.count_P[place] -= 1
    for left_out, expected in zip(of(means, raw_1D, torch.tensor([0.7])), of(rest, raw_1D)):
        torch.testing.assert_close(left_out, expected)


def test_items_are_recognised_in_half_precision(means: ItemMeans, population: Any) -> None:
    raw_ND = population.catalogue.embeddings_ND
    torch.testing.assert_close(of(means, raw_ND.half())[0], of(means, raw_ND)[0], atol=1e-3, rtol=0)


def test_strict_users_do_not_lower_item_means(space: Space, population: Any) -> None:
    table, made = population.part("train"), ItemMeans(Standardize(space=space))
    strict_N = table.rating_N - 0.8 * (table.user_N % 2)
    made.learn(population.catalogue.embeddings_ND, table.item_N, table.user_N, strict_N)
    found_N, _ = of(made, population.catalogue.embeddings_ND)
    assert np.corrcoef(found_N[:-10], population.appeal_N[:-10])[0, 1] > 0.9
