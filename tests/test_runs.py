"""prefprior/runs.py: what a run folder holds, and how runs are found again."""

import os
from pathlib import Path

import numpy as np
import pytest

from prefprior.runs import (
    CONFIG,
    differing_keys,
    find_checkpoint,
    gone_on_from,
    last_checkpoint,
    last_run,
    read_config,
    save_config,
    told,
    write_metrics,
)
from prefprior.space import Space
from tests.small_run import save_prior

CONFIGURATION = {"seed": 0, "rate": 1e-5, "name": "ä", "source": {"root": None, "ids": ["1", "on"], "none": {}}}


def test_a_saved_configuration_is_read_unchanged(tmp_path: Path) -> None:
    save_config(tmp_path, CONFIGURATION)
    assert read_config(tmp_path) == CONFIGURATION


def test_keys_keep_their_order_in_the_file(tmp_path: Path) -> None:
    save_config(tmp_path, CONFIGURATION)
    lines = (tmp_path / CONFIG).read_text(encoding="utf-8").splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == list(CONFIGURATION)


def test_an_empty_run_folder_has_no_configuration(tmp_path: Path) -> None:
    assert read_config(tmp_path) == {}
    assert differing_keys(tmp_path, CONFIGURATION) == []


def test_differing_values_are_named_by_their_path(tmp_path: Path) -> None:
    save_config(tmp_path, CONFIGURATION)
    source = {**CONFIGURATION["source"], "root": "x"}  # type: ignore[dict-item]
    assert differing_keys(tmp_path, {**CONFIGURATION, "seed": 1, "source": source}) == ["seed", "source.root"]


def test_keys_that_may_differ_are_ignored(tmp_path: Path) -> None:
    save_config(tmp_path, CONFIGURATION)
    changed = {**CONFIGURATION, "seed": 1, "source": {**CONFIGURATION["source"], "root": "x"}}  # type: ignore[dict-item]
    assert differing_keys(tmp_path, changed, ignore=("seed", "source.root")) == []


def test_figures_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not finite: a/b/c/d@1"):
        write_metrics(tmp_path, {"a/b/c/d@1": float("nan")})


SINCE = 1e9 - 4.5


def finished(
    root: Path, name: str, age: int, init_from: Path | None = None, experiment: str = "app", **choices: str
) -> Path:
    path = root / "train" / name / "prior.safetensors"
    save_config(path.parent, {"init_from": None if init_from is None else str(init_from)})
    choices |= {"experiment": experiment}
    save_prior(path, Space.measure("own", np.eye(4, 16, dtype=np.float32)), choices=choices)
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_the_newest_run_that_went_on_from_a_checkpoint_is_found(tmp_path: Path) -> None:
    first = finished(tmp_path, "first", 9)
    finished(tmp_path, "before", 5, first)
    assert gone_on_from(first, SINCE, tmp_path) == [], "finished before"
    second = finished(tmp_path, "second", 4, first.parent)
    assert gone_on_from(first, SINCE, tmp_path) == [second]
    third = finished(tmp_path, "third", 3, first)
    fourth = finished(tmp_path, "fourth", 2, third)
    finished(tmp_path, "debugged", 1, first, debug="fast")
    finished(tmp_path, "ablation", 1, first, experiment="world")
    finished(tmp_path, "lost", 0, tmp_path / "gone")
    (tmp_path / "train" / "begun").mkdir()
    save_config(tmp_path / "train" / "begun", {"init_from": str(first)})
    assert gone_on_from(first, SINCE, tmp_path) == [third]
    assert gone_on_from(third, SINCE, tmp_path) == [fourth]
    assert gone_on_from(second, SINCE, tmp_path) == []


def test_the_last_run_is_the_newest_that_is_finished(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old")):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "done").touch()
        os.utime(tmp_path / "train" / name / "done", (100 - age, 100 - age))
    (tmp_path / "train" / "unfinished").mkdir()
    assert last_run("train", "done", "make it", tmp_path) == tmp_path / "train" / "new"


def test_without_a_finished_run_the_error_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Make one with: make it"):
        last_run("train", "done", "make it", tmp_path)


def test_a_run_folder_is_accepted_as_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "prior.safetensors").touch()
    assert find_checkpoint(str(tmp_path)) == tmp_path / "prior.safetensors"


def test_an_unfinished_run_folder_names_its_best_weights(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").touch()
    with pytest.raises(ValueError, match=r"is not finished.*checkpoint=.*best\.safetensors"):
        find_checkpoint(str(tmp_path))


def trained(root: Path, name: str, age: int, **choices: str) -> Path:
    """A finished training run of so many seconds ago."""
    path = root / "train" / name / "prior.safetensors"
    save_prior(path, Space.measure("own", np.random.default_rng(0).normal(size=(9, 16))), choices=choices)
    os.utime(path, (1000 - age, 1000 - age))
    return path


def test_debug_runs_are_skipped_by_default(tmp_path: Path) -> None:
    real = trained(tmp_path, "real", 2, experiment="world")
    trained(tmp_path, "sweep/0", 1, experiment="world", debug="fast")
    assert last_checkpoint(tmp_path) == real


def test_a_debug_run_can_be_named(tmp_path: Path) -> None:
    quick = trained(tmp_path, "quick", 1, debug="fast")
    with pytest.raises(ValueError, match=f"all finished runs.*checkpoint={quick.parent}"):
        last_checkpoint(tmp_path)
    assert find_checkpoint(str(quick.parent)) == quick


def test_a_checkpoint_is_described_with_its_options_and_time(tmp_path: Path) -> None:
    text = told(trained(tmp_path, "one", 0, experiment="likes", source="table"))
    assert "one/prior.safetensors (experiment=likes, source=table, of 1970-01-01" in text
