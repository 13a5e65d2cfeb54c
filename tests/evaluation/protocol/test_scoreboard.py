import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from prefprior.baselines.linear import PersonalDirection
from prefprior.baselines.mean import MeanOfLikes
from prefprior.baselines.nearest import NearestToLikes
from prefprior.baselines.random import RandomPredictor
from prefprior.baselines.rocchio import Rocchio
from prefprior.baselines.wals import Wals
from prefprior.evaluation.protocol.bootstrap import Figure
from prefprior.evaluation.protocol.results import Results
from prefprior.evaluation.protocol.scoreboard import Scoreboard
from prefprior.evaluation.report.html import write_report
from prefprior.evaluation.report.labels import METRICS, describe, order
from prefprior.evaluation.report.table import formatted, terminal_tables
from prefprior.predictor import Predictor
from tests.evaluation.tastes import Oracle, make_tastes

KEY = "toy/unseen/mean+negated/auc@all"


class Drawn:
    """Pictures of one colour each."""

    def open(self, item: str) -> Image.Image:
        return Image.new("RGB", (200, 100), (int(item[1:]) % 255, 80, 80))


@pytest.fixture(scope="module")
def results() -> Results:
    tastes = make_tastes(users=40, items=150, rated=40)
    scoreboard = Scoreboard(lengths=(1, 4, None), ks=(5, 10, 20), samples=6, sample_people=30)
    outcomes = []
    for predictor in (MeanOfLikes(), RandomPredictor(), Oracle(tastes)):
        predictor.fit(tastes.training, None, torch.Generator().manual_seed(0))
        outcomes += scoreboard.run(predictor, tastes.people)
    return Results("toy", "unseen", tastes.people, outcomes)


@pytest.fixture(scope="module")
def figures(results: Results) -> dict[str, Figure]:
    return results.figures


def test_every_metric_is_finite_and_inside_its_interval(figures: dict[str, Figure]) -> None:
    for key, figure in figures.items():
        data, part, _, metric = key.split("/")
        assert (data, part) == ("toy", "unseen")
        name, shots = metric.split("@")
        assert shots in ("1", "4", "all")
        assert describe(name).description
        assert np.isfinite(figure.value)
        if figure.low == figure.low:
            assert figure.low <= figure.value <= figure.high, key
    assert {name for name in METRICS if "world only" not in METRICS[name].description} <= {
        k if k in METRICS else k.rpartition("_")[0] for k in (key.split("/")[-1].split("@")[0] for key in figures)
    }


def test_the_oracle_scores_one_and_random_a_half(figures: dict[str, Figure]) -> None:
    assert figures["toy/unseen/oracle/auc@all"].value == 1
    assert abs(figures["toy/unseen/random/auc@all"].value - 0.5) < 0.1
    assert figures["toy/unseen/oracle/personal_p@all"].value < 0.01


def test_controls_remove_personalisation(figures: dict[str, Figure]) -> None:
    def auc(row: str) -> float:
        return figures[f"toy/unseen/{row}/auc@all"].value

    assert auc("mean") > 0.75
    assert abs(auc("mean+permuted") - 0.5) < 0.12
    assert abs(auc("mean+other_user") - 0.5) < 0.12
    assert auc("mean+negated") < 0.3
    assert figures["toy/unseen/mean/auc@1"].value < auc("mean")


def test_paired_differences_are_differences(results: Results, figures: dict[str, Figure]) -> None:
    found = results.differences
    gap = found["toy/unseen/mean-random/auc@all"]
    assert gap.value == pytest.approx(
        figures["toy/unseen/mean/auc@all"].value - figures["toy/unseen/random/auc@all"].value, abs=1e-9
    )
    assert gap.low > 0


