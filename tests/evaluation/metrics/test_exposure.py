from collections.abc import Callable

import numpy as np
import pytest
import torch

from prefprior.evaluation.metrics.exposure import (
    corrected,
    entropy,
    exposure,
    exposure_intervals,
    gini,
    jain,
    lookalikes,
    satisfied,
    segments,
    shown,
    user_vectors,
)
from prefprior.evaluation.protocol.bootstrap import weights
from tests.evaluation.tastes import Oracle, Tastes, make_tastes


def test_gini_entropy_and_jain_by_hand() -> None:
    assert gini(np.array([5, 5, 5, 5])) == 0
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    assert gini(np.array([1, 3])) == pytest.approx(0.25)
    assert entropy(np.array([2, 2, 0, 0])) == pytest.approx(0.5)
    assert jain(np.array([4, 4, 0, 0])) == pytest.approx(0.5)
    assert shown(np.array([4, 4, 0, 0])) == 0.5
    assert satisfied(np.array([1, 1, 5, 0])) == 0.75


@pytest.mark.parametrize("measure", [gini, entropy, jain, shown, satisfied])
def test_corrected_measures_reach_their_ends(measure: Callable[[np.ndarray], float]) -> None:
    uneven = np.array([6, 6, 0, 0, 0, 0, 0])  # 6 people are shown the same 2 of 7 items
    even = np.array([2, 2, 2, 2, 2, 1, 1])
    assert corrected(measure, uneven, 6) == pytest.approx(0)
    assert corrected(measure, even, 6) == pytest.approx(1)


def test_where_only_one_exposure_is_possible_nothing_is_corrected() -> None:
    assert corrected(gini, np.array([6, 6]), 6) is None


def test_exposure_of_lists_and_its_interval() -> None:
    top = torch.tensor([[0, 1], [0, 2], [0, 3]])
    figures = exposure(top, 6)
    assert figures["coverage_2"] == pytest.approx(4 / 6)
    low, high = exposure_intervals(top, 6, weights(3, resamples=200))["coverage_2"]
    assert (low, high) == (pytest.approx(2 / 6), pytest.approx(4 / 6))


@pytest.fixture(scope="module")
def tastes() -> Tastes:
    return make_tastes(users=80, items=400, rated=60, dim=3)


@pytest.fixture(scope="module")
def vectors(tastes: Tastes) -> torch.Tensor:
    """Where the samples of one who knows everybody's taste lie."""
    samples_BnD = Oracle(tastes).sample(tastes.people.history(), 8, torch.Generator())
    return user_vectors(samples_BnD, tastes.people)


def test_people_with_alike_vectors_like_alike(tastes: Tastes, vectors: torch.Tensor) -> None:
    assert float(lookalikes(vectors, tastes.people).nanmean()) > 0.3


def test_permuted_vectors_tell_nothing_of_likes(tastes: Tastes, vectors: torch.Tensor) -> None:
    shuffled = vectors[torch.randperm(80, generator=torch.Generator().manual_seed(0))]
    assert abs(float(lookalikes(shuffled, tastes.people).nanmean())) < 0.1


def test_people_of_a_segment_like_alike(tastes: Tastes, vectors: torch.Tensor) -> None:
    labels, lift = segments(vectors, tastes.people, 4)
    assert len(np.unique(labels)) == 4
    assert float(lift.nanmean()) > 0.2
