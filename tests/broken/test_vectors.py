"""Ready-made embeddings: an .npy, a file of ids, and texts."""

import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.sources.events import EventsSource
from prefprior.data.sources.table import TableSource
from tests.broken.case import LFS, PAGE, Case, Refused, case, cut, gone, instead, write

VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
IDS = ["a", "b", "c", "d"]


def lines(*ids: str) -> Callable[[Path], Any]:
    return write("ids.txt", "".join(f"{item}\n" for item in ids))


def vectors(value: Any, name: str = "e.npy") -> Callable[[Path], Any]:
    return lambda folder: np.save(folder / name, value, allow_pickle=True)


def with_row(row: int, value: Any) -> np.ndarray:
    changed = VECTORS.copy()
    changed[row] = value
    return changed


def as_torch(folder: Path) -> None:
    torch.save(torch.zeros(4, 3), folder / "e.npy")


def as_npz(folder: Path) -> None:
    with open(folder / "e.npy", "wb") as file:
        np.savez(file, VECTORS)


def two_tables(folder: Path) -> None:
    with open(folder / "e.npy", "wb") as file:
        np.save(file, VECTORS)
        np.save(file, VECTORS)


def claims(shape: str) -> Callable[[Path], Any]:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return write("e.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + VECTORS.tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    vectors(VECTORS)(tmp_path)
    vectors(VECTORS, "texts.npy")(tmp_path)
    lines(*IDS)(tmp_path)
    write("r.csv", "user,item,rating\nann,a,1\nann,b,2\nbob,c,4\nbob,d,5\n")(tmp_path)
    return tmp_path


def source(folder: Path) -> TableSource:
    files = {"embeddings": "e.npy", "items": "ids.txt", "texts": "texts.npy", "ratings": "r.csv"}
    return TableSource(**{key: str(folder / name) for key, name in files.items()})


def read(folder: Path) -> Any:
    table = source(folder).embeddings()
    assert table is not None
    return table.texts()


def test_good_embeddings_are_read(folder: Path) -> None:
    assert read(folder).shape == (4, 3)


NPY = [
    case("vectors that are not there", gone("e.npy"), "there is no file", "e.npy", "Is the path right?"),
    case("a folder of vectors", instead("e.npy", Path.mkdir), "e.npy is a folder", "Give the path of a file"),
    case("vectors from a FIFO", instead("e.npy", os.mkfifo), "e.npy is a FIFO", "Give the path of a file"),
    case("no bytes", write("e.npy", b""), "e.npy is not a .npy file: it is empty", "numpy.save"),
    case("vectors in CSV", write("e.npy", "0.1,0.2\n0.3,0.4\n"), "e.npy is not a .npy file", "numpy.save"),
    case("an .npz", as_npz, "e.npy is not a .npy file: it is a zip archive (.npz", "numpy.save"),
    case("a tensor of torch", as_torch, "e.npy is not a .npy file: it is a zip archive", "numpy.save"),
    case("a pickle", write("e.npy", pickle.dumps([1, 2])), "e.npy is not a .npy file: it is a pickle", "numpy.save"),
    case("safetensors", write("e.npy", struct.pack("<Q", 8) + b'{"a":{}}'), "e.npy is not a .npy file: it is safetensors", "numpy.save"),
    case("HDF5", write("e.npy", b"\x89HDF\r\n\x1a\n" + bytes(50)), "e.npy is not a .npy file: it is HDF5", "numpy.save"),
    case("a web page for vectors", write("e.npy", PAGE), "e.npy is not a .npy file", "numpy.save"),
    case("a Git LFS pointer for vectors", write("e.npy", LFS), "e.npy is a Git LFS pointer", "git lfs pull"),
    case("vectors cut short", cut("e.npy", -8), "e.npy is not a complete .npy file", "truncated"),
    case("a header cut short", cut("e.npy", 40), "e.npy is not a complete .npy file", "truncated"),
    case("a header that claims terabytes", claims("(10**9, 1280)"), "e.npy is not a complete .npy file", "Copy it or make it again"),
    case("a header that claims too many rows", claims("(1000000000, 1280)"), "e.npy is not a complete .npy file", "truncated"),
    case("a header with a shape below 0", claims("(-4, 3)"), "e.npy", "Copy it or make it again"),
    case("two tables in one file", two_tables, "e.npy continues for", "numpy.concatenate"),
    case("numbers of 64 bits", vectors(VECTORS.astype(np.float64)), "e.npy contains float64 of shape (4, 3)", "float16 or float32"),
    case("whole numbers", vectors(VECTORS.astype(np.int32)), "e.npy contains int32", "float16 or float32"),
    case("big-endian numbers", vectors(VECTORS.astype(">f4")), "e.npy contains >f4", "float16 or float32"),
    case("complex numbers", vectors(VECTORS.astype(np.complex64)), "e.npy contains complex64", "float16 or float32"),
    case("a table of objects", vectors(VECTORS.astype(object)), "e.npy is not a complete .npy file", "make it again"),
    case("one vector alone", vectors(VECTORS[0]), "e.npy contains float32 of shape (3,)", "N x D table"),
    case("a stack of tables", vectors(VECTORS[None]), "e.npy contains float32 of shape (1, 4, 3)", "N x D table"),
    case("named fields", vectors(np.zeros(4, np.dtype([("x", "<f4")]))), "e.npy contains [('x', '<f4')]", "N x D table"),
    case("no rows", vectors(VECTORS[:0]), "e.npy has 0 rows, but", "one line per item"),
    case("no columns", vectors(VECTORS[:, :0]), "e.npy is empty: its shape is (4, 0)", "one row per item"),
    case("a vector that is not a number", vectors(with_row(2, np.nan)), "e.npy: rows 2 (counted from 0) contain NaN", "embed them again"),
    case("an infinite vector", vectors(with_row(1, -np.inf)), "e.npy: rows 1 (counted from 0) contain NaN or infinity", "Remove"),
    case("a vector of zeros", vectors(with_row(3, 0)), "e.npy: rows 3 (counted from 0) contain only zeros", "Remove"),
    case("vectors around 1e-42", vectors(VECTORS * np.float32(1e-42)), "e.npy: the largest number is", "Multiply all vectors by the same number"),
    case("one vector around 1e-42", vectors(with_row(3, 1e-42)), "e.npy: row 3 (counted from 0) has no number above", "Remove it or embed it again"),
    case("vectors around 1e30", vectors(VECTORS * np.float32(1e30)), "e.npy: the largest number is", "Multiply all vectors by the same number"),
    case("vectors that are all alike", vectors(np.ones((4, 3), np.float32)), "e.npy: all 4 rows are equal", "Embed again"),
    case("more vectors than ids", vectors(np.concatenate([VECTORS, VECTORS])), "e.npy has 8 rows, but", "ids.txt has 4 item ids", "in the same order"),
]  # fmt: skip

ITEMS = [
    case("ids that are not there", gone("ids.txt"), "there is no file", "ids.txt", "Is the path right?"),
    case("ids from a FIFO", instead("ids.txt", os.mkfifo), "ids.txt is a FIFO", "Give the path of a file"),
    case("no ids", write("ids.txt", b""), "e.npy has 4 rows, but", "ids.txt has 0 item ids", "one line per item"),
    case("a blank line of ids", lines("a", "", "c", "d"), "ids.txt:2: '' is not a valid item id: it is blank", "keep the number of lines"),
    case("blank lines at the end of ids", lines(*IDS, "", ""), "ids.txt:5: '' is not a valid item id", "keep the number of lines"),
    case("an id of spaces", lines("a", "  ", "c", "d"), "ids.txt:2: '  ' is not a valid item id", "correct it"),
    case("an id that is there twice", lines("a", "b", "a", "d"), "ids.txt:3: the id 'a' is already in line 1", "remove one of them"),
    case("ids that differ in a space", lines("a", "b", "a ", "d"), "ids.txt:3: the id 'a ' and 'a' in line 1", "If they are one item"),
    case("ids that differ in accents", lines("\xe9", "e\u0301", "c", "d"), "ids.txt:2: the id", "the encoding of accents", "If they are one item"),
    case("an id with a NUL", lines("a", "b\0b", "c", "d"), "ids.txt:", "NUL", "iconv"),
    case("an id with a bell", lines("a", "b\x07", "c", "d"), "ids.txt:2", "invisible character U+0007", "correct it"),
    case("an id of 5,000 characters", lines("a", "b" * 5000, "c", "d"), "ids.txt:2", "5,000 characters", "correct it"),
    case("an id for no value", lines("a", "nan", "c", "d"), "ids.txt:2: 'nan' is not a valid item id", "correct it"),
    case("fewer ids than vectors", lines("a", "b", "c"), "ids.txt has 3 item ids", "in the same order"),
    case("ids in latin-1", write("ids.txt", "a\ncaf\xe9\nc\nd\n".encode("latin-1")), "ids.txt:2: the byte 0xe9", "iconv"),
    case("ids in UTF-16", write("ids.txt", "a\nb\nc\nd\n".encode("utf-16")), "ids.txt:1: this is UTF-16", "iconv"),
    case("vectors where ids should be", write("ids.txt", b"\x93NUMPY\x01\x00"), "ids.txt:1: the byte 0x93", "UTF-8"),
]  # fmt: skip

TEXTS = [
    case("texts that are not there", gone("texts.npy"), "there is no file", "texts.npy", "Is the path right?"),
    case("texts cut short", cut("texts.npy", -4), "texts.npy is not a complete .npy file", "truncated"),
    case("fewer texts than vectors", vectors(VECTORS[:3], "texts.npy"), "texts.npy: text embeddings need one row per item", "(4, 3), got (3, 3)", "text tower of e"),
    case("texts of another space", vectors(VECTORS[:, :2], "texts.npy"), "texts.npy", "(4, 3), got (4, 2)", "text tower of e"),
    case("a text that is not a number", vectors(with_row(2, np.nan), "texts.npy"), "texts.npy: rows 2 (counted from 0) contain NaN", "A row of zeros means that there is no text"),
    case("a text around 1e-42", vectors(with_row(1, 1e-42), "texts.npy"), "texts.npy: rows 1 (counted from 0) contain values too small", "A row of zeros means that there is no text"),
    case("texts of 64 bits", vectors(VECTORS.astype(float), "texts.npy"), "texts.npy contains float64", "float16 or float32"),
]  # fmt: skip


@pytest.mark.parametrize("case", NPY, ids=str)
def test_npy(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "vectors: .npy", lambda: read(folder))


@pytest.mark.parametrize("case", ITEMS, ids=str)
def test_items(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "vectors: ids", lambda: read(folder))


@pytest.mark.parametrize("case", TEXTS, ids=str)
def test_texts(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "vectors: texts", lambda: read(folder))


TOGETHER = [
    case("ids of other items", lines("w", "x", "y", "z"), "4 of 4 ratings of table are for items without an embedding, such as 'a'", "has, for example, 'w'", "Use the same ids in both"),
    case("ids with suffixes, ratings without", lines("a.jpg", "b.jpg", "c.jpg", "d.jpg"), "without an embedding, such as 'a'", "'a.jpg'", "Use the same ids"),
    case("an item without an embedding", lines("a", "b", "c", "x"), "1 of 4 ratings of table", "'d'", "data.missing_allowed"),
]  # fmt: skip


@pytest.mark.parametrize("case", TOGETHER, ids=str)
def test_ratings_and_vectors(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "vectors: ids", lambda: PreferenceDataModule(source=source(folder)).ratings)


def nothing(folder: Path) -> None:
    """These are wrong as they are asked for."""


ASKED = [
    (case("vectors without ids", nothing, "source.embeddings (an .npy) and source.items", "must be given together"), TableSource, {"ratings": "r.csv", "embeddings": "e.npy"}),
    (case("texts without vectors", nothing, "source.texts (an .npy) has one row per row of source.embeddings, which is missing"), TableSource, {"ratings": "r.csv", "pictures": "p", "texts": "t.npy"}),
    (case("neither pictures nor vectors", nothing, "source=table needs source.pictures=FOLDER, or source.embeddings=FILE.npy"), TableSource, {"ratings": "r.csv"}),
    (case("a column that there is not", nothing, "source.columns maps user, item, rating, time, split, shown, propensity, question, picked, not usr"), TableSource, {"ratings": "r.csv", "pictures": "p", "columns": {"usr": "x"}}),
    (case("a name that leaves its folder", nothing, "source.name='../x' is not valid: a name consists of letters"), TableSource, {"ratings": "r.csv", "pictures": "p", "name": "../x"}),
    (case("a log without pictures", nothing, "source=events needs source.pictures=FOLDER"), EventsSource, {"log": "l.csv"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "kind", "arguments"), ASKED, ids=lambda value: str(value) if isinstance(value, Case) else ""
)
def test_incomplete_arguments(case: Case, kind: Any, arguments: dict[str, Any], refused: Refused) -> None:
    refused(case, "sources: arguments", lambda: kind(**arguments))


def test_the_cases_use_the_bytes_that_numpy_writes() -> None:
    file = io.BytesIO()
    np.save(file, VECTORS)
    assert file.getvalue().startswith(b"\x93NUMPY\x01\x00")
