"""Smallest runs of every command: on what, with which words, and what may differ between two that were not stopped."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils._pytree import tree_map

from prefprior.files import LOCK
from tests.small_run import QUIET, make_run

TABLE = (
    "source=table", "source.ratings=ratings.csv", "source.embeddings=vectors.npy", "source.items=items.txt",
    "source.space=own",
)  # fmt: skip


def _run(folder: Path) -> None:
    make_run(folder)


def _pictures(folder: Path) -> None:
    """Some pictures, one of them twice and one broken."""
    (folder / "pictures").mkdir()
    draws = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(draws.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder / f"pictures/{i}.png")
    shutil.copy(folder / "pictures/0.png", folder / "pictures/6.png")
    (folder / "pictures/7.png").write_bytes(b"no picture")
    (folder / "ratings.csv").write_text("user,item,rating\n" + "".join(f"u{i % 2},{i},{i}\n" for i in range(8)))


@dataclass(frozen=True)
class Scenario:
    """One command and its input."""

    name: str
    command: str
    words: tuple[str, ...]
    prepare: Callable[[Path], None]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("embed", "embed", (
            "source=table", "source.ratings=ratings.csv", "source.pictures=pictures", "encoder=world", "batch_size=2",
            "part_size=4", "max_bad=0.5", "run_dir=runs/embed/one",
        ), _pictures),
        Scenario("shard", "shard", (*TABLE, "least=2", "run_dir=runs/shard/one"), _run),
        Scenario("train", "train", (
            "experiment=table", *TABLE[1:], "prior=tiny", "data.batch_size=16", "data.epoch_batches=2",
            "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "~callbacks.speed", "run_dir=runs/train/two", QUIET,
        ), _run),
        Scenario("sample", "sample", (
            "people=2", "n=1", "nearest=1", "people_at_once=1", "run_dir=runs/sample/one", QUIET,
        ), _run),
        Scenario("evaluate", "evaluate", (
            *TABLE, "predictors=[mean,nearest]", "people=20", "scoreboard.lengths=[2,null]", "scoreboard.controls=[]",
            "run_dir=runs/evaluate/one",
        ), _run),
        Scenario("world", "tests.crash.world_build", (), lambda folder: None),
    )
}  # fmt: skip


def content(folder: Path) -> dict[str, Any]:
    """What a run left: the bytes of every file.

    Four things may differ, and are compared by what they mean: the seconds that embedding took; Lightning's
    checkpoint, by its tensors and rows, for it says in how many sessions a run was made; a lock of a process
    that was killed, which the next to write there takes over; where and when pictures were written (stamps).
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[name] = "folder"
        elif path.suffix == ".ckpt":
            found[name] = _trained(path)
        elif path.name == "metrics.json":
            figures = json.loads(path.read_text())
            found[name] = {key: value for key, value in figures.items() if not key.endswith("/seconds")}
        elif path.name != LOCK and not path.name.startswith("stamps-"):
            found[name] = path.read_bytes()
    return found


def _trained(path: Path) -> Any:
    kept = torch.load(path, weights_only=True)
    parts = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "metrics")
    return tree_map(
        lambda leaf: leaf.numpy().tobytes() if isinstance(leaf, torch.Tensor) else leaf,
        {part: kept[part] for part in parts},
    )
