"""Pictures that cannot become one, and the folders and tables of somebody who brings their own."""

import io
import os
import shutil
import socket
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from prefprior.data.embedding.encoders import Encoder
from prefprior.gallery.new_user import NewUser, from_file, from_folders
from tests.broken.case import LFS, PAGE, Case, Refused, all_of, case, gone, instead, write


class Blind:
    """Takes pictures and sees nothing."""

    space_name = "dark"

    def encode_images(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        return torch.ones(len(pictures), 2)


def encoded(kind: str = "PNG", seed: int = 0, **how: Any) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind, **how)
    return file.getvalue()


def grey(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    return file.getvalue()


def frames(kind: str) -> bytes:
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    file = io.BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:])
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, data: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def at_a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as here:
        here.bind(os.path.relpath(path))


def of(encoder: Encoder, rated: Any, space: str = "dark") -> Any:
    return NewUser(name="me", rated=rated, encoder=encoder, space_name=space).gather(["me"])


REPLACE = "Remove or replace it"
PICTURES = [
    case("a picture of no bytes", write("likes/a.png", b""), "a.png cannot be used (unreadable: the file is empty)", REPLACE),
    case("text by the name of a picture", write("likes/a.jpg", b"not a picture"), "a.jpg cannot be used (unreadable: not a picture)", REPLACE),
    case("a JPEG cut short", write("likes/a.jpg", encoded("JPEG")[:400]), "a.jpg cannot be used (truncated", REPLACE),
    case("a PNG cut short", write("likes/a.png", encoded()[:900]), "a.png cannot be used (truncated", REPLACE),
    case("a WebP cut short", write("likes/a.webp", encoded("WEBP")[:100]), "a.webp cannot be used (", REPLACE),
    case("a TIFF cut short", write("likes/a.tif", encoded("TIFF")[:600]), "a.tif cannot be used (", REPLACE),
    case("a GIF cut short", write("likes/a.gif", encoded("GIF")[:200]), "a.gif cannot be used (", REPLACE),
    case("a BMP cut short", write("likes/a.bmp", encoded("BMP")[:300]), "a.bmp cannot be used (truncated", REPLACE),
    case("pixels that do not unpack", write("likes/a.png", png(8, 8, b"junk")), "a.png cannot be used (unreadable", REPLACE),
    case("a PNG without pixels", write("likes/a.png", png(8, 8)), "a.png cannot be used (", REPLACE),
    case("a picture of 0 pixels", write("likes/a.png", png(0, 8)), "a.png cannot be used (", REPLACE),
    case("a picture that unpacks to gigabytes", write("likes/a.png", png(60000, 60000)), "a.png cannot be used (huge", REPLACE),
    case("an animated GIF", write("likes/a.gif", frames("GIF")), "a.gif cannot be used (animated: 3 frames)", REPLACE),
    case("an animated WebP", write("likes/a.webp", frames("WEBP")), "a.webp cannot be used (animated: 3 frames)", REPLACE),
    case("a TIFF of several pages", write("likes/a.tiff", frames("TIFF")), "a.tiff cannot be used (animated: 3 frames)", REPLACE),
    case("a TIFF of NaN", write("likes/a.tif", grey(np.full((4, 4), np.nan, np.float32))), "a.tif cannot be used (unreadable: it contains NaN", REPLACE),
    case("a TIFF below black", write("likes/a.tif", grey(np.full((4, 4), -1, np.float32))), "a.tif cannot be used (unreadable: it has values below 0 (down to -1)", REPLACE),
    case("a TIFF of an unknown white", write("likes/a.tif", grey(np.full((4, 4), 3.5, np.float32))), "a.tif cannot be used (unreadable: its values reach", "Save it with 8 or 16 bits"),
    case("a photo of a phone in HEIC", write("likes/IMG_1.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)), "IMG_1.HEIC cannot be used (unreadable: HEIC", "convert it to JPEG"),
    case("a HEIF by the name of a JPEG", write("likes/a.jpg", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(99)), "a.jpg cannot be used (unreadable: HEIF", "convert it to JPEG"),
    case("a web page for a picture", write("likes/a.jpg", PAGE), "a.jpg cannot be used (unreadable: a web page", REPLACE),
    case("a drawing in SVG", write("likes/a.png", b'<svg xmlns="http://www.w3.org/2000/svg"/>'), "a.png cannot be used (unreadable: a web page or a vector drawing (SVG)", REPLACE),
    case("a PDF", write("likes/a.png", b"%PDF-1.7\n"), "a.png cannot be used (unreadable: a PDF", REPLACE),
    case("a Git LFS pointer for a picture", write("likes/a.png", LFS), "a.png cannot be used (unreadable: a Git LFS pointer", "git lfs pull"),
    case("a FIFO by the name of a picture", lambda f: os.mkfifo(f / "likes/a.png"), "a.png cannot be used (not a file but a FIFO)", REPLACE),
    case("a device by the name of a picture", lambda f: (f / "likes/a.png").symlink_to("/dev/zero"), "a.png cannot be used (not a file but a device)", REPLACE),
    case("a socket by the name of a picture", lambda f: at_a_socket(f / "likes/a.png"), "a.png cannot be used (not a file but a socket)", REPLACE),
    case("a link to no picture", lambda f: (f / "likes/a.png").symlink_to("gone.png"), "a.png cannot be used (missing)", REPLACE),
    case("a picture among the dislikes", write("dislikes/a.png", b"junk"), "a.png cannot be used (unreadable", REPLACE),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write("likes/z.png", encoded())(tmp_path)
    write("dislikes/y.png", encoded(seed=1))(tmp_path)
    return tmp_path


def read(folder: Path) -> Any:
    return of(Blind(), from_folders(str(folder / "likes"), str(folder / "dislikes")))


def test_good_folders_are_read(folder: Path) -> None:
    assert read(folder)[0].ratings == [1.0, -1.0]


@pytest.mark.parametrize("case", PICTURES, ids=str)
def test_pictures(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "pictures: one", lambda: read(folder))


def removed(name: str) -> Callable[[Path], Any]:
    return lambda folder: shutil.rmtree(folder / name)


def copied(source: str, target: str) -> Callable[[Path], Any]:
    return lambda folder: shutil.copy(folder / source, folder / target)


def linked(folder: Path) -> None:
    (folder / "dislikes/x.png").symlink_to(folder / "likes/z.png")


FOLDERS = [
    case("likes that are not there", removed("likes"), "likes=", "is not a folder", "Give a folder with pictures (.jpg"),
    case("dislikes that are a file", all_of(removed("dislikes"), write("dislikes", b"x")), "dislikes=", "is not a folder", "Give a folder with pictures"),
    case("likes without pictures", gone("likes/z.png"), "likes contains no pictures (.jpg"),
    case("a picture that is linked to from the dislikes", linked, "dislikes/x.png is given twice (as ", "likes/z.png", "remove it from one folder"),
    case("a copy among the dislikes", copied("likes/z.png", "dislikes/copy.png"), "copy.png is the same picture as", "remove one of the two"),
    case("a like whose name is not UTF-8", lambda f: open(os.fsencode(f / "likes") + b"/caf\xe9.png", "wb").close(), "likes: the name 'caf\\udce9.png' of a picture cannot be an id", "Rename it"),
    case("a like whose name has a tab", write("likes/a\tb.png", encoded()), "likes: the name 'a\\tb.png'", "invisible character U+0009", "Rename it"),
]  # fmt: skip


@pytest.mark.parametrize("case", FOLDERS, ids=str)
def test_folders(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "newcomers: folders", lambda: read(folder))


def nothing(folder: Path) -> None:
    """It is wrong as it is asked for."""


def test_the_same_folder_for_likes_and_dislikes(folder: Path, refused: Refused) -> None:
    both = case(
        "one folder for likes and dislikes",
        nothing,
        "z.png is given twice",
        "by likes=",
        "and dislikes=",
        "remove it from one folder",
    )
    refused(both, "newcomers: folders", lambda: from_folders(str(folder / "likes"), str(folder / "likes")))


def test_nested_folders_of_likes_and_dislikes(folder: Path, refused: Refused) -> None:
    inside = case("dislikes inside the likes", nothing, "y.png is given twice", "remove it from one folder")
    refused(inside, "newcomers: folders", lambda: from_folders(str(folder), str(folder / "dislikes")))


def test_no_rated_pictures(refused: Refused) -> None:
    none = case(
        "nothing that is rated",
        nothing,
        "no rated pictures were given",
        "likes=FOLDER, dislikes=FOLDER or ratings=FILE",
    )
    refused(none, "newcomers: folders", lambda: of(Blind(), []))


def test_an_encoder_of_another_space(folder: Path, refused: Refused) -> None:
    other = case(
        "an encoder of another space",
        nothing,
        "needs pictures embedded by light",
        "the encoder is dark",
        "Choose the encoder of the checkpoint's space",
    )
    refused(other, "newcomers: folders", lambda: of(Blind(), from_folders(str(folder / "likes"), None), "light"))


def mine(*rows: str, header: str = "picture,rating") -> Callable[[Path], Any]:
    return write("mine.csv", "\n".join([header, "likes/z.png,5", "dislikes/y.png,1", *rows, ""]))


FILES = [
    case("no table of one's own", gone("mine.csv"), "there is no file", "mine.csv", "Is the path right?"),
    case("a table of one's own from a FIFO", instead("mine.csv", os.mkfifo), "mine.csv is a FIFO", "Give the path of a file"),
    case("an empty table of one's own", write("mine.csv", b""), "mine.csv is empty", "columns picture, rating"),
    case("a header of one's own alone", write("mine.csv", "picture,rating\n"), "mine.csv has a header but no rows", "Add rows"),
    case("line ends alone", write("mine.csv", b"\n\n"), "mine.csv:1: the file contains only blank lines", "picture,rating"),
    case("a table without pictures", mine(header="file,rating"), "mine.csv:1", "missing: 'picture'", "The first line must name these two columns"),
    case("a newcomer's latin-1", write("mine.csv", "picture,rating\ncaf\xe9.png,1\n".encode("latin-1")), "mine.csv:2: the byte 0xe9", "iconv -f latin1"),
    case("a picture that is not there", mine("likes/gone.png,3"), "mine.csv:4", "likes/gone.png does not exist", "correct or remove these rows"),
    case("a picture that is a folder", mine("likes,3"), "mine.csv:4", "likes is not a file", "correct or remove these rows"),
    case("a picture that is a FIFO", all_of(lambda f: os.mkfifo(f / "likes/x.png"), mine("likes/x.png,3")), "mine.csv:4", "likes/x.png is not a file", "correct or remove these rows"),
    case("no picture", mine(",3"), "mine.csv:4: the picture is missing", "Complete or remove these rows"),
    case("a newcomer's rating in words", mine("likes/x.png,good"), "mine.csv:4: the rating 'good'", "Correct or remove these rows"),
    case("no rating", mine("likes/x.png,"), "mine.csv:4: the rating is missing", "Complete or remove these rows"),
    case("a picture that is rated twice", mine("likes/z.png,4"), "mine.csv:2, ", "mine.csv:4: 'likes/z.png' is rated 2 times", "Keep one row"),
    case("a picture that is rated by two paths", mine("./likes/z.png,5"), "mine.csv:2, ", "mine.csv:4: './likes/z.png' is the same file as 'likes/z.png'", "Keep one row"),
    case("a copy that is rated otherwise", all_of(copied("likes/z.png", "likes/x.png"), mine("likes/x.png,1")), "mine.csv:4: 'likes/x.png' is a copy of 'likes/z.png'", "Keep one row"),
    case("a newcomer's rating beyond all", all_of(copied("likes/z.png", "likes/x.png"), mine("likes/x.png,1e35")), "mine.csv:4: the rating 1e+35 is too large", "Correct or remove these rows"),
    case("a row of one's own with too many values", mine("likes/x.png,3,4"), "mine.csv:4: Expected 2 columns, got 3", "Every row"),
    case("a table of one's own in a spreadsheet", write("mine.csv", b"PK\x03\x04\xff\xfe"), "mine.csv:1: this is a zip archive", "save the table as .csv"),
    case("a broken picture in a table", all_of(write("likes/x.png", b"x"), mine("likes/x.png,3")), "x.png cannot be used (unreadable: not a picture)", REPLACE),
]  # fmt: skip


@pytest.mark.parametrize("case", FILES, ids=str)
def test_files(case: Case, folder: Path, refused: Refused) -> None:
    mine()(folder)
    case.spoil(folder)
    refused(case, "newcomers: tables", lambda: of(Blind(), from_file(str(folder / "mine.csv"))))
