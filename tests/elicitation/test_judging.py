"""Judges: by the truth of a world, and by ratings that are never asked."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from prefprior.elicitation.judging import Ranking, Truth


def believes(score_N: list[float]) -> Any:
    """Expects the first coordinate of anything; of the candidates, these scores."""
    return SimpleNamespace(
        expected=lambda raw_ND: raw_ND[:, 0],
        made=lambda n, generator, diversity: torch.arange(float(n))[:, None],
        weight_P=torch.tensor([1.0]),
        utility_PN=torch.tensor([score_N]),
    )


class Line:
    """Utility is the first coordinate; there are as many tastes as was said."""

    def __init__(self, modes: int) -> None:
        self.modes = modes

    def utility(self, user: str, raw_ND: Tensor) -> Any:
        return raw_ND[:, 0].numpy()

    def scaled_utility(self, user: str, raw_ND: Tensor) -> Any:
        return self.utility(user, raw_ND) / 10

    def modes_covered(self, user: str, raw_ND: Tensor) -> Any:
        return torch.tensor([True, *(self.modes - 1) * [False]]).double().numpy()


def truth(modes: int) -> Truth:
    source: Any = Line(modes)
    return Truth(source, "ann", 5, 1.0, torch.arange(10.0)[:, None], top=2)


def test_what_is_made_is_judged_by_its_true_utility(draws: torch.Generator) -> None:
    figures, made_nD = truth(2).judge(believes([float(n) for n in range(10)]), draws)
    assert made_nD is not None
    assert figures == pytest.approx({"utility": 0.2, "utility_best": 0.4, "modes": 0.5, "recall_2": 1.0})


def test_recall_is_of_the_best_candidates(draws: torch.Generator) -> None:
    """Of the best two, 8 and 9, only 8 ranks among the first two."""
    figures, _ = truth(2).judge(believes([0.0, 9.0, *6 * [0.0], 8.0, 0.0]), draws)
    assert figures["recall_2"] == 0.5


def test_users_of_one_taste_have_no_tastes_to_cover(draws: torch.Generator) -> None:
    figures, _ = truth(1).judge(believes(10 * [0.0]), draws)
    assert figures["modes"] != figures["modes"]


def ranking(score_F: list[float], rating_F: list[float], *, graded: bool = True) -> Ranking:
    rating = torch.tensor(rating_F)
    return Ranking(torch.tensor(score_F)[:, None], rating, rating >= 4, graded)


@pytest.mark.parametrize(("scores", "expected"), [([1.0, 2, 3, 4], 1.0), ([4.0, 3, 2, 1], -1.0)])
def test_ratings_are_ranked(draws: torch.Generator, scores: list[float], expected: float) -> None:
    figures, made = ranking(scores, [1, 2, 4, 5]).judge(believes([]), draws)
    assert made is None
    assert figures["spearman"] == pytest.approx(expected)
    assert (figures["ndcg_20"] == pytest.approx(1.0)) == (expected > 0)


def test_likes_have_no_order_among_themselves(draws: torch.Generator) -> None:
    figures, _ = ranking([1.0, 2, 3], [1, 5, 5], graded=False).judge(believes([]), draws)
    assert figures == {"ndcg_20": pytest.approx(1.0)}


def test_where_all_are_likes_there_is_nothing_to_rank(draws: torch.Generator) -> None:
    figures, _ = ranking([1.0, 2], [5, 5]).judge(believes([]), draws)
    assert figures["ndcg_20"] != figures["ndcg_20"]
