"""`evaluate.py tune=...`: baselines are tuned before they are compared."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from prefprior.files import read_json
from prefprior.runs import read_config, read_metrics
from tests.commands import fails, run
from tests.evaluating.runs import SMALL, TABLE, Finished


@pytest.fixture(scope="module")
def tuned(folder: Path) -> Finished:
    """Two baselines, tuned with three settings each; an argument of one is given on the command line."""
    printed, words = io.StringIO(), ("tune=3", "predictors=[mean,blend,ease]", "baselines.ease.strength=7")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        run(patch, folder, "evaluate", *TABLE, *words, *SMALL, "run_dir=runs/evaluate/tuned")
    here = folder / "runs" / "evaluate" / "tuned"
    return Finished(here, printed.getvalue(), read_metrics(here), read_json(here / "metrics_intervals.json"))


def test_the_choice_of_a_setting_is_printed_and_in_the_report(tuned: Finished) -> None:
    assert re.search(r"^blend: .*of 3 settings; by default", tuned.printed, re.MULTILINE)
    assert "blend tuned to" in (tuned.folder / "report.html").read_text()


def test_every_setting_that_was_tried_is_listed(tuned: Finished) -> None:
    found = read_json(tuned.folder / "tuning.json")
    assert found.keys() == {"how", "blend", "ease"}
    assert len(found["blend"]["trials"]) == 3
    assert tuned.figures["table/tuning/blend/tuned_for@all"] == found["blend"]["figure"]
    assert tuned.intervals["table/tuning/blend/tuned_for@all"]["low"] is None


def test_arguments_on_the_command_line_are_not_tuned(tuned: Finished) -> None:
    trials = read_json(tuned.folder / "tuning.json")["ease"]["trials"]
    assert all("strength" not in trial["settings"] for trial in trials)


def test_the_runs_configuration_holds_the_chosen_settings(tuned: Finished) -> None:
    chosen, config = read_json(tuned.folder / "tuning.json"), read_config(tuned.folder)
    for name in ("blend", "ease"):
        assert config["baselines"][name].items() >= chosen[name]["settings"].items()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune=3", "predictors=[mean]"], "tune=3 has no effect"),
        (["tune_for=[auc]", "predictors=[ease]"], "add tune=20"),
        (["tune=3", "tune_for=[auk]", "predictors=[ease]"], "did you mean auc"),
    ],
)
def test_tuning_without_effect_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    assert message in fails(monkeypatch, folder, "evaluate", *TABLE, *words)
