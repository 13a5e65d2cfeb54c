"""Shards: their manifest, their tars, the counts beside them, and the data they are read for."""

import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.shards.manifest import COUNTS, MANIFEST, Shard, ShardSet
from prefprior.data.shards.stored import StoredShards
from prefprior.data.shards.tars import RECORD, read_shards
from prefprior.data.shards.write import write_shards
from prefprior.data.splits import Splits
from prefprior.files import read_json, write_json
from prefprior.ratings import RatingsTable
from tests.broken.case import LFS, Case, Refused, all_of, case, cut, gone, instead, write
from tests.data.small import SmallSource, module, ratings

AGAIN = "Make the shards again: python shard.py"
TAR = "train-000001.tar"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shards")
    write_shards(module(ratings(users=30)).tables, root / "small" / "small-space", shard_bytes=10**9, least=3)
    return root


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "shards")
    return tmp_path / "shards" / "small" / "small-space"


def manifest(change: Callable[[Any], Any]) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        value = read_json(folder / MANIFEST)
        change(value)
        write_json(folder / MANIFEST, value)

    return spoil


def shard(**changes: Any) -> Callable[[Path], Any]:
    return manifest(lambda value: value["parts"]["train"][1].update(changes))


def read(folder: Path) -> Any:
    shards = ShardSet.open(folder)
    read_shards(shards.parts["train"], shards.space.dim)
    return shards.item_counts()


def test_good_shards_are_read(folder: Path) -> None:
    assert len(read(folder)) == 50


MANIFESTS = [
    case("no manifest of shards", gone(MANIFEST), "contains no shards: there is no manifest.json", "python shard.py"),
    case("a manifest of shards from a FIFO", instead(MANIFEST, os.mkfifo), "contains no shards", "python shard.py"),
    case("a manifest of shards cut short", cut(MANIFEST, -30), "manifest.json:", "not JSON", AGAIN),
    case("a manifest of shards that is a list", write(MANIFEST, "[]"), "manifest.json is not a manifest of shards in format", AGAIN),
    case("shards of an older format", manifest(lambda m: m.update(format=1)), "manifest.json is not a manifest of shards in format", AGAIN),
    case("shards nested too deeply", write(MANIFEST, "[" * 100_000), "manifest.json:1", "nested too deeply", AGAIN),
    case("shards in latin-1", write(MANIFEST, b'{"a": "\xe9"}'), "manifest.json:1: the byte 0xe9", "iconv"),
    case("a Git LFS pointer for shards", write(MANIFEST, LFS), "manifest.json is a Git LFS pointer", "git lfs pull"),
    case("no parts", manifest(lambda m: m.pop("parts")), "manifest.json: parts is missing", AGAIN),
    case("parts in a list", manifest(lambda m: m.update(parts=[])), "manifest.json: parts is a list of 0; it must be a JSON object", AGAIN),
    case("a part without shards", manifest(lambda m: m["parts"].update(train=[])), "parts.train is a list of 0; it must be a list of at least 1", AGAIN),
    case("a shard that is a name", manifest(lambda m: m["parts"].update(train=["a.tar"])), "parts.train[0] is 'a.tar'; it must be a JSON object", AGAIN),
    case("a shard without a digest", manifest(lambda m: m["parts"]["train"][1].pop("sha256")), "parts.train[1].sha256 is missing", AGAIN),
    case("a digest that is too short", shard(sha256="abc"), "parts.train[1].sha256 is 'abc'", AGAIN),
    case("users in words", shard(users="9"), "parts.train[1].users is '9'; it must be a whole number of at least 1", AGAIN),
    case("users below 0", shard(users=-1), "parts.train[1].users is -1", AGAIN),
    case("ratings beyond all", shard(ratings=2**70), "parts.train[1].ratings is 11805", AGAIN),
    case("a shard outside the folder", shard(name="../x.tar"), "parts.train[1].name is '../x.tar'", AGAIN),
    case("a shard whose name is a command", shard(name="pipe:touch ran"), "parts.train[1].name is 'pipe:touch ran'", AGAIN),
    case("a shard that is named twice", manifest(lambda m: m["parts"]["train"].append(m["parts"]["train"][0])), "parts: train-000000.tar is listed twice", AGAIN),
    case("a shard of two parts", manifest(lambda m: m["parts"].update(val=m["parts"]["train"][:1])), "train-000000.tar is listed twice", AGAIN),
    case("a tar of too long a name", shard(name="x" * 300), "name is 'xxx", "it must be the name of a file in this folder", AGAIN),
    case("shards without a source", manifest(lambda m: m.pop("source")), "manifest.json: source is missing", AGAIN),
    case("shards of an empty space", manifest(lambda m: m.update(space={})), "manifest.json: space.name is missing", AGAIN),
    case("a scale without an end", manifest(lambda m: m["rating_scale"].pop("high")), "rating_scale.high is missing", AGAIN),
    case("a scale upside down", manifest(lambda m: m["rating_scale"].update(low=9)), "rating_scale: a scale needs low <= likes_from <= high, got 9", AGAIN),
    case("likes only, perhaps", manifest(lambda m: m["rating_scale"].update(liked_only="yes")), "rating_scale.liked_only is 'yes'; it must be true or false", AGAIN),
    case("no scale of people", manifest(lambda m: m.update(person_scale=None)), "person_scale is null; it must be a JSON object", AGAIN),
    case("a scale of people that nobody knows", manifest(lambda m: m["person_scale"].update(how="median")), "person_scale.how is 'median'", AGAIN),
    case("a weight of 0", manifest(lambda m: m["person_scale"].update(weight=0)), "person_scale: weight must be above 0", AGAIN),
    case("a std below 0", manifest(lambda m: m["person_scale"].update(std=-1)), "person_scale", "std at least 0", AGAIN),
    case("settled in a list", manifest(lambda m: m.update(settled=[])), "settled is a list of 0", AGAIN),
    case("a digest of training that is none", manifest(lambda m: m.update(training=5)), "training is 5", AGAIN),
    case("choices, perhaps", manifest(lambda m: m.update(has_choices=1)), "has_choices is 1; it must be true or false", AGAIN),
    case("no number of targets", manifest(lambda m: m.pop("targets")), "manifest.json: targets is missing", AGAIN),
]  # fmt: skip


