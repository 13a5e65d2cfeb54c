"""A published protocol instead of the scoreboard."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from prefprior.files import read_json
from prefprior.runs import read_metrics
from tests.commands import fails, run
from tests.evaluating.runs import TABLE, Finished

FEW = ("protocol=few_shot", "protocol.shots=[2,8]", "protocol.repetitions=2")


@pytest.fixture(scope="module")
def protocol(folder: Path) -> Finished:
    """An untrained prior and two baselines after 2 and 8 ratings."""
    printed, words = io.StringIO(), ("checkpoint=runs/train/one", "predictors=[prior,mean,ridge]")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        run(patch, folder, "evaluate", *words, *FEW, "run_dir=runs/evaluate/few")
    here = folder / "runs" / "evaluate" / "few"
    return Finished(here, printed.getvalue(), read_metrics(here), read_json(here / "metrics_intervals.json"))


def test_every_predictor_has_a_figure_for_each_number_of_shots(protocol: Finished) -> None:
    for name in ("prior", "mean", "ridge"):
        for shots in (2, 8):
            assert 0 <= protocol.figures[f"table/unseen/{name}/pairwise@{shots}"] <= 1


def test_figures_have_intervals_over_users_and_paired_differences(protocol: Finished) -> None:
    figure = protocol.intervals["table/unseen/ridge/spearman@8"]
    assert figure["low"] < figure["value"] < figure["high"]
    assert "table/unseen/prior-ridge/spearman@8" in protocol.intervals


def test_more_ratings_tell_more_of_a_taste(protocol: Finished) -> None:
    assert protocol.figures["table/unseen/ridge/pairwise@8"] > protocol.figures["table/unseen/ridge/pairwise@2"] > 0.5


def test_the_table_is_printed(protocol: Finished) -> None:
    assert "table, unseen" in protocol.printed
    assert "pairs @8" in protocol.printed


def test_baselines_are_tuned_for_the_protocols_figures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*TABLE, *FEW, "predictors=[blend]", "tune=2", "run_dir=runs/evaluate/few_tuned")
    run(monkeypatch, folder, "evaluate", *words)
    assert "spearman and pairwise" in read_json(folder / "runs/evaluate/few_tuned/tuning.json")["how"]


@pytest.mark.parametrize("word", ["part=test", "people=50", "history_first=4"])
def test_what_only_the_scoreboard_reads_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    told = fails(monkeypatch, folder, "evaluate", *TABLE, *FEW, "predictors=[mean]", word)
    assert f"{word.split('=')[0]}=... has no effect with protocol=..." in told


def test_too_few_ratings_are_told_in_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = fails(monkeypatch, folder, "evaluate", *TABLE, "protocol=few_shot", "predictors=[mean]")
    assert "fewer than 101 ratings" in told
