"""prefprior/evaluation/protocol/tuning.py: settings are compared by figures that the users' ratings define."""

from typing import Any

import pytest
import torch
from torch import Tensor

from prefprior.baselines.mean import MeanOfLikes
from prefprior.baselines.popularity import Popularity
from prefprior.baselines.search import OneOf
from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.protocol import tuning
from prefprior.evaluation.protocol.tuning import Tuner
from prefprior.history import History
from prefprior.predictor import By, Catalogue
from tests.baselines.likes import make_clusters
from tests.evaluation.tastes import Oracle, Tastes, make_tastes


class Noisy(MeanOfLikes):
    """The true taste, under as much noise as its setting says."""

    def __init__(self, tastes: Tastes, *, noise: float = 10.0) -> None:
        super().__init__(name="noisy")
        self.oracle, self.noise = Oracle(tastes), noise

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        scores_BN = self.oracle.rank(history, catalogue)
        return scores_BN + self.noise * torch.randn(scores_BN.shape, generator=torch.Generator().manual_seed(0))


SEARCH = {"noise": OneOf((0.0, 3.0, 30.0))}


@pytest.fixture(scope="module")
def tastes() -> Tastes:
    return make_tastes()


def tuner(people: HeldOutUsers, **how: Any) -> Tuner:
    return Tuner(people, "val", **{"budget": 4, "figures": None, "ks": (10, 20)} | how)


def test_the_best_setting_is_found(tastes: Tastes) -> None:
    found = tuner(tastes.people)(lambda drawn: Noisy(tastes, **drawn), SEARCH, (tastes.training, None))
    assert found.best.settings == {"noise": 0.0}
    assert found.best.figure == max(trial.figure for trial in found.trials)
    assert found.trials[0].settings == {}
    assert found.predictor.noise == 0.0


def test_the_defaults_are_kept_where_no_draw_is_better(tastes: Tastes) -> None:
    def make(drawn: dict[str, float]) -> Noisy:
        return Noisy(tastes, **{"noise": 0.0} | drawn)

    found = tuner(tastes.people)(make, {"noise": OneOf((3.0, 30.0))}, (tastes.training, None))
    assert found.best.settings == {}
    assert str(found).startswith("its defaults (")


def test_it_is_ndcg_and_auc_by_default(tastes: Tastes) -> None:
    by_default = tuner(tastes.people).figure(Noisy(tastes))
    each = [tuner(tastes.people, figures=[name]).figure(Noisy(tastes)) for name in ("ndcg_20", "auc")]
    assert by_default == pytest.approx(sum(each) / 2)


def test_without_dislikes_it_is_ndcg_alone() -> None:
    clusters, popularity = make_clusters(), Popularity()
    popularity.fit(clusters.training, None, torch.Generator().manual_seed(0))
    assert tuner(clusters.people).figure(popularity) == tuner(clusters.people, figures=["ndcg_20"]).figure(popularity)
    with pytest.raises(ValueError, match=r"tuned by auc: .* define none of these figures"):
        tuner(clusters.people, figures=["auc"]).figure(popularity)


def test_users_are_counted_up_to_a_bound(tastes: Tastes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MOST_PEOPLE", 5)
    assert str(tuner(tastes.people)).endswith("of 5 users of val, 4 settings each")


def test_an_unknown_figure_is_named(tastes: Tastes) -> None:
    with pytest.raises(ValueError, match=r"a figure of tune_for is 'ndgc_20'.*did you mean ndcg_20"):
        tuner(tastes.people, figures=["ndgc_20"])


@pytest.mark.parametrize(("how", "message"), [({"budget": 1}, "at least 2"), ({"figures": []}, "tune_for is empty")])
def test_impossible_budgets_and_figures_are_refused(tastes: Tastes, how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tuner(tastes.people, **how)