def other_counts(value: Any) -> Callable[[Path], Any]:
    return lambda folder: np.save(folder / COUNTS, value)


FILES = [
    case("a tar that is gone", gone(TAR), f"{TAR} is missing", "Copy it again, or make the shards again: python shard.py"),
    case("a tar of shards cut short", cut(TAR, -2000), f"{TAR} has ", "bytes instead of", "python shard.py"),
    case("a tar of shards from a FIFO", instead(TAR, os.mkfifo), f"{TAR} is missing", "python shard.py"),
    case("a tar with other bytes", lambda f: (f / TAR).write_bytes(bytes((f / TAR).stat().st_size)), f"{TAR} has changed since", AGAIN),
    case("a tar in place of another", all_of(gone(TAR), lambda f: shutil.copy(f / "train-000000.tar", f / TAR), lambda f: shard(bytes=(f / TAR).stat().st_size)(f)), f"{TAR} has changed since", AGAIN),
    case("no item counts", gone(COUNTS), "item_counts.npy is missing", AGAIN),
    case("item counts from a FIFO", instead(COUNTS, os.mkfifo), "item_counts.npy is missing", AGAIN),
    case("item counts cut short", cut(COUNTS, -9), "item_counts.npy is not a complete .npy file", AGAIN),
    case("item counts of no bytes", write(COUNTS, b""), "item_counts.npy is not a complete .npy file", AGAIN),
    case("item counts that are fractions", other_counts(np.ones(50)), "item_counts.npy contains float64", AGAIN),
    case("item counts in a table", other_counts(np.ones((5, 10), int)), "item_counts.npy contains int64 of shape (5, 10)", AGAIN),
    case("item counts below 0", other_counts(np.full(50, -1)), "item_counts.npy contains int64", AGAIN),
    case("item counts of other shards", other_counts(np.ones(50, int)), "item_counts.npy counts 50 ratings, but", AGAIN),
]  # fmt: skip


@pytest.mark.parametrize("case", MANIFESTS, ids=str)
def test_manifests(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "shards: manifests", lambda: read(folder))


@pytest.mark.parametrize("case", FILES, ids=str)
def test_files(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "shards: tars and counts", lambda: read(folder))


def tar(**sample: Any) -> Callable[[Path], Any]:
    good = {"ratings.npy": records(), "embeddings.npy": np.zeros((2, 8), np.float32)}
    parts = {name.replace("_", "."): value for name, value in sample.items()}

    def spoil(folder: Path) -> None:
        with webdataset.TarWriter(str(folder / "x.tar")) as file:
            file.write({"__key__": "a", **{name: value for name, value in (good | parts).items() if value is not None}})

    return spoil


def twice(folder: Path) -> None:
    with tarfile.open(folder / "x.tar", "w") as file:
        for name in ("a.ratings.npy", "a.ratings.npy"):
            file.addfile(tarfile.TarInfo(name), io.BytesIO())


