"""The comparison of two priors, and the overlap with their training data."""

import re
import shutil
from pathlib import Path

import pytest

from prefprior.files import read_json, write_json
from prefprior.runs import DATA, read_metrics
from tests.commands import run
from tests.evaluating.runs import SMALL


def test_two_checkpoints_are_compared_by_paired_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("checkpoint=runs/train/one", "compare=runs/train/two", "predictors=[prior]", "run_dir=runs/evaluate/two")
    run(monkeypatch, folder, "evaluate", *SMALL, *words)
    intervals = read_json(folder / "runs" / "evaluate" / "two" / "metrics_intervals.json")
    assert "table/unseen/prior-compared/auc@all" in intervals


@pytest.fixture(scope="module")
def compared(folder: Path) -> Path:
    """An evaluation with a second prior that was trained on all users."""
    shutil.copytree(folder / "runs/train/two", folder / "runs/train/all")
    nodes = read_json(folder / "runs/train/all" / DATA)
    nodes["data"]["splits"] |= {"val": 0.0, "test": 0.0}
    write_json(folder / "runs/train/all" / DATA, nodes)
    words = ("checkpoint=runs/train/one", "compare=runs/train/all", "predictors=[prior]", "run_dir=runs/evaluate/all")
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "evaluate", *SMALL, *words)
    return folder / "runs/evaluate/all"


def test_training_users_are_marked_in_the_metrics(compared: Path) -> None:
    rows = {key.split("/")[2] for key in read_json(compared / "metrics_intervals.json")}
    (label,) = {row for row in rows if row.startswith("compared")} - {row for row in rows if "+" in row}
    people = read_json(compared / "metrics_intervals.json")[f"table/unseen/{label}/auc@all"]["people"]
    assert re.fullmatch(r"compared \(trained on (\d+) of \1 people\)", label)
    assert people > 0
    assert f"prior-{label}" in rows
    assert "prior" in rows


def test_training_users_are_marked_in_the_report(compared: Path) -> None:
    assert "compared (trained on" in (compared / "report.html").read_text()


def test_another_split_does_not_make_training_users_unseen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("checkpoint=runs/train/one", "predictors=[prior]", "data.splits.seed=5", "run_dir=runs/evaluate/resplit")
    run(monkeypatch, folder, "evaluate", *SMALL, *words)
    assert "prior (trained on" in capsys.readouterr().out


def test_a_checkpoint_with_unavailable_training_data_is_marked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lone = folder / "lone.safetensors"
    shutil.copy(folder / "runs/train/two/prior.safetensors", lone)
    words = (
        "checkpoint=runs/train/one",
        "compare=lone.safetensors",
        "predictors=[prior]",
        "run_dir=runs/evaluate/lone",
    )
    run(monkeypatch, folder, "evaluate", *SMALL, *words)
    rows = {key.split("/")[2] for key in read_metrics(folder / "runs/evaluate/lone")}
    assert "compared (trained on other ratings)" in rows
