"""prefprior/evaluation/metrics: the same figures as torchmetrics gives, user by user, where it has the metric."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef
from torchmetrics.functional.classification import binary_auroc
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from prefprior.evaluation.metrics.ranking import ranking
from prefprior.evaluation.metrics.rating import auc, rating

USERS, ITEMS = 8, 40
Retrieval = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture
def scores() -> Tensor:
    # Above 0: its average precision takes an item with a score of 0 or less for one that was not retrieved.
    return torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(0)) + 0.1


@pytest.fixture
def liked() -> Tensor:
    return torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(1)) < 0.2


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("mrr", retrieval_reciprocal_rank),
        ("recall_10", lambda score, like: retrieval_recall(score, like, top_k=10)),
        ("ndcg_10", lambda score, like: retrieval_normalized_dcg(score, like, top_k=10)),
        ("hit_3", lambda score, like: retrieval_hit_rate(score, like, top_k=3)),
        ("map_40", retrieval_average_precision),
    ],
)
def test_retrieval(scores: Tensor, liked: Tensor, name: str, theirs: Retrieval) -> None:
    rank_BT = scores.argsort(dim=1, descending=True).argsort(dim=1) + 1
    ours_B = ranking(rank_BT.double(), liked, (3, 10, 40))[name]
    expected = [float(theirs(score, like)) for score, like in zip(scores, liked)]
    assert ours_B.tolist() == pytest.approx(expected, abs=1e-6)


def test_auc_with_equal_scores(scores: Tensor, liked: Tensor) -> None:
    coarse = scores.mul(5).round() / 5
    expected = [float(binary_auroc(score, like.long())) for score, like in zip(coarse, liked)]
    assert auc(coarse, liked, ~liked).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("name", "theirs"), [("spearman", spearman_corrcoef), ("pearson", pearson_corrcoef)])
def test_correlations_of_masked_ratings(scores: Tensor, name: str, theirs: Retrieval) -> None:
    given = torch.randint(1, 6, (USERS, ITEMS), generator=torch.Generator().manual_seed(2)).float()
    valid = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(3)) < 0.7
    nobody = torch.zeros_like(valid)
    ours_B = rating(scores, given, valid, nobody, nobody)[name]
    expected = [float(theirs(score[mask], value[mask])) for score, value, mask in zip(scores, given, valid)]
    assert ours_B.tolist() == pytest.approx(expected, abs=1e-5)
