"""Fuzzing what is loaded: mutated metadata and data files are read or refused, and nothing else happens.

An audit hook watches for everything that a reader has no business doing: writing, deleting, starting processes,
connecting, importing what loading a good file does not import.
"""

import copy
import json
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prefprior import checkpoint
from prefprior.composition import data_of_checkpoint
from prefprior.data.embedding.manifest import MANIFEST as EMBEDDINGS
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.shards.manifest import MANIFEST as SHARDS
from prefprior.data.shards.stored import StoredShards
from prefprior.data.shards.tars import read_shards
from prefprior.data.shards.write import write_shards
from prefprior.files import read_json
from prefprior.gallery.manifest import FORMAT
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.replay import NOT_REPEATED, repeated
from prefprior.runs import DATA
from prefprior.schemas import SampleConfig
from prefprior.space import Space
from tests.data.small import module, ratings
from tests.gallery import tiny
from tests.models.conftest import make_model, space

__all__ = ["space"]

CASES = 250
FORBIDDEN = (
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink",
    "os.link", "os.chmod", "os.truncate", "subprocess.Popen", "shutil.", "socket.connect", "ctypes.dlopen", "pty.spawn",
    "webbrowser.open", "urllib.Request",
)  # fmt: skip
EVIL: list[Any] = [
    None, True, -1, 0, 1, 3.5, 1e308, float("nan"), 2**70, 10**9, "", "x" * 5000, "../../etc/passwd", "/etc/passwd",
    "${oc.env:HOME}", "${oc.create:{_target_:os.system,command:'touch ran'}}", [], {}, [[[[[[]]]]]],
    {"_target_": "os.system", "command": "touch ran"}, {"_target_": "builtins.open", "file": "ran", "mode": "w"},
    {"_target_": "pandas.read_pickle", "filepath_or_buffer": "x"}, {"_target_": "prefprior.files.write_text"},
    {"_target_": "prefprior.train.run"}, {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "ran"},
    {"_target_": "prefprior.models.prior.pretrained.from_published", "pretrained": "x/y"}, {"_target_": 7},
    {"_target_": "prefprior.world.source.WorldSource"}, {"_partial_": True}, {"_target_": "", "_partial_": True},
]  # fmt: skip
_state: dict[str, Any] = {"watching": False, "seen": [], "allowed": set()}


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _state["watching"]:
        return
    if event.startswith(FORBIDDEN):
        _state["seen"].append((event, str(arguments)[:200]))
    elif event == "open" and arguments and isinstance(arguments[0], (str, bytes)):
        mode, flags = (arguments[1] or ""), (arguments[2] or 0)
        writes = any(letter in str(mode) for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes:
            _state["seen"].append((event, str(arguments)[:200]))
    elif event == "import" and arguments[0].split(".")[0] not in _state["allowed"]:
        _state["seen"].append((event, arguments[0]))


sys.addaudithook(_audit)


@pytest.fixture
def watched() -> Iterator[list[Any]]:
    """What happened that should not have."""
    _state["seen"] = []
    _state["allowed"] = {name.split(".")[0] for name in sys.modules}
    yield _state["seen"]
    _state["watching"] = False


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, child in value.items():
            yield from places(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value[:3]):
            yield from places(child, (*path, index))


def mutated(value: Any, rng: random.Random) -> Any:
    """One to three places replaced, deleted or added to."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        path = rng.choice(list(places(value)) or [()])
        if not path:
            return copy.deepcopy(rng.choice(EVIL))
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        if isinstance(holder, dict) and rng.random() < 0.2:
            del holder[path[-1]]
        elif isinstance(holder, dict) and rng.random() < 0.2:
            holder[rng.choice(["_target_", "extra", "root", "path"])] = copy.deepcopy(rng.choice(EVIL))
        else:
            holder[path[-1]] = copy.deepcopy(rng.choice(EVIL))
    return value


def attempt(load: Any, seen: list[Any], case: object) -> str | None:
    """The message with which something is refused, or None; anything but a ValueError fails the test."""
    seen.clear()
    _state["watching"] = True
    try:
        load()
        return None
    except ValueError as error:
        return str(error)
    finally:
        _state["watching"] = False
        assert not seen, f"{case}: {seen}"


def test_checkpoint_metadata(space: Space, tmp_path: Path, watched: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "prior.safetensors"
    predictor = TrainedPredictor(
        model=make_model(space, "cold"),
        objective=Denoising(schedule=CosineSchedule(), prediction="v"),
        sampler=Sampler(steps=3, guidance=Guidance(history=2.0)),
        facts={"steps": 3},
    )
    predictor.save(path)
    TrainedPredictor.load(path)
    weights, good, rng = load_file(path), checkpoint.describe(path), random.Random(0)
    refused = 0
    for case in range(CASES):
        description = mutated(good, rng)
        metadata = {"format": checkpoint.FORMAT, "prefprior": json.dumps(description), "sha256": checkpoint.NO_DIGEST}
        save_file(weights, path, metadata=metadata)
        checkpoint.seal(path)
        message = attempt(lambda: checkpoint.load(path), watched, case)
        refused += message is not None
        assert message is None or str(path) in message
    assert refused > CASES / 2
    assert not (tmp_path / "ran").exists()


def test_data_beside_a_checkpoint(tmp_path: Path, watched: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = {
        "source": {"_target_": "prefprior.data.sources.table.TableSource", "ratings": "r.csv", "pictures": "p"},
        "embeddings": {"_target_": "prefprior.data.embedding_lookup.StoredEmbeddings"},
        "data": {
            "_target_": "prefprior.data.datamodule.PreferenceDataModule",
            "splits": {"_target_": "prefprior.data.splits.Splits", "by": "user"},
            "batch_size": 4,
        },
        "seed": 0,
    }  # no r.csv: a good file is read, and then says that the ratings are not there
    rng = random.Random(1)
    monkeypatch.setattr("prefprior.data.datamodule.PreferenceDataModule.setup", lambda self, stage=None: None)
    (tmp_path / DATA).write_text(json.dumps(good))
    data_of_checkpoint(tmp_path / "prior.safetensors", {})
    import_module("prefprior.world.source")  # a source like any other
    _state["allowed"] = {name.split(".")[0] for name in sys.modules}
    for case in range(CASES):
        spoiled = mutated(good, rng)
        (tmp_path / DATA).write_text(json.dumps(spoiled))
        attempt(lambda: data_of_checkpoint(tmp_path / "prior.safetensors", {}), watched, (case, spoiled))
        attempt(lambda facts={"data": spoiled}: data_of_checkpoint(None, facts), watched, (case, spoiled))
    assert not (tmp_path / "ran").exists()


def test_gallery_manifests(tmp_path: Path, watched: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = {key: value for key, value in asdict(SampleConfig()).items() if key not in NOT_REPEATED}
    command["decoder"] = {"_target_": "prefprior.decoders.kandinsky.Kandinsky", "model": "x", "steps": 3}
    settings = replace(tiny.SETTINGS, prompt="red", command=command).to_dict()
    good = {"format": FORMAT, "person": {"name": "u1", "slug": "u1"}, "settings": settings}
    path, config = tmp_path / "manifest.json", SampleConfig(manifest=str(tmp_path / "manifest.json"))
    path.write_text(json.dumps(good))
    assert repeated(config, set())[0].users == ["u1"]
    _state["allowed"] = {name.split(".")[0] for name in sys.modules}
    rng = random.Random(2)
    for case in range(CASES):
        spoiled = mutated(good, rng)
        path.write_text(json.dumps(spoiled))
        message = attempt(lambda: repeated(config, set()), watched, (case, spoiled))
        assert message is None or str(path) in message
    assert not (tmp_path / "ran").exists()


def test_embedding_manifests(tmp_path: Path, watched: list[Any]) -> None:
    vectors_ND = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    folder = tmp_path / "table"
    EmbeddingTable.write(folder, "own", [f"i{i}" for i in range(20)], vectors_ND)
    good, rng = read_json(folder / EMBEDDINGS), random.Random(3)
    refused = 0
    for case in range(CASES):
        spoiled = mutated(good, rng)
        (folder / EMBEDDINGS).write_text(json.dumps(spoiled))
        message = attempt(lambda: EmbeddingTable.open(folder).row_of, watched, (case, spoiled))
        refused += message is not None
        assert message is None or str(folder) in message, spoiled
    assert refused > CASES / 2


def test_shard_manifests(tmp_path: Path, watched: list[Any]) -> None:
    data, folder = module(ratings(users=30)), tmp_path / "small" / "small-space"
    write_shards(data.tables, folder, shard_bytes=10**9, least=2)
    good, rng = read_json(folder / SHARDS), random.Random(4)
    refused = 0

    def load() -> None:
        tables = StoredShards(root=str(tmp_path)).open(data.tables)
        tables.item_counts()
        read_shards(tables.shards.parts["train"], tables.space.dim)

    load()
    _state["allowed"] = {name.split(".")[0] for name in sys.modules}
    for case in range(CASES):
        spoiled = mutated(good, rng)
        (folder / SHARDS).write_text(json.dumps(spoiled))
        message = attempt(load, watched, (case, spoiled))
        refused += message is not None
        assert message is None or str(tmp_path) in message, (spoiled, message)
    assert refused > CASES / 2


def test_the_file_watch_detects_writes(watched: list[Any], tmp_path: Path) -> None:
    """The test above can fail."""
    _state["watching"] = True
    (tmp_path / "x").write_text("x")
    _state["watching"] = False
    assert watched
    watched.clear()
    assert torch.is_tensor(torch.zeros(1))
