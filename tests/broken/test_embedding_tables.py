"""Tables of embeddings on disk, their manifests, and the parts of a run that was interrupted."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefprior.data.embedding.contents import CONTENT, content_of
from prefprior.data.embedding.manifest import MANIFEST, fingerprint
from prefprior.data.embedding.plan import PARTS, EncodeRule, Part, make_plan, work_order
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.embedding_lookup import RefinedEmbeddings, StoredEmbeddings
from prefprior.data.pictures import BytesPictures, Pictures
from prefprior.files import read_json, write_json
from tests.broken.case import LFS, Case, Refused, all_of, case, cut, gone, instead, write
from tests.data.small import SmallSource, ratings

VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float16)
IDS = ["a", "b", "c", "d"]
IDENTITY: dict[str, object] = {"model": "m", "weights": "w"}
AGAIN = "run the same python embed.py command again"


def pictures(**changes: bytes) -> BytesPictures:
    return BytesPictures({item: item.encode() for item in IDS} | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = tmp_path / "small" / "s"
    contents_N = np.asarray([content_of(pictures(), item) for item in IDS], dtype=CONTENT)
    EmbeddingTable.write_chunks(
        table, "s", IDS, [VECTORS], dim=3, dtype="float16", encoder=IDENTITY, contents_N=contents_N
    )
    return table


def manifest(change: Callable[[Any], Any]) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        value = read_json(folder / MANIFEST)
        change(value)
        write_json(folder / MANIFEST, value)

    return spoil


def text(content: str) -> Callable[[Path], Any]:
    return write(MANIFEST, content)


def passed_off(name: str, spoil: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """A file changed together with its fingerprint, as only somebody does who makes a table themselves."""

    def both(folder: Path) -> None:
        spoil(folder)
        kind = name.split("-")[0]
        manifest(lambda value: value["files"][kind].update(fingerprint=fingerprint(folder / name)))(folder)

    return both


def saved(name: str, value: np.ndarray) -> Callable[[Path], Any]:
    return passed_off(name, lambda folder: np.save(folder / name, value))


def read(folder: Path) -> Any:
    table = EmbeddingTable.open(folder)
    return table.ids, table.contents_N


def test_a_good_table_is_read(folder: Path) -> None:
    assert read(folder)[0] == IDS


MANIFESTS = [
    case("no manifest", gone(MANIFEST), "contains no embeddings: there is no manifest.json", "python embed.py"),
    case("a manifest that is a folder", instead(MANIFEST, Path.mkdir), "contains no embeddings", "python embed.py"),
    case("a manifest from a FIFO", instead(MANIFEST, os.mkfifo), "contains no embeddings", "python embed.py"),
    case("a manifest of no bytes", text(""), "manifest.json:1: not JSON", AGAIN),
    case("a manifest cut short", cut(MANIFEST, -20), "manifest.json:", "not JSON", AGAIN),
    case("a manifest that is a list", text("[1, 2]"), "manifest.json is not a manifest of embeddings in format 1", AGAIN),
    case("a manifest that is null", text("null"), "manifest.json is not a manifest of embeddings", AGAIN),
    case("a manifest of another format", manifest(lambda m: m.update(format=99)), "manifest.json is not a manifest of embeddings in format 1", AGAIN),
    case("a manifest of shards", manifest(lambda m: (m.clear(), m.update(format=4, parts={}))), "not a manifest of embeddings", AGAIN),
    case("a manifest nested too deeply", text('{"a":' * 100_000), "manifest.json:1", "nested too deeply", AGAIN),
    case("a key of a manifest twice", text('{"format": 1, "format": 1}'), "the key 'format' appears twice", AGAIN),
    case("a manifest in latin-1", write(MANIFEST, b'{"format": "\xe9"}'), "manifest.json:1: the byte 0xe9", "iconv"),
    case("a manifest in UTF-16", write(MANIFEST, '{"format": 1}'.encode("utf-16")), "manifest.json:1: this is UTF-16", "iconv"),
    case("a Git LFS pointer for a manifest", write(MANIFEST, LFS), "manifest.json is a Git LFS pointer", "git lfs pull"),
    case("no files", manifest(lambda m: m.pop("files")), "manifest.json: files is missing", AGAIN),
    case("files in a list", manifest(lambda m: m.update(files=["vectors-0.npy"])), "manifest.json: files is a list of 1; it must be a JSON object", AGAIN),
    case("no ids among the files", manifest(lambda m: m["files"].pop("ids")), "manifest.json: files.ids is missing", AGAIN),
    case("a file without a fingerprint", manifest(lambda m: m["files"]["vectors"].pop("fingerprint")), "files.vectors.fingerprint is missing", AGAIN),
    case("a fingerprint that is a number", manifest(lambda m: m["files"]["vectors"].update(fingerprint=7)), "files.vectors.fingerprint is 7", AGAIN),
    case("a file outside the folder", manifest(lambda m: m["files"]["ids"].update(name="../../ids.txt")), "files.ids.name is '../../ids.txt'", AGAIN),
    case("a file by its absolute path", manifest(lambda m: m["files"]["ids"].update(name="/etc/passwd")), "files.ids.name is '/etc/passwd'", AGAIN),
    case("no count", manifest(lambda m: m.pop("count")), "manifest.json: count is missing", AGAIN),
    case("a count in words", manifest(lambda m: m.update(count="four")), "manifest.json: count is 'four'; it must be a whole number", AGAIN),
    case("a count below 0", manifest(lambda m: m.update(count=-4)), "manifest.json: count is -4", AGAIN),
    case("a count that is true", manifest(lambda m: m.update(count=True)), "manifest.json: count is true", AGAIN),
    case("a version that is a fraction", manifest(lambda m: m.update(version=0.5)), "manifest.json: version is 0.5", AGAIN),
    case("no encoder", manifest(lambda m: m.pop("encoder")), "manifest.json: encoder is missing", AGAIN),
    case("an encoder that is a name", manifest(lambda m: m.update(encoder="ViT")), "manifest.json: encoder is 'ViT'; it must be a JSON object", AGAIN),
    case("no space", manifest(lambda m: m.pop("space")), "manifest.json: space is missing", AGAIN),
    case("a space that is a name", manifest(lambda m: m.update(space="s")), "manifest.json: space is 's'; it must be a JSON object", AGAIN),
    case("a space without a name", manifest(lambda m: m["space"].update(name="")), "manifest.json: space.name is ''", AGAIN),
    case("a space whose name is half a character", text('{"format": 1, "version": 0, "count": 4, "dtype": "float16", "set_aside": 0, "encoder": {}, "files": {"vectors": {"name": "v", "fingerprint": "' + "0" * 32 + '"}, "ids": {"name": "i", "fingerprint": "' + "0" * 32 + '"}}, "space": {"name": "\\ud800", "norm": 1}}'), "space.name is '\\ud800'", AGAIN),
    case("a mean that is one number", manifest(lambda m: m["space"].update(mean=1.0)), "space.mean is 1.0; it must be a list of numbers", AGAIN),
    case("a mean with a word in it", manifest(lambda m: m["space"]["mean"].__setitem__(1, "x")), "space.mean[1] is 'x'; it must be a finite number", AGAIN),
    case("a mean within a mean", manifest(lambda m: m["space"].update(mean=[[1, 2, 3]])), "space.mean[0] is a list of 3", AGAIN),
    case("a mean that is too short", manifest(lambda m: m["space"]["mean"].pop()), "space: space s: mean has shape (2,), std (3,)", AGAIN),
    case("a std of 0", manifest(lambda m: m["space"]["std"].__setitem__(0, 0)), "every std above 0", AGAIN),
    case("a mean beyond 32 bits", manifest(lambda m: m["space"]["mean"].__setitem__(0, 1e300)), "statistics must be finite", AGAIN),
    case("a norm that is not a number", text('{"format": 1, "space": NaN}'), "manifest.json: files is missing", AGAIN),
    case("a norm below 0", manifest(lambda m: m["space"].update(norm=-1)), "norm must be above 0", AGAIN),
    case("another count than there are vectors", manifest(lambda m: m.update(count=5)), "vectors-0.npy has the shape (4, 3), but", "says (5, 3)", AGAIN),
]  # fmt: skip

FILES = [
    case("stored vectors that are gone", gone("vectors-0.npy"), "vectors-0.npy is missing, but", AGAIN),
    case("stored ids that are gone", gone("ids-0.txt"), "ids-0.txt is missing, but", AGAIN),
    case("stored contents that are gone", gone("contents-0.npy"), "contents-0.npy is missing, but", AGAIN),
    case("stored vectors cut short", cut("vectors-0.npy", -2), "vectors-0.npy has changed since it was written", AGAIN),
    case("stored ids that were edited", write("ids-0.txt", "a\nb\nc\nx\n"), "ids-0.txt has changed since it was written", AGAIN),
    case("stored vectors from a FIFO", instead("vectors-0.npy", os.mkfifo), "vectors-0.npy is missing", AGAIN),
    case("vectors of another type with their fingerprint", saved("vectors-0.npy", VECTORS.astype(int)), "vectors-0.npy contains int64", "float16 or float32"),
    case("fewer vectors with their fingerprint", saved("vectors-0.npy", VECTORS[:2]), "vectors-0.npy has the shape (2, 3), but", AGAIN),
    case("vectors of another space with their fingerprint", saved("vectors-0.npy", VECTORS[:, :2]), "vectors-0.npy has the shape (4, 2), but", AGAIN),
    case("fewer ids with their fingerprint", passed_off("ids-0.txt", write("ids-0.txt", "a\nb\nc\n")), "ids-0.txt lists 3 items, but there are 4 vectors", AGAIN),
    case("contents of fewer pictures", saved("contents-0.npy", np.zeros(2, "S32")), "contents-0.npy is |S32 of shape (2,), not a table with one digest per row", AGAIN),
    case("contents that are numbers", saved("contents-0.npy", np.zeros(4)), "contents-0.npy is float64 of shape (4,), not a table with one digest per row", AGAIN),
    case("contents that are no array", passed_off("contents-0.npy", write("contents-0.npy", b"junk")), "contents-0.npy is no .npy file, not a table with one digest per row", AGAIN),
]  # fmt: skip


@pytest.mark.parametrize("case", MANIFESTS, ids=str)
def test_manifests(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "embedding tables: manifests", lambda: read(folder))


@pytest.mark.parametrize("case", FILES, ids=str)
def test_files(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "embedding tables: files", lambda: read(folder))


class Owner(SmallSource):
    """Has pictures, and embeddings where they were stored."""

    def __init__(self, own: Pictures) -> None:
        super().__init__(ratings())
        self.own = own

    def embeddings(self) -> None:  # type: ignore[override]
        return None

    def pictures(self) -> Pictures:  # type: ignore[override]
        return self.own


def stored(folder: Path, own: Pictures | None = None, **arguments: Any) -> Any:
    return StoredEmbeddings(root=str(folder.parents[1]), **arguments).table(Owner(own or pictures()))


def second(folder: Path) -> None:
    EmbeddingTable.write(folder.with_name("t"), "t", IDS, VECTORS)


def nothing(folder: Path) -> None:
    """It is wrong as it is asked for."""


LOOKUPS = [
    (case("a table of other pictures", nothing, "small/s contains embeddings of other pictures with the same ids", "such as 'c'", "changed=embed"), {"own": pictures(c=b"other")}),
    (case("two spaces", second, "small has embeddings of several encoders: s, t", "embeddings.space="), {}),
    (case("a space that was not embedded", nothing, "there are no embeddings of small in the space x", "python embed.py source=small"), {"space": "x"}),
    (case("a second table without a space", all_of(second, manifest(lambda m: m.pop("space"))), "s/manifest.json: space is missing", AGAIN), {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "arguments"), LOOKUPS, ids=lambda value: str(value) if isinstance(value, Case) else ""
)
def test_lookups(case: Case, arguments: dict[str, Any], folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "embedding tables: lookups", lambda: stored(folder, **arguments))


def test_refined_tables(folder: Path, refused: Refused) -> None:
    other = case("refined embeddings of another space", nothing, "embeddings.space is x, but", "contains s")
    refused(
        other,
        "embedding tables: lookups",
        lambda: RefinedEmbeddings(folder=str(folder), space="x").table(Owner(pictures())),
    )


def plan(folder: Path, own: Pictures | None = None, identity: dict[str, object] = IDENTITY, **rule: Any) -> Any:
    own = own or pictures()
    return make_plan(own, work_order(own, folder), folder, identity, EncodeRule(**rule), "32-true")


def unknown(folder: Path) -> None:
    manifest(lambda value: value["files"].pop("contents"))(folder)


PLANS = [
    (case("other pictures under known ids", nothing, "s contains embeddings of other pictures with the same ids: 'b' is no longer the picture", "(1 of 4 pictures)", "changed=embed"), {"own": pictures(b=b"x")}),
    (case("pictures of which nothing is known", unknown, "'a' cannot be verified as the picture", "(4 of 4 pictures)", "changed=embed"), {}),
    (case("another encoder", nothing, "s contains embeddings by m with the weights w, but this encoder is m with the weights x", "delete the folder"), {"identity": {"model": "m", "weights": "x"}}),
    (case("another type of numbers", nothing, "s contains float16 embeddings, but dtype=float32 was requested", "give the same"), {"dtype": "float32"}),
    (case("a way with changed pictures that there is not", nothing, "changed is 'embd'", "did you mean embed"), {"changed": "embd"}),
    (case("pictures whose names look alike", nothing, "the picture ids 'a' and 'a ' differ only in", "Rename one"), {"own": BytesPictures({"a": b"a", "a ": b"b"})}),
    (case("a list of work that was cut", write(f"{PARTS}/plan.txt", b"a\nb\xff"), "plan.txt:2: the byte 0xff is not UTF-8"), {}),
]  # fmt: skip


@pytest.mark.parametrize(("case", "arguments"), PLANS, ids=lambda value: str(value) if isinstance(value, Case) else "")
def test_plans(case: Case, arguments: dict[str, Any], folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "embedding tables: embedding again", lambda: plan(folder, **arguments))


def part(folder: Path) -> Part:
    return Part(0, ["a", "b"], folder / "000000-x.npy")


def facts(change: Callable[[Any], Any]) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        value = read_json(folder / "000000-x.json")
        change(value)
        write_json(folder / "000000-x.json", value)

    return spoil


REPEAT = "Delete it and run the same command again"
STORED = [
    case("a part cut short", cut("000000-x.npy", -2), "000000-x.npy is damaged", REPEAT),
    case("a part of too few vectors", lambda f: np.save(f / "000000-x.npy", VECTORS[:1]), "000000-x.npy has 1 vectors", REPEAT),
    case("a part whose facts were cut", cut("000000-x.json", 9), "000000-x.json:", "not JSON", REPEAT),
    case("a part whose facts are a list", write("000000-x.json", "[]"), "000000-x.json: it is a list of 0", REPEAT),
    case("a part without contents", facts(lambda v: v.pop("contents")), "000000-x.json: contents is missing", REPEAT),
    case("a part of other pictures", facts(lambda v: v["contents"].pop("b")), "000000-x.json: contents.b is missing", REPEAT),
    case("a content that is a number", facts(lambda v: v["contents"].update(b=3)), "000000-x.json: contents.b is 3", REPEAT),
    case("a reason that is null", facts(lambda v: v["set_aside"].update(b=None)), "000000-x.json: set_aside.b is null", REPEAT),
]  # fmt: skip


@pytest.mark.parametrize("case", STORED, ids=str)
def test_parts(case: Case, tmp_path: Path, refused: Refused) -> None:
    np.save(tmp_path / "000000-x.npy", VECTORS[:2])
    contents = dict.fromkeys("ab", f"{'0' * 32} {0:016x}")
    write_json(tmp_path / "000000-x.json", {"set_aside": {}, "contents": contents})
    assert part(tmp_path).read().contents
    case.spoil(tmp_path)
    refused(case, "embedding tables: embedding again", lambda: part(tmp_path).is_done(pictures()))