def test_exposure_has_paired_differences(results: Results, figures: dict[str, Figure]) -> None:
    values = {name: figures[f"toy/unseen/{name}/coverage_20@all"].value for name in ("mean", "oracle")}
    gap = results.differences["toy/unseen/mean-oracle/coverage_20@all"]
    assert gap.value == pytest.approx(values["mean"] - values["oracle"], abs=1e-9)
    assert gap.low < gap.value < gap.high
    assert results.difference("random", "fair_gini_20") is not None


@pytest.mark.parametrize("predictor", [PersonalDirection(method="ridge"), Rocchio(), NearestToLikes(), Wals()])
def test_with_permuted_ratings_every_auc_is_a_half(predictor: Predictor) -> None:
    tastes = make_tastes(users=60, items=150, rated=40)
    predictor.fit(tastes.training, None, torch.Generator().manual_seed(0))
    scoreboard = Scoreboard(lengths=(None,), samples=3, ks=(5,), controls=("permuted",))
    figures = Results("t", "p", tastes.people, scoreboard.run(predictor, tastes.people)).figures
    own, permuted = (figures[f"t/p/{predictor.name}{control}/auc@all"] for control in ("", "+permuted"))
    assert own.value > permuted.high + 0.1
    assert abs(permuted.value - 0.5) < 0.12


def test_sampled_candidates_are_marked_in_every_name() -> None:
    scoreboard = Scoreboard(sampled_candidates=100)
    assert scoreboard.labelled("unseen") == "unseen (100 sampled candidates)"
    assert Scoreboard().labelled("unseen") == "unseen"


def test_the_same_run_gives_the_same_figures() -> None:
    tastes = make_tastes(users=12, items=60, rated=16)
    results = []
    for _ in range(2):
        predictor = RandomPredictor()
        predictor.fit(tastes.training, None, torch.Generator().manual_seed(0))
        outcomes = Scoreboard(lengths=(None,), samples=3, ks=(5,)).run(predictor, tastes.people)
        results.append({k: (f.value, f.low) for k, f in Results("t", "p", tastes.people, outcomes).figures.items()})
    assert json.dumps(results[0]) == json.dumps(results[1])


@pytest.mark.parametrize("width", [60, 90, 250])
def test_the_terminal_shows_predictors_and_controls_at_any_width(
    results: Results, figures: dict[str, Figure], width: int
) -> None:
    printed = io.StringIO()
    console = Console(width=width, file=printed)
    tables = terminal_tables(results, width)
    for table in tables:
        console.print(table)
    text = printed.getvalue()
    for word in ("oracle", "AUC", "NDCG@20", "coverage@20", "40 users", "+permuted", f"{figures[KEY].value:.3f}"):
        assert word in text
    assert "…" not in text  # nothing was cut off
    assert len(tables) == 2 or width < 250


def test_the_report_is_one_self_contained_file(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, results, {"checkpoint": "runs/<x>"}, Drawn())
    html = path.read_text()
    assert html.count("<svg") >= 5
    assert html.count("data:image/jpeg;base64,") > 10
    assert "runs/&lt;x&gt;" in html
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", html, flags=re.S)


def test_without_pictures_the_report_has_none(results: Results, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", results, {}, None)
    assert "<h2>Pictures" not in (tmp_path / "report.html").read_text()


def test_figures_are_written_without_signed_zeros() -> None:
    assert formatted(-0.0004) == "0.000"
    assert formatted(-0.0006) == "-0.001"


def test_no_p_value_is_0() -> None:
    assert formatted(0.0005, "personal_p") == "<0.001"
    assert formatted(0.0005) != "<0.001"


def test_metrics_are_ordered() -> None:
    assert order({"recall_20", "recall_5", "auc"}) == ["auc", "recall_5", "recall_20"]


def test_unknown_metrics_have_no_description() -> None:
    with pytest.raises(KeyError):
        describe("nonsense_3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"controls": ("permutd",)}, "controls must be among other_user, permuted, negated"),
        ({"lengths": (0,)}, "at least 1"),
        ({"sampled_candidates": 10, "ks": (20,)}, "rank the whole catalogue"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scoreboard(**arguments)
