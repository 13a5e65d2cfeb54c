"""Users near each other, and users of one segment, like alike; permuted users do not."""

import numpy as np
import pytest
import torch

from prefprior.evaluation.metrics.lookalikes import lookalikes, segments, user_vectors
from tests.evaluation.tastes import Oracle, Tastes, make_tastes


@pytest.fixture(scope="module")
def tastes() -> Tastes:
    return make_tastes(users=80, items=400, rated=60, dim=3)


@pytest.fixture(scope="module")
def vectors(tastes: Tastes) -> torch.Tensor:
    """Where the samples of one who knows everybody's taste lie."""
    samples_BnD = Oracle(tastes).sample(tastes.people.history(), 8, torch.Generator())
    return user_vectors(samples_BnD, tastes.people)


def test_users_with_similar_vectors_have_similar_likes(tastes: Tastes, vectors: torch.Tensor) -> None:
    assert float(lookalikes(vectors, tastes.people).nanmean()) > 0.3


def test_permuted_vectors_are_unrelated_to_likes(tastes: Tastes, vectors: torch.Tensor) -> None:
    shuffled = vectors[torch.randperm(80, generator=torch.Generator().manual_seed(0))]
    assert abs(float(lookalikes(shuffled, tastes.people).nanmean())) < 0.1


def test_users_of_a_segment_have_similar_likes(tastes: Tastes, vectors: torch.Tensor) -> None:
    labels, lift = segments(vectors, tastes.people, 4)
    assert len(np.unique(labels)) == 4
    assert float(lift.nanmean()) > 0.2
