"""Run folders: one for each command, with its resolved configuration, its figures and what it made."""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from prefprior.checkpoint import describe
from prefprior.fields import Fields
from prefprior.files import read_json, read_utf8, write_json, write_text
from prefprior.nodes import leaves

ROOT = Path("runs")
CHECKPOINT = "prior.safetensors"  # of a finished training run: its last weights
BEST = "best.safetensors"  # beside it: the weights with the best validation figure
METRICS = "metrics.json"
INTERVALS = "metrics_intervals.json"  # of an evaluation: the same figures with their intervals
GALLERY = "gallery"  # the folder of a sampling run that holds what was made
CONFIG = "config.yaml"
DATA = "data.json"  # of a training run: where its data lie, beside the checkpoint and not inside it


@dataclass(frozen=True)
class Run:
    """What a command leaves behind."""

    folder: Path
    figure: float | None = None  # the one that a sweep looks at, if there is one

    @property
    def metrics(self) -> dict[str, float]:
        """Its figures; none where a command measures nothing."""
        return read_metrics(self.folder) if (self.folder / METRICS).is_file() else {}


def save_config(folder: Path, config: dict[str, Any]) -> None:
    """Writes the resolved configuration beside what the run makes."""
    write_text(folder / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run; empty before it has begun."""
    path = folder / CONFIG
    if not path.exists():
        return {}
    remedy = "Restore it, or choose another run_dir."
    try:
        value = yaml.safe_load(read_utf8(path).decode()) or {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"{path}:{line}: not valid YAML ({error.problem or error.context}). {remedy}") from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise ValueError(f"{path}: not valid YAML ({' '.join(str(error).split())[:200]}). {remedy}") from error
    except RecursionError:
        raise ValueError(f"{path}:1: cannot be read as YAML: it is nested too deeply. {remedy}") from None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{path}: not the configuration of a run, which maps keys to values. {remedy}")
    return value


def differing_keys(folder: Path, config: dict[str, Any], ignore: tuple[str, ...] = ()) -> list[str]:
    """Which leaves of a configuration differ from the one a run folder was begun with, if it was; `ignore` holds whole
    keys and first parts of keys."""
    if not (folder / CONFIG).is_file():
        return []
    old, new = leaves(read_config(folder)), leaves(config)
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return [key for key in keys if key not in ignore and key.split(".")[0] not in ignore]


def write_metrics(folder: Path, figures: dict[str, float]) -> Path:
    """Writes `metrics.json`: one flat object, keys `<data>/<part>/<predictor>/<metric>@<n>`, finite numbers only."""
    bad = [key for key, value in figures.items() if not math.isfinite(value)]
    if bad:
        raise ValueError(
            f"these metrics are not finite: {', '.join(bad[:5])}. Are there too few users or items to compute them?"
        )
    odd = [key for key in figures if key.count("/") != 3]
    assert not odd, f"keys are <data>/<part>/<predictor>/<metric>@<n>: {odd[:3]}"
    path = folder / METRICS
    write_json(path, {key: float(value) for key, value in figures.items()})
    return path


def read_metrics(folder: Path) -> dict[str, float]:
    """Reads a run's figures."""
    path, remedy = folder / METRICS, "Run the command that made it again."
    figures = Fields(read_json(path, remedy), path, remedy)
    return {key: figures.number(key) for key in figures}


def read_people(folder: Path, keys: Iterable[str]) -> dict[str, int]:
    """The number of users behind some figures of an evaluation."""
    path, remedy = folder / INTERVALS, "Evaluate again: python evaluate.py"
    figures = Fields(read_json(path, remedy), path, remedy)
    return {key: figures.fields(key).whole("people") for key in keys}


def last_run(command: str, must_hold: str, remedy: str, root: Path = ROOT) -> Path:
    """The newest run folder of a command that holds a finished `must_hold`."""
    found = _finished_runs(command, must_hold, root)
    if not found:
        raise ValueError(f"there is no finished {command} run under {root / command}. Make one with: {remedy}")
    return found[0]


def last_checkpoint(root: Path = ROOT) -> Path:
    """The last weights of the newest finished training run; one of debug=... counts only where it is named."""
    newest = last_run("train", CHECKPOINT, "python train.py", root)
    for folder in _finished_runs("train", CHECKPOINT, root):
        if not _choices(folder / CHECKPOINT).get("debug"):
            return folder / CHECKPOINT
    raise ValueError(
        f"all finished runs under {root / 'train'} are debug runs (debug=...), which say nothing "
        f"about quality. Train with: python train.py. To use one of them anyway: checkpoint={newest}"
    )


def find_checkpoint(given: str | None) -> Path:
    """The checkpoint a command was given, or the last run's; a folder stands for the last weights inside it."""
    if given is None:
        return last_checkpoint()
    path = Path(given)
    if path.is_dir() and not (path / CHECKPOINT).is_file() and (path / BEST).is_file():
        raise ValueError(
            f"{path} is not finished: there is no {CHECKPOINT}. Its best weights so far: checkpoint={path / BEST}"
        )
    path = path / CHECKPOINT if path.is_dir() else path
    if not path.is_file():
        raise ValueError(
            f"there is no checkpoint at {path}. Train one with: python train.py (then checkpoint= may be left out)"
        )
    return path


def gone_on_from(checkpoint: Path, since: float, root: Path = ROOT) -> list[Path]:
    """The last weights of the newest training run of experiment=app that started from a checkpoint and has finished
    `since` a time, if there is one."""
    for folder in _finished_runs("train", CHECKPOINT, root):
        path = folder / CHECKPOINT
        try:
            if path.stat().st_mtime <= since:
                break  # the others are older
            start, choices = read_config(folder).get("init_from"), _choices(path)
            if start is None or choices.get("experiment") != "app" or choices.get("debug"):
                continue
            if find_checkpoint(str(start)).samefile(checkpoint):
                return [path]
        except (OSError, ValueError):  # not a run that a person could go on with either
            continue
    return []


def told(checkpoint: Path) -> str:
    """A checkpoint's path, what it was trained on, and when: for a command that was not told which to take."""
    choices = _choices(checkpoint)
    words = [f"{key}={choices[key]}" for key in ("experiment", "source", "debug") if choices.get(key)]
    written = datetime.fromtimestamp(checkpoint.stat().st_mtime)
    return f"{checkpoint} ({', '.join([*words, f'of {written:%Y-%m-%d %H:%M:%S}'])})"


def _choices(checkpoint: Path) -> dict[str, Any]:
    """The options its training chose."""
    found = describe(checkpoint)["facts"].get("choices")
    return found if isinstance(found, dict) else {}


def _finished_runs(command: str, must_hold: str, root: Path) -> list[Path]:
    """The folders of what is named `must_hold`, newest first."""
    found = list[tuple[int, str]]()
    for path in (root / command).glob(f"**/{must_hold}"):
        with suppress(FileNotFoundError):  # deleted meanwhile
            if path.is_file():
                found.append((path.stat().st_mtime_ns, str(path)))
    return [Path(path).parent for _, path in sorted(found, reverse=True)]
