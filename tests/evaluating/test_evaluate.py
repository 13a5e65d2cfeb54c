"""`evaluate.py` as a command."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from prefprior.files import read_json
from prefprior.runs import read_metrics
from tests.commands import fails, run
from tests.evaluating.runs import SMALL, Finished


@pytest.fixture(scope="module")
def first(folder: Path) -> Finished:
    """Without arguments: the last checkpoint and the baselines, on its own data."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        run(patch, folder, "evaluate", *SMALL, "run_dir=runs/evaluate/first")
    here = folder / "runs" / "evaluate" / "first"
    return Finished(here, printed.getvalue(), read_metrics(here), read_json(here / "metrics_intervals.json"))


def test_the_last_line_names_the_folder(first: Finished) -> None:
    assert first.printed.strip().splitlines()[-1] == "folder: runs/evaluate/first"


def test_controls_are_printed(first: Finished) -> None:
    assert "+permuted" in first.printed


def test_every_metric_has_an_interval(first: Finished) -> None:
    assert first.figures.keys() <= first.intervals.keys()
    resampled = {key: bounds for key, bounds in first.intervals.items() if bounds["low"] is not None}
    outside = [key for key, bounds in resampled.items() if not bounds["low"] <= bounds["value"] <= bounds["high"]]
    assert not outside
    assert {key.split("/")[-1] for key in resampled} >= {"auc@2", "coverage_20@2", "fair_satisfied_20@all"}


def test_differences_are_written_with_the_metrics(first: Finished) -> None:
    assert first.intervals["table/unseen/prior-mean/auc@all"]["people"] > 0


def test_a_linear_baseline_learns_linear_tastes(first: Finished) -> None:
    assert first.figures["table/unseen/svm/auc@all"] > 0.7


def test_prior_and_baselines_are_evaluated_and_only_a_world_has_an_oracle(first: Finished) -> None:
    rows = {key.split("/")[2] for key in first.figures}
    assert {"prior", "random", "wals", "rocchio+permuted"} <= rows
    assert "oracle" not in rows


def test_report_and_configuration_are_written(first: Finished) -> None:
    assert "<svg" in (first.folder / "report.html").read_text()
    assert (first.folder / "config.yaml").is_file()


def test_baselines_alone_are_evaluated_on_the_data_of_the_last_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, folder, "evaluate", *SMALL, "predictors=[mean]", "run_dir=runs/evaluate/five")
    assert "table/unseen/mean/auc@all" in read_metrics(folder / "runs" / "evaluate" / "five")


def test_sampled_candidates_are_labelled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("predictors=[mean]", "scoreboard.sampled_candidates=20", "run_dir=runs/evaluate/six")
    run(monkeypatch, folder, "evaluate", *SMALL, *words)
    here = folder / "runs" / "evaluate" / "six"
    figures = read_metrics(here)
    assert {key.split("/")[1] for key in figures} == {"unseen (20 sampled candidates)"}
    assert "20 sampled candidates" in (here / "report.html").read_text()
    key = "table/unseen (20 sampled candidates)/mean/auc@all"
    assert read_json(here / "metrics_intervals.json")[key]["items"] == 60


def test_without_data_a_source_is_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "add source=" in fails(monkeypatch, tmp_path, "evaluate", "predictors=[mean]")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predictors=[prior,waals]",), "did you mean wals"),
        (("part=unsen",), "did you mean unseen"),
        (("checkpoint=nowhere",), "there is no checkpoint at nowhere"),
        (("predictors=[mean]", "compare=runs/train/two"), "add prior to predictors"),
        (("predictors=[mean]", "checkpoint=nowhere"), "there is no checkpoint at nowhere"),
        (("device=gpu",), "must be cpu, cuda"),
        (("device=cuda:99",), "there is no device"),
        (("decoder=retrieval",), "shows real pictures"),
        (("encoder=world",), "add decoder="),
        (("decoder=kandinsky",), "ViT-bigG-14/laion2b_s39b_b160k, but the prior generates embeddings of e"),
        (("decoder=retrieval", "decoding=null"), "with decoding=null nothing is decoded"),
        (("people=-1",), "people must be at least 3"),
        (("history_first=900",), "more than history_cap=512"),
        (("decoder.stepps=5",), "decoder.stepps is unknown"),
        (("baselines.wals.pul=3",), "did you mean pull"),
        (("source.raings=r.csv",), "did you mean ratings"),
        (("part=seen",), "train with data.splits.by=item"),
        (("scoreboard.controls=[odd]",), "controls must be"),
    ],
)
def test_invalid_arguments_are_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    assert message in fails(monkeypatch, folder, "evaluate", *words)
