"""scripts/seeds.py: what is finished is not run again, other words lie elsewhere, and the spread is over seeds."""

import sys
from pathlib import Path
from typing import Any

import pytest

from prefprior.files import read_json, write_json
from scripts import objectives, seeds


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run; each makes what it would."""
    run: list[list[str]] = []

    def fake(argv: list[str], **options: Any) -> Any:
        words = dict(word.split("=", 1) for word in argv[2:])
        run.append(argv[1:])
        varied = (word for word in argv if word.startswith(("seed=", "data.splits.fold=")))
        seed = next((int(word.split("=")[1]) for word in varied), None)
        folder = seeds.Path(words["run_dir"])
        folder.mkdir(parents=True)
        if argv[1] == "train.py":
            write_json(folder / seeds.CHECKPOINT, {"seed": seed})
        else:
            seed = read_json(seeds.Path(words["checkpoint"]))["seed"]
            figures = {"world/val/prior/auc@all": 0.5 + seed / 10, "world/val/mean/auc@all": 0.0}
            write_json(folder / seeds.METRICS, figures)
            lead = {"value": 0.5 + seed / 10, "low": 0.4 + seed / 10, "high": 0.6 + seed / 10, "people": 1 + 2 * seed}
            write_json(folder / seeds.INTERVALS, {"world/val/prior-mean/auc@all": lead})
        return type("Finished", (), {"returncode": 0})

    monkeypatch.setattr(seeds.subprocess, "run", fake)
    return run


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, *more: str) -> None:
    monkeypatch.setattr(sys, "argv", ["seeds.py", "--folder", str(folder), *more])
    seeds.main()


def test_it_prints_mean_and_spread_and_skips_finished_seeds(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--train", "prior=tiny", "--evaluate", "people=5", "--figures", "auc@all", "--seeds")
    call(monkeypatch, tmp_path, *words, "2")
    assert len(commands) == 4
    assert "| auc@all | 0.550 ±0.071 | 0.500 | 0.600 |" in capsys.readouterr().out
    call(monkeypatch, tmp_path, *words, "3")
    assert len(commands) == 6
    call(monkeypatch, tmp_path, "--train", "prior=small", *words[2:], "1")
    assert [command[0] for command in commands[6:]] == ["train.py", "evaluate.py"]


def test_an_unknown_metric_is_refused_with_the_known_ones(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="no figure acu@all; there are auc@all"):
        call(monkeypatch, tmp_path, "--train", "prior=tiny", "--figures", "acu@all")


def test_a_failed_command_is_named(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(seeds.subprocess, "run", lambda *a, **k: type("Finished", (), {"returncode": 1}))
    with pytest.raises(SystemExit, match=r"train\.py prior=tiny seed=0"):
        call(monkeypatch, tmp_path, "--train", "prior=tiny", "--figures", "auc@all")


def test_differences_are_pooled_over_the_users_of_all_folds(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--train", "prior=tiny", "--figures", "auc@all", "--seeds", "2", "--against", "mean")
    call(monkeypatch, tmp_path, "--folds", *words)
    assert "data.splits.fold=1" in commands[2]
    out = capsys.readouterr().out
    assert "| mean: auc@all | 0.000 ±0.000 | 0.000 | 0.000 |" in out
    # One user with a lead of .5 and three with .6; half widths of .1: (1 + 9) ** .5 / 4 of them.
    assert "| mean | +0.575 [+0.496, +0.654] |" in out
    call(monkeypatch, tmp_path, *words)
    assert "| mean | +0.550 [+0.450, +0.650] |" in capsys.readouterr().out


def test_a_predictor_that_was_not_evaluated_is_refused(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="no figure auc@all of wals"):
        call(monkeypatch, tmp_path, "--train", "prior=tiny", "--figures", "auc@all", "--against", "wals")


def test_objectives_are_compared_over_seeds(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(objectives, "COLUMNS", {"auc@all": "AUC"})
    objectives.main(["--objectives", "flow", "regression", "--seeds", "2", "--folder", str(tmp_path)])
    assert len(commands) == 8
    assert "objective=regression" in commands[2]
    told = capsys.readouterr().out
    assert "| `flow` | 0.550 ±0.071 |" in told
    assert "| `regression` | 0.550 ±0.071 |" in told
