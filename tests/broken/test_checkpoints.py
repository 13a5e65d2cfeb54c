"""Checkpoints: the file, what it says of itself, its weights, and where its data lie."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from prefprior import checkpoint
from prefprior.composition import data_of_checkpoint
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.runs import CHECKPOINT, DATA, find_checkpoint, last_checkpoint
from prefprior.space import Space
from tests.broken.case import LFS, Case, Refused, case, cut, gone, instead, write
from tests.models.conftest import make_model, space

__all__ = ["space"]


@pytest.fixture(scope="module")
def saved(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / CHECKPOINT
    TrainedPredictor(
        model=make_model(space),
        objective=Denoising(schedule=CosineSchedule(), prediction="v"),
        sampler=Sampler(steps=3, guidance=Guidance(history=2.0)),
        facts={"steps": 3},
    ).save(path)
    return path


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    shutil.copy(saved, tmp_path / CHECKPOINT)
    return tmp_path


def stored(folder: Path, metadata: dict[str, str] | None, weights: dict[str, Any] | None = None) -> None:
    path = folder / CHECKPOINT
    sealed = None if metadata is None else metadata | {"sha256": checkpoint.NO_DIGEST}
    save_file(load_file(path) if weights is None else weights, path, metadata=sealed)
    if sealed is not None:
        checkpoint.seal(path)


def metadata(**values: str) -> Callable[[Path], Any]:
    return lambda folder: stored(folder, {"format": checkpoint.FORMAT} | values)


def told(change: Callable[[Any], Any]) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        description = checkpoint.describe(folder / CHECKPOINT)
        change(description)
        metadata(prefprior=json.dumps(description))(folder)

    return spoil


def weights(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        description, values = checkpoint.describe(folder / CHECKPOINT), load_file(folder / CHECKPOINT)
        change(values)
        stored(folder, {"format": checkpoint.FORMAT, "prefprior": json.dumps(description)}, values)

    return spoil


def flipped(folder: Path) -> None:
    content = bytearray((folder / CHECKPOINT).read_bytes())
    content[-7] ^= 1
    (folder / CHECKPOINT).write_bytes(content)


def unsealed(folder: Path) -> None:
    description = json.dumps(checkpoint.describe(folder / CHECKPOINT))
    weights = load_file(folder / CHECKPOINT)
    save_file(weights, folder / CHECKPOINT, metadata={"format": checkpoint.FORMAT, "prefprior": description})


def first(values: dict[str, Any], change: Callable[[Any], Any]) -> None:
    name = sorted(name for name, value in values.items() if value.numel())[0]
    values[name] = change(values[name])


def pickled(folder: Path) -> None:
    torch.save({"state_dict": {}}, folder / CHECKPOINT)


NAME = CHECKPOINT
REPEAT = "Make it again, or choose another"
CHECKPOINTS = [
    case("no checkpoint", gone(NAME), "there is no checkpoint", NAME, "python train.py"),
    case("a checkpoint of no bytes", write(NAME, b""), f"{NAME} is damaged or is not a checkpoint", REPEAT),
    case("a checkpoint that is text", write(NAME, b"no checkpoint at all"), f"{NAME} is damaged or is not a checkpoint", REPEAT),
    case("a checkpoint whose header was cut", cut(NAME, 200), f"{NAME} is damaged or is not a checkpoint", REPEAT),
    case("a checkpoint whose weights were cut", cut(NAME, -1), f"{NAME} is damaged or is not a checkpoint", REPEAT),
    case("one bit that is another", flipped, f"{NAME} is damaged: its SHA-256 is", "Copy it again, or train again"),
    case("no digest", unsealed, f"{NAME} is damaged: its metadata has no SHA-256", "Copy it again, or train again"),
    case("a header that claims gigabytes", lambda f: (f / NAME).write_bytes(struct.pack("<Q", 2**40) + b"{}"), f"{NAME} is damaged or is not a checkpoint", REPEAT),
    case("a header that is no JSON", lambda f: (f / NAME).write_bytes(struct.pack("<Q", 8) + b"{{{{{{{{"), f"{NAME} is damaged or is not a checkpoint", REPEAT),
    case("a checkpoint of Lightning", pickled, f"{NAME} is a torch checkpoint", "Give the run folder"),
    case("a Git LFS pointer for a checkpoint", write(NAME, LFS), NAME, "git lfs pull"),
    case("safetensors of another program", lambda f: stored(f, None), f"{NAME} is not a prefprior checkpoint: its format is None", REPEAT),
    case("a checkpoint of an older format", metadata(format="prefprior-2"), f"{NAME} has the checkpoint format prefprior-2", "Train again"),
    case("a checkpoint of another kind", metadata(format="other-1"), f"{NAME} is not a prefprior checkpoint", REPEAT),
    case("nothing told of a model", metadata(), f"{NAME}", "not JSON", REPEAT),
    case("metadata that is no JSON", metadata(prefprior="{model:"), NAME, "not JSON", REPEAT),
    case("metadata nested too deeply", metadata(prefprior="[" * 100_000), NAME, "nested too deeply", REPEAT),
    case("metadata with a number of 10,000 digits", metadata(prefprior='{"a": ' + "9" * 10_000 + "}"), NAME, "cannot be read as JSON", REPEAT),
    case("metadata with a key twice", metadata(prefprior='{"model": 1, "model": 2}'), NAME, "the key 'model' appears twice", REPEAT),
    case("metadata that is a list", metadata(prefprior="[1]"), f"{NAME} does not describe a model", REPEAT),
    case("metadata of 20 MB", metadata(prefprior='"' + "x" * 20_000_000 + '"'), f"{NAME} has 20,000,002 bytes of metadata", REPEAT),
    case("no facts", told(lambda d: d.pop("facts")), f"{NAME} does not describe a model", "facts", REPEAT),
    case("facts in a list", told(lambda d: d.update(facts=[])), f"{NAME} does not describe a model", REPEAT),
    case("no model", told(lambda d: d.pop("model")), f"{NAME} does not describe a model of this version: lacks 'model'", REPEAT),
    case("a model that is a name", told(lambda d: d.update(model="unet")), NAME, "model is 'unet'; it must be a JSON object", REPEAT),
    case("no prior", told(lambda d: d["model"].pop("prior")), f"{NAME}", "lacks 'prior'", REPEAT),
    case("a prior that is null", told(lambda d: d["model"].update(prior=None)), NAME, "prior is not a PriorNetwork: None", REPEAT),
    case("a prior without a class", told(lambda d: d["model"]["prior"].pop("_target_")), NAME, "prior is not a PriorNetwork: a node without a class", REPEAT),
    case("an objective for a prior", told(lambda d: d["model"].update(prior=d["objective"])), NAME, "prior is not a PriorNetwork", REPEAT),
    case("a class of another package", told(lambda d: d["objective"].update(_target_="os.system")), NAME, "objective._target_ is 'os.system'", "may name only classes", "trust="),
    case("a function for a class", told(lambda d: d["objective"].update(_target_="prefprior.models.objectives.objective.Objective")), NAME, "is not a class that a file may name"),
    case("a class that there is no more", told(lambda d: d["model"]["prior"].update(_target_="prefprior.models.prior.gone.Prior")), NAME, "there is no prefprior.models.prior.gone.Prior in this version", "another one"),
    case("an argument that nobody takes", told(lambda d: d["model"]["prior"].update(widht=3)), NAME, "prior.widht is unknown", "did you mean width", REPEAT),
    case("an argument of another type", told(lambda d: d["model"]["prior"].update(width="wide")), NAME, "prior.width is 'wide'", REPEAT),
    case("an argument without a value", told(lambda d: d["model"]["prior"].update(width="???")), NAME, "prior.width has no value", REPEAT),
    case("heads that do not divide a width", told(lambda d: d["model"]["prior"].update(heads=5)), NAME, REPEAT),
    case("a width of 0", told(lambda d: d["model"]["prior"].update(width=0)), NAME, REPEAT),
    case("a width beyond all memory", told(lambda d: d["model"]["prior"].update(width=2**40)), NAME, REPEAT),
    case("a node nested too deeply", told(lambda d: d["model"].update(prior=nested(40))), NAME, "nested more than 32 levels deep", REPEAT),
    case("no sampler", told(lambda d: d.pop("sampler")), NAME, "lacks 'sampler'", REPEAT),
    case("an objective that is a sampler", told(lambda d: d.update(objective=d["sampler"])), NAME, "objective is not an objective: Sampler", REPEAT),
    case("a sampler of 0 steps", told(lambda d: d["sampler"].update(steps=0)), NAME, "steps", REPEAT),
    case("a guidance that is not a number", told(lambda d: d["sampler"]["guidance"].update(history=float("nan"))), NAME, "sampler.guidance.history is nan; it must be a finite number", REPEAT),
    case("no space in a checkpoint", told(lambda d: d.pop("space")), NAME, "lacks 'space'", REPEAT),
    case("a space in a checkpoint that is a name", told(lambda d: d.update(space="s")), NAME, "it is 's'; it must be a JSON object", REPEAT),
    case("a space without a std", told(lambda d: d["space"].pop("std")), NAME, "std is missing", REPEAT),
    case("a space of other dimensions", told(lambda d: d["space"].update(mean=[0.0] * 5, std=[1.0] * 5)), f"{NAME} does not fit its own configuration", "Train again"),
    case("a space with a std of 0", told(lambda d: d["space"]["std"].__setitem__(0, 0.0)), NAME, "every std above 0", REPEAT),
    case("a deeper prior than its weights", told(lambda d: d["model"]["prior"].update(depth=3)), f"{NAME} does not fit its own configuration", "train again"),
    case("a wider prior than its weights", told(lambda d: d["model"]["prior"].update(width=64)), f"{NAME} does not fit its own configuration", "Train again"),
    case("a weight that is gone", weights(lambda w: w.pop(sorted(w)[0])), f"{NAME} does not fit its own configuration", "train again"),
    case("a weight too many", weights(lambda w: w.update(more=torch.zeros(1))), f"{NAME} does not fit its own configuration", "Train again"),
    case("lengths of pictures without their directions", weights(lambda v: v.update({"lengths.length_P": torch.ones(3)})), f"{NAME} does not fit its own configuration", "lengths.direction_PD", "train again"),
    case("a weight of another shape", weights(lambda w: first(w, lambda v: torch.zeros(1, 2, 3))), f"{NAME} does not fit its own configuration", "Train again"),
    case("a weight that is not a number", weights(lambda w: first(w, lambda v: torch.full_like(v, torch.nan))), f"{NAME}: the weights", "contain NaN or infinity", "train again"),
    case("no weights", lambda f: weights(lambda w: w.clear())(f), f"{NAME} does not fit its own configuration", "train again"),
]  # fmt: skip


def nested(levels: int) -> Any:
    return {"a": nested(levels - 1)} if levels else 1


def test_a_good_checkpoint_is_read(folder: Path) -> None:
    assert checkpoint.load(folder / CHECKPOINT).facts == {"steps": 3}


@pytest.mark.parametrize("case", CHECKPOINTS, ids=str)
def test_checkpoints(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "checkpoints", lambda: checkpoint.load(folder / CHECKPOINT))


FOUND = [
    (case("a folder without a checkpoint", gone(NAME), "there is no checkpoint at", NAME, "python train.py"), lambda f: find_checkpoint(str(f))),
    (case("a checkpoint that is a folder", instead(NAME, Path.mkdir), "there is no checkpoint", NAME, "python train.py"), lambda f: checkpoint.load(f / NAME)),
    (case("no finished training", gone(NAME), "there is no finished train run under", "python train.py"), lambda f: last_checkpoint(f)),
]  # fmt: skip


@pytest.mark.parametrize(("case", "read"), FOUND, ids=lambda value: str(value) if isinstance(value, Case) else "")
def test_checkpoint_paths(case: Case, read: Callable[[Path], Any], folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "checkpoints", lambda: read(folder))


GOOD: dict[str, Any] = {
    "source": {"_target_": "prefprior.data.sources.table.TableSource", "ratings": "r.csv", "pictures": "p"},
    "embeddings": {"_target_": "prefprior.data.embedding_lookup.StoredEmbeddings"},
    "data": {"_target_": "prefprior.data.datamodule.PreferenceDataModule", "batch_size": 4},
    "seed": 0,
}


def data(**changes: Any) -> Callable[[Path], Any]:
    value = {key: part for key, part in (GOOD | changes).items() if part != "gone"}
    return write(DATA, json.dumps(value))


def source(**changes: Any) -> Callable[[Path], Any]:
    return data(source=GOOD["source"] | changes)


DATA_FILES = [
    case("data that were cut short", write(DATA, '{"source": '), f"{DATA}:1: not JSON", "source=..."),
    case("data in a list", write(DATA, "[]"), f"{DATA} does not describe data", "source=..."),
    case("data nested too deeply", write(DATA, "[" * 100_000), f"{DATA}:1", "nested too deeply", "source=..."),
    case("data in latin-1", write(DATA, b'{"a": "\xe9"}'), f"{DATA}:1: the byte 0xe9", "iconv"),
    case("data of nobody", data(source="gone"), "does not record its training data", "add source=..."),
    case("a source that is a name", data(source="flickr"), f"{DATA}: source is a str, not a JSON object", "source=..."),
    case("a source without a class", data(source={"ratings": "r.csv"}), "does not record its training data", "add source=..."),
    case("a source of another package", source(_target_="pandas.read_pickle"), "the data of", DATA, "source._target_ is 'pandas.read_pickle'", "trust="),
    case("a source that there is not", source(_target_="prefprior.data.sources.gone.Source"), DATA, "there is no prefprior.data.sources.gone.Source in this version"),
    case("an argument of a source that there is not", source(rating="r.csv"), DATA, "source.rating is unknown", "did you mean ratings"),
    case("a path that is a number", source(duplicates=["last"]), DATA, "source.duplicates"),
    case("a path without a value", source(ratings="???"), DATA, "source.ratings has no value", "add source.ratings=... to the command"),
    case("embeddings that are a source", data(embeddings=GOOD["source"]), DATA, "embeddings"),
    case("data that are no data module", data(data=GOOD["embeddings"]), DATA, "data._target_ is prefprior.data.embedding_lookup.StoredEmbeddings"),
    case("a batch of 0", data(data=GOOD["data"] | {"batch_size": 0}), DATA, "batch_size", "at least 1", "source=..."),
    case("ratings that are gone", data(), "there is no file", "r.csv", "Is the path right?"),
]  # fmt: skip


@pytest.mark.parametrize("case", DATA_FILES, ids=str)
def test_data(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    monkeypatch.chdir(tmp_path)
    case.spoil(tmp_path)
    refused(case, "checkpoints: data.json", lambda: data_of_checkpoint(tmp_path / CHECKPOINT, {}))


IN_THE_FILE = [
    (case("facts of data in a list", lambda f: None, NAME, "facts.data is not a JSON object", "source=..."), {"data": [1]}),
    (case("a path that stayed behind", lambda f: None, "source.ratings has no value", "(in training: r.csv)"), {"data": GOOD | {"paths": {"source.ratings": "r.csv"}}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "facts"), IN_THE_FILE, ids=lambda value: str(value) if isinstance(value, Case) else ""
)
def test_missing_data_json(case: Case, facts: dict[str, Any], tmp_path: Path, refused: Refused) -> None:
    refused(case, "checkpoints: data.json", lambda: data_of_checkpoint(tmp_path / CHECKPOINT, facts))
