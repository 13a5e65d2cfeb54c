"""What a run's folder holds: its configuration, its figures, and of how many people they are."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefprior.runs import (
    CONFIG,
    INTERVALS,
    METRICS,
    differing_keys,
    read_config,
    read_metrics,
    read_people,
    save_config,
)
from tests.broken.case import LFS, Case, Refused, case, cut, gone, instead, write

KEY = "d/p/prior/auc@4"
RESTORE = "Restore it, or choose another run_dir"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_config(tmp_path, {"seed": 0, "source": {"root": "x"}})
    write(METRICS, f'{{"{KEY}": 0.5}}')(tmp_path)
    write(INTERVALS, f'{{"{KEY}": {{"value": 0.5, "people": 7}}}}')(tmp_path)
    return tmp_path


def test_a_good_run_is_read(folder: Path) -> None:
    assert differing_keys(folder, {"seed": 0, "source": {"root": "x"}}) == []
    assert read_metrics(folder) == {KEY: 0.5}
    assert read_people(folder, [KEY]) == {KEY: 7}


def config(text: str | bytes) -> Callable[[Path], Any]:
    return write(CONFIG, text)


CONFIGS = [
    case("a configuration that is no YAML", config("seed: 0\nsource: {root: x\nn: 3\n"), f"{CONFIG}:3: not valid YAML", RESTORE),
    case("tabs", config("seed: 0\nsource:\n\troot: x\n"), f"{CONFIG}:3: not valid YAML", RESTORE),
    case("a quote left open in YAML", config("seed: 0\nname: 'x\n"), f"{CONFIG}:", "not valid YAML", RESTORE),
    case("a configuration that is a list", config("- seed\n- 0\n"), f"{CONFIG}: not the configuration of a run", RESTORE),
    case("a configuration that is a text", config("seed\n"), f"{CONFIG}: not the configuration of a run", RESTORE),
    case("keys that are numbers", config("0: seed\n"), f"{CONFIG}: not the configuration of a run", RESTORE),
    case("a class of Python", config("seed: !!python/object/apply:os.system ['touch ran']\n"), f"{CONFIG}:1: not valid YAML (could not determine a constructor", RESTORE),
    case("a character that YAML does not know", config("seed: \x07\n"), f"{CONFIG}: not valid YAML", RESTORE),
    case("a configuration in latin-1", config(b"name: caf\xe9\n"), f"{CONFIG}:1: the byte 0xe9", "iconv"),
    case("a configuration nested too deeply", config("seed: " + "[" * 5000 + "]" * 5000), f"{CONFIG}:1: cannot be read as YAML", "nested too deeply", RESTORE),
    case("a configuration from a FIFO", instead(CONFIG, os.mkfifo), f"{CONFIG} is a FIFO", "Give the path of a file"),
    case("a configuration that is a folder", instead(CONFIG, Path.mkdir), f"{CONFIG} is a folder", "Give the path of a file"),
    case("a Git LFS pointer for a configuration", config(LFS), f"{CONFIG} is a Git LFS pointer", "git lfs pull"),
]  # fmt: skip

AGAIN = "Run the command that made it again"
FIGURES = [
    case("no figures of a run", gone(METRICS), "there is no file", METRICS, "Is the path right?"),
    case("figures cut short", cut(METRICS, 9), f"{METRICS}:1: not JSON", AGAIN),
    case("figures in a list", write(METRICS, "[0.5]"), f"{METRICS}: it is a list of 1; it must be a JSON object", AGAIN),
    case("a figure in words", write(METRICS, '{"a/b/c/d@1": "good"}'), f"{METRICS}: a/b/c/d@1 is 'good'; it must be a finite number", AGAIN),
    case("a figure that is not a number", write(METRICS, '{"a/b/c/d@1": NaN}'), f"{METRICS}: a/b/c/d@1 is nan", AGAIN),
    case("a figure that is null", write(METRICS, '{"a/b/c/d@1": null}'), f"{METRICS}: a/b/c/d@1 is null", AGAIN),
    case("a figure that is true", write(METRICS, '{"a/b/c/d@1": true}'), f"{METRICS}: a/b/c/d@1 is true", AGAIN),
    case("figures nested too deeply", write(METRICS, "[" * 100_000), f"{METRICS}:1", "nested too deeply", AGAIN),
    case("a figure that is there twice", write(METRICS, '{"a": 1, "a": 2}'), f"{METRICS}:1", "the key 'a' appears twice", AGAIN),
    case("figures from a FIFO", instead(METRICS, os.mkfifo), f"{METRICS} is a FIFO", "Give the path of a file"),
]  # fmt: skip

EVALUATE = "python evaluate.py"
PEOPLE = [
    case("no intervals", gone(INTERVALS), "there is no file", INTERVALS, "Is the path right?"),
    case("intervals of other figures", write(INTERVALS, "{}"), f"{INTERVALS}: {KEY} is missing", EVALUATE),
    case("intervals that are numbers", write(INTERVALS, f'{{"{KEY}": 0.5}}'), f"{INTERVALS}: {KEY} is 0.5; it must be a JSON object", EVALUATE),
    case("intervals of nobody", write(INTERVALS, f'{{"{KEY}": {{"value": 0.5}}}}'), f"{INTERVALS}: {KEY}.people is missing", EVALUATE),
    case("intervals of half a person", write(INTERVALS, f'{{"{KEY}": {{"people": 0.5}}}}'), f"{INTERVALS}: {KEY}.people is 0.5; it must be a whole number", EVALUATE),
]  # fmt: skip

READERS: list[tuple[str, Callable[[Path], Any], list[Case]]] = [
    ("runs: config.yaml", read_config, CONFIGS),
    ("runs: metrics.json", read_metrics, FIGURES),
    ("runs: metrics_intervals.json", lambda folder: read_people(folder, [KEY]), PEOPLE),
]


@pytest.mark.parametrize(
    ("reader", "read", "case"),
    [(reader, read, case) for reader, read, cases in READERS for case in cases],
    ids=[case.name for _, _, cases in READERS for case in cases],
)
def test_runs(reader: str, read: Callable[[Path], Any], case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, reader, lambda: read(folder))