def records(**values: Any) -> np.ndarray:
    made_N = np.zeros(2, RECORD)
    made_N["propensity"], made_N["question"] = np.nan, -1
    for name, value in values.items():
        made_N[name] = value
    return made_N


FOREIGN = "x.tar does not contain ratings with embeddings of 8 dimensions"
TARS = [
    case("something else than a tar", write("x.tar", b"x" * 2000), FOREIGN, AGAIN),
    case("a sample without ratings", tar(ratings_npy=None), FOREIGN, AGAIN),
    case("a sample without embeddings", tar(embeddings_npy=None), FOREIGN, AGAIN),
    case("embeddings of 7 dimensions", tar(embeddings_npy=np.zeros((2, 7), np.float32)), FOREIGN, AGAIN),
    case("more embeddings than ratings", tar(embeddings_npy=np.zeros((3, 8), np.float32)), FOREIGN, AGAIN),
    case("ratings without fields", tar(ratings_npy=np.zeros(2)), FOREIGN, AGAIN),
    case("a user without ratings", tar(ratings_npy=np.zeros(0, RECORD), embeddings_npy=np.zeros((0, 8), np.float32)), FOREIGN, AGAIN),
    case("ratings that are no array", tar(ratings_npy=b"junk"), FOREIGN, AGAIN),
    case("an embedding that is not a number", tar(embeddings_npy=np.full((2, 8), np.nan, np.float32)), FOREIGN, "not finite", AGAIN),
    case("a rating of a shard that is infinite", tar(ratings_npy=records(rating=np.inf)), FOREIGN, "not finite", AGAIN),
    case("an item below 0", tar(ratings_npy=records(item=-1)), FOREIGN, "items below 0", AGAIN),
    case("a rating that is neither shown nor sought", tar(ratings_npy=records(shown=3)), FOREIGN, "shown that is not 0 or 1", AGAIN),
    case("a question of a single item", tar(ratings_npy=records(question=[0, -1])), FOREIGN, "a question of a single item", AGAIN),
    case("a question below -1", tar(ratings_npy=records(question=-2)), FOREIGN, "a question of a single item", AGAIN),
    case("a propensity of 0", tar(ratings_npy=records(propensity=0)), FOREIGN, "propensity outside of", AGAIN),
    case("a member that is there twice", twice, FOREIGN, AGAIN),
    case("fewer users than were promised", tar(), "x.tar contains 1 users with 2 ratings instead of 2 with 2", AGAIN),
]  # fmt: skip


@pytest.mark.parametrize("case", TARS, ids=str)
def test_tars(case: Case, tmp_path: Path, refused: Refused) -> None:
    case.spoil(tmp_path)
    refused(case, "shards: tars and counts", lambda: read_shards([Shard.of(tmp_path / "x.tar", users=2, ratings=2)], 8))


def streamed(folder: Path, table: RatingsTable | None = None, **arguments: Any) -> PreferenceDataModule:
    shards = StoredShards(root=str(folder.parents[1]))
    return PreferenceDataModule(source=SmallSource(table or ratings(users=30)), shards=shards, **arguments)


def second(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("other-space"))


LOOKUPS: list[tuple[Case, Callable[[Path], Any]]] = [
    (case("no shards of the source", lambda f: shutil.rmtree(f), "expected one set of shards of small", "found none", "python shard.py"), lambda f: streamed(f).space),
    (case("two sets of shards", second, "expected one set of shards of small", "other-space", "embeddings.space="), lambda f: streamed(f).space),
    (case("shards without a training part", manifest(lambda m: m["parts"].pop("train")), "small-space has no training part", "make the shards again"), lambda f: streamed(f).space),
    (case("shards that were split otherwise", lambda f: None, "were made with data.splits.by=auto", "python shard.py ... data.splits.by=item"), lambda f: streamed(f, splits=Splits(by="item")).space),
    (case("shards of other ratings", lambda f: None, "the training part of small is not that of the shards", AGAIN), lambda f: streamed(f, ratings(users=29)).ratings),
    (case("shards of other embeddings", manifest(lambda m: m["space"]["mean"].__setitem__(0, 7)), "the embeddings of small are not those from which the shards", AGAIN), lambda f: streamed(f).catalogue),
]  # fmt: skip


@pytest.mark.parametrize(("case", "ask"), LOOKUPS, ids=lambda value: str(value) if isinstance(value, Case) else "")
def test_lookups(case: Case, ask: Callable[[Path], Any], folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "shards: lookups", lambda: ask(folder))
