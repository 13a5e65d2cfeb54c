"""Coverage, evenness and fairness of exposure, of all lists and without each of them."""

import numpy as np
import pytest
import torch

from prefprior.evaluation.metrics.exposure import (
    CORRECTED,
    Exposure,
    coverage,
    entropy,
    exposure,
    exposure_steps,
    exposure_without_each,
    extremes,
    gini,
    jain,
    satisfied,
)


def counted(*counts: int) -> Exposure:
    return Exposure.of(np.array(counts))


def test_gini_entropy_and_jain_by_hand() -> None:
    assert gini(counted(5, 5, 5, 5)) == 0
    assert gini(counted(0, 0, 0, 8)) == pytest.approx(0.75)
    assert gini(counted(1, 3)) == pytest.approx(0.25)
    assert entropy(counted(2, 2, 0, 0)) == pytest.approx(0.5)
    assert jain(counted(4, 4, 0, 0)) == pytest.approx(0.5)
    assert coverage(counted(4, 4, 0, 0)) == 0.5
    assert satisfied(counted(1, 1, 5, 0)) == 0.75


def test_extremes_are_one_list_for_all_users_and_an_even_spread() -> None:
    worst, best = extremes(lists=6, k=2, items=7)
    assert vars(worst) == vars(counted(6, 6, 0, 0, 0, 0, 0))
    assert vars(best) == vars(counted(2, 2, 2, 2, 2, 1, 1))


@pytest.mark.parametrize("name", CORRECTED)
def test_corrected_measures_reach_0_and_1(name: str) -> None:
    same = torch.tensor([[0, 1]] * 6)
    even = torch.tensor([[0, 1], [2, 3], [4, 5], [6, 0], [1, 2], [3, 4]])
    assert exposure(same, 7)[f"{name}_2"] == pytest.approx(0)
    assert exposure(even, 7)[f"{name}_2"] == pytest.approx(1)


def test_with_only_one_possible_exposure_nothing_is_corrected() -> None:
    assert "fair_gini_2" not in exposure(torch.tensor([[0, 1], [1, 0]]), 2)


def test_exposure_of_lists_by_hand() -> None:
    assert exposure(torch.tensor([[0, 1], [0, 2], [0, 3]]), 6)["coverage_2"] == pytest.approx(4 / 6)


def test_leaving_out_a_list_equals_counting_the_others() -> None:
    rng = np.random.default_rng(0)
    few = np.stack([rng.choice(12, 4, replace=False) for _ in range(9)])  # many items of equal counts
    found = Exposure.without_each(few, 12)
    for user in range(len(few)):
        count_N = np.bincount(np.delete(few, user, axis=0).ravel(), minlength=12)
        counted_again = vars(Exposure.of(count_N)) | {"satisfied": (count_N >= 3).sum()}  # 9 x 4 / 12, of all
        for name, value in counted_again.items():
            assert np.broadcast_to(getattr(found, name), 9)[user] == pytest.approx(value), name


def test_only_metrics_that_count_items_are_discrete() -> None:
    steps = exposure_steps(torch.tensor([[0, 1], [0, 2], [0, 3]]), 6)
    assert steps["coverage_2"] == pytest.approx(1 / 6)
    assert steps["fair_shown_2"] == pytest.approx(1 / 4)  # from 2 items at least to all 6
    assert steps["gini_2"] == steps["entropy_2"] == steps["fair_jain_2"] == 0


def test_a_metric_lies_within_its_leave_one_out_values() -> None:
    lists = torch.from_numpy(np.stack([np.random.default_rng(u).permutation(40)[:5] for u in range(12)]))
    figures, without = exposure(lists, 40), exposure_without_each(lists, 40)
    assert figures.keys() == without.keys()
    assert (without["coverage_5"] <= figures["coverage_5"]).all()
