import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import roc_auc_score

from prefprior.evaluation.metrics.rating import auc, calibrated_error, pairwise_accuracy, rating


def test_agreement_with_scikit_learn_and_scipy_on_random_inputs() -> None:
    generator = torch.Generator().manual_seed(0)
    score = torch.rand(6, 15, generator=generator)
    score[:, 3] = score[:, 4]  # equal scores
    ratings = (torch.randint(0, 5, (6, 15), generator=generator) - 2).float() / 2
    valid = torch.rand(6, 15, generator=generator) < 0.8
    figures = rating(score, ratings, valid, valid & (ratings > 0), valid & (ratings < 0))
    for b in range(6):
        s, r = score[b][valid[b]].numpy(), ratings[b][valid[b]].numpy()
        extreme = r != 0
        assert figures["auc"][b] == pytest.approx(roc_auc_score(r[extreme] > 0, s[extreme]))
        assert figures["spearman"][b] == pytest.approx(spearmanr(s, r).statistic)
        assert figures["pearson"][b] == pytest.approx(pearsonr(s, r).statistic, abs=1e-6)


def test_pairwise_accuracy_by_hand() -> None:
    score = torch.tensor([[0.1, 0.9, 0.5, 0.5]])
    ratings = torch.tensor([[-1.0, 0.5, 1.0, 0.5]])
    # Pairs with different ratings: (1,0) won, (2,0) won, (3,0) won, (2,1) lost, (2,3) equal.
    assert float(pairwise_accuracy(score, ratings, torch.ones(1, 4, dtype=torch.bool))) == pytest.approx(3.5 / 5)


def test_undefined_metrics_are_nan_and_constant_scores_are_uninformative() -> None:
    valid = torch.ones(2, 4, dtype=torch.bool)
    ratings = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1]])
    figures = rating(torch.zeros(2, 4), ratings, valid, ratings > 0, ratings < 0)
    assert figures["auc"][0].isnan()
    assert figures["spearman"][0].isnan()
    assert figures["auc"][1] == 0.5
    assert figures["spearman"][1] == 0.0


def test_oracle_scores_one_and_its_opposite_zero() -> None:
    ratings = torch.tensor([[1.0, -1, 0.5, -0.5]])
    valid = torch.ones(1, 4, dtype=torch.bool)
    assert float(auc(ratings, ratings > 0, ratings < 0)) == 1
    assert float(auc(-ratings, ratings > 0, ratings < 0)) == 0
    assert float(rating(ratings, ratings, valid, valid, ~valid)["spearman"]) == pytest.approx(1)


def test_calibrated_error_is_zero_for_scores_on_another_scale() -> None:
    ratings = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (8, 10)).astype(np.float32))
    error = calibrated_error(17 * ratings + 3, ratings, torch.ones(8, 10, dtype=torch.bool))
    assert float(error.max()) < 1e-5
    assert float(calibrated_error(torch.zeros(8, 10), ratings, torch.ones(8, 10, dtype=torch.bool)).mean()) > 0.3
