"""Every source's own layout: what is missing in it, and what is not as it was published."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from prefprior.data.sources.events import EventsSource
from prefprior.data.sources.flickr_aes import RATINGS, SCORES, FlickrAesSource
from prefprior.data.sources.pamela import PamelaSource
from prefprior.data.sources.pickapic import PickapicSource
from prefprior.data.sources.pinterest import PinterestSource
from prefprior.data.sources.table import TableSource
from tests.broken.case import LFS, Case, Refused, all_of, case, cut, gone, instead, write


def encoded(kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, kind)
    return file.getvalue()


def nowhere(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))


# --- FLICKR-AES


def flickr(*rows: str, header: str = " worker, imagePair, score") -> Callable[[Path], Any]:
    good = [f"A{worker}, {i}.jpg, {1 + (worker + i) % 5}" for worker in range(8) for i in range(3)]
    return write(RATINGS, "\n".join([header, *good, *rows, ""]))


def flickr_folder(folder: Path) -> None:
    flickr()(folder)
    write(SCORES, "".join(f" {i}.jpg 0.5\n" for i in range(3)))(folder)
    write("workers.txt", "A1\nA2\n")(folder)
    for i in range(3):
        write(f"40K/{i}.jpg", encoded("JPEG"))(folder)


def read_flickr(folder: Path) -> Any:
    source = FlickrAesSource(root=str(folder), test_workers=str(folder / "workers.txt"), duplicates="error")
    return len(source.ratings()), source.pictures().ids


FLICKR = [
    case("no FLICKR-AES", nowhere, "there is no", RATINGS, "Download FLICKR-AES", "source.root="),
    case("no file of ratings", gone(RATINGS), "there is no", RATINGS, "source.root="),
    case("another header", flickr(header="worker,image,score"), f"{RATINGS}:1", "missing: 'imagePair'", "Copy the file again"),
    case("a score off the scale", flickr("A1, 9.jpg, 6"), f"{RATINGS}:26: the rating 6 is outside the scale 1 to 5", "Correct or remove these rows"),
    case("a score in words", flickr("A1, 9.jpg, good"), f"{RATINGS}:26: the rating ' good'", "Correct or remove these rows"),
    case("no score", flickr("A1, 9.jpg,"), f"{RATINGS}:26: the score is missing", "Copy the file again"),
    case("no worker", flickr(", 9.jpg, 3"), f"{RATINGS}:26: the user is missing", "Complete or remove these rows"),
    case("a worker who rates twice", flickr("A1, 0.jpg, 5", "A1, 0.jpg, 4"), f"{RATINGS}:5, ", "with different values", "source.duplicates"),
    case("ratings cut short", cut(RATINGS, -8), f"{RATINGS}:25: Expected 3 columns", "truncated"),
    case("a Git LFS pointer for the ratings", write(RATINGS, LFS), f"{RATINGS} is a Git LFS pointer", "git lfs pull"),
    case("scores of other pictures", write(SCORES, " x.jpg 0.5\n"), SCORES, "no pictures in common", "Copy both again"),
    case("scores in latin-1", write(SCORES, b" caf\xe9.jpg 0.5\n"), f"{SCORES}:1: the byte 0xe9", "iconv"),
    case("no folder of photographs", lambda f: (f / "40K").rename(f / "40k"), "cannot use the folder of pictures", "40K", "Give a folder"),
    case("test workers that are not there", gone("workers.txt"), "there is no file", "workers.txt", "Is the path right?"),
    case("no test workers", write("workers.txt", "\n\n"), "workers.txt lists no worker", "one worker id per line"),
    case("test workers who rated nothing", write("workers.txt", "A1\nB1\n"), "workers.txt lists workers without ratings: 'B1'", "one worker id per line"),
    case("a picture outside the folder", flickr("A1, ../9.jpg, 3"), "the picture id '../9.jpg' points outside", "40K", "without `..`"),
]  # fmt: skip


# --- PAMELA


def record(**changes: Any) -> dict[str, Any]:
    return {"participant_id": "p", "image_path": "images/0.png", "original_score": 3} | changes


def pamela(*records: Any, part: str = "train") -> Callable[[Path], Any]:
    good = [record(), record(participant_id="q", original_score=5), record(participant_id="r", original_score=1)]
    return write(f"annotations/pamela_{part}.json", json.dumps([*good, *records]))


def pamela_folder(folder: Path) -> None:
    pamela()(folder)
    pamela(part="val_seen")(folder)
    write("images/0.png", encoded())(folder)


def read_pamela(folder: Path) -> Any:
    source = PamelaSource(root=str(folder))
    return len(source.ratings()), source.pictures().ids


TRAIN = "pamela_train.json"
PAMELA = [
    case("no PAMELA", nowhere, "there is no", TRAIN, "source.root="),
    case("no training part", gone(f"annotations/{TRAIN}"), "there is no", TRAIN, "source.root="),
    case("a training part that is a folder", instead(f"annotations/{TRAIN}", Path.mkdir), f"{TRAIN} is a folder", "Give the path"),
    case("annotations cut short", cut(f"annotations/{TRAIN}", -9), f"{TRAIN}:1: not JSON", "truncated"),
    case("annotations that are an object", write(f"annotations/{TRAIN}", '{"records": []}'), f"{TRAIN}: expected a list of records, found dict", "Copy the file again"),
    case("annotations that are null", write(f"annotations/{TRAIN}", "null"), f"{TRAIN}: expected a list of records", "Copy the file again"),
    case("no annotations", write(f"annotations/{TRAIN}", "[]"), f"{TRAIN} contains no records", "participant_id"),
    case("annotations one a line", write(f"annotations/{TRAIN}", '{"a": 1}\n{"a": 2}\n'), f"{TRAIN}:2: not JSON (Extra data", "Copy it again"),
    case("annotations nested too deeply", write(f"annotations/{TRAIN}", "[" * 100_000), f"{TRAIN}:1", "nested too deeply", "Copy it again"),
    case("annotations in latin-1", write(f"annotations/{TRAIN}", '[{"a": "\xe9"}]'.encode("latin-1")), f"{TRAIN}:1: the byte 0xe9", "iconv"),
    case("a record that is a list", pamela([1]), f"{TRAIN}:4: each line must be one JSON object", "Correct or remove it"),
    case("a key that nobody has", write(f"annotations/{TRAIN}", '[{"participant": "p", "image_path": "x", "original_score": 1}]'), f"{TRAIN}:1", "'participant_id'; did you mean participant?", "Copy the file again"),
    case("a record without a person", pamela(record(participant_id=None)), f"{TRAIN}:4: the user is missing", "Complete or remove these rows"),
    case("a record without a score", pamela(record(participant_id="s", original_score=None)), f"{TRAIN}:4: the original_score is missing", "Copy the file again"),
    case("a score in PAMELA in words", pamela(record(original_score="high")), f"{TRAIN}:4: the rating 'high'", "Correct or remove these rows"),
    case("a score that is a list", pamela(record(original_score=[3])), f"{TRAIN}:4: the original_score is a list", "Correct or remove this row"),
    case("a picture of PAMELA outside its folder", pamela(record(image_path="../../etc/passwd")), "the picture id '../../etc/passwd' points outside", "without `..`"),
    case("a picture by its absolute path", pamela(record(image_path="/etc/passwd")), "the picture id '/etc/passwd' points outside", "relative paths"),
    case("a picture by a Windows path", pamela(record(image_path="images\\0.png")), "points outside the folder", "relative paths"),
    case("a broken second part", write("annotations/pamela_val_seen.json", "[{]"), "pamela_val_seen.json:1: not JSON", "Copy it again"),
]  # fmt: skip


# --- Pinterest


def boards(folder: Path) -> None:
    for name in ("ann/1.jpg", "ann/deep/2.png", "bob/3.jpg"):
        write(name, encoded())(folder)


def emptied(folder: Path) -> None:
    for path in [*folder.rglob("*.jpg"), *folder.rglob("*.png")]:
        path.unlink()


def loose(folder: Path) -> None:
    emptied(folder)
    write("1.jpg", encoded())(folder)


PINTEREST = [
    case("no boards", nowhere, "cannot use the folder of pictures", "it does not exist", "relative paths start at"),
    case("a file for boards", all_of(nowhere, lambda f: f.write_bytes(b"x")), "cannot use the folder of pictures", "it is a file", "Give a folder"),
    case("boards without pictures", emptied, "contains no pictures (.jpg"),
    case("pictures outside all boards", loose, "has pictures but no folders of pictures", "a folder named after the user"),
    case("a picture name that is not UTF-8", lambda f: open(os.fsencode(f / "ann") + b"/caf\xe9.jpg", "wb").close(), "of a picture cannot be an id: it is not UTF-8", "Rename it (convmv"),
    case("a board name that is not UTF-8", all_of(lambda f: os.mkdir(os.fsencode(f) + b"/caf\xe9"), lambda f: open(os.fsencode(f) + b"/caf\xe9/1.jpg", "wb").close()), "cannot be an id: it is not UTF-8", "Rename it"),
    case("a picture name with a line end", write("ann/a\nb.jpg", encoded()), "invisible character U+000A", "Rename it"),
    case("boards that look alike", all_of(write("\xe9/1.jpg", encoded()), write("e\u0301/1.jpg", encoded())), "/1.jpg, ", "the user ids", "Write both in the same way"),
    case("pictures that look alike", all_of(write("ann/\xe9.jpg", encoded()), write("ann/e\u0301.jpg", encoded())), "the item ids", "Write both in the same way"),
    case("a board for no value", write("nan/1.jpg", encoded()), "nan/1.jpg: 'nan' is not a valid user id", "Correct it"),
]  # fmt: skip


# --- Pick-a-Pic


def pairs(name: str = "train-0.parquet", **columns: Any) -> Callable[[Path], Any]:
    given: dict[str, Any] = {
        "user_id": [1, 1, 2], "image_0_uid": ["a", "b", "a"], "image_1_uid": ["b", "c", "d"],
        "label_0": [1.0, 0.5, 0.0], "label_1": [0.0, 0.5, 1.0], "jpg_0": [encoded()] * 3, "jpg_1": [encoded()] * 3,
    } | columns  # fmt: skip
    frame = pd.DataFrame({name: value for name, value in given.items() if value is not None})
    return lambda folder: frame.to_parquet(folder / name)


def read_pickapic(folder: Path) -> Any:
    source = PickapicSource(root=str(folder))
    return len(source.ratings()), source.pictures().ids


PATHS = {"jpg_0": ["a.jpg", "b.jpg", "a.jpg"], "jpg_1": ["b.jpg", "c.jpg", "d.jpg"]}
FILE = "train-0.parquet"
PICKAPIC = [
    case("no Pick-a-Pic", nowhere, "there are no train*.parquet files in", "source.root="),
    case("test files alone", lambda f: (f / FILE).rename(f / "test-0.parquet"), "there are no train*.parquet files in", "source.root="),
    case("a file of pairs cut short", cut(FILE, -50), f"{FILE} is not a complete Parquet file", "truncated"),
    case("an empty file of pairs", write(FILE, b""), f"{FILE} is empty", "user_id"),
    case("no labels", pairs(label_0=None), f"{FILE}", "missing: 'label_0'", "source.columns"),
    case("labels that are no choice", pairs(label_0=[0.7, 0.5, 0.0]), f"{FILE}:0: the labels are 0.7 and 0;", "Correct or remove these rows"),
    case("two winners", pairs(label_1=[1.0, 0.5, 1.0]), f"{FILE}:0: the labels are 1 and 1;", "Correct or remove these rows"),
    case("labels in words", pairs(label_0=["left", "0.5", "0"]), f"{FILE}:0: the label_0 'left'", "Correct or remove these rows"),
    case("nothing decided", pairs(label_0=[0.0] * 3, label_1=[0.0] * 3), "has no comparison with a winner: 3 have no label", "Is the data set complete?"),
    case("pictures compared with themselves", pairs(image_1_uid=["a", "b", "a"]), "3 compare a picture with itself", "Is the data set complete?"),
    case("a pair of nobody", pairs(user_id=[1, None, 2]), f"{FILE}:1: the user is missing", "Complete or remove these rows"),
    case("a pair without a picture", pairs(image_1_uid=["b", None, "d"]), f"{FILE}:1: the item_1 is missing", "Complete or remove these rows"),
    case("no column of pictures", pairs(jpg_1=None), f"{FILE}", "missing: 'jpg_1'", "source.picture_0="),
    case("pictures that are numbers", pairs(jpg_0=[1, 2, 3]), f"{FILE}: the column 'jpg_0' has type int64, not the bytes", "source.picture_0="),
    case("a path that leaves the folder", pairs(**PATHS | {"jpg_1": ["../b.jpg", "c.jpg", "d.jpg"], "jpg_0": ["a.jpg", "../b.jpg", "a.jpg"]}), "the picture id '../b.jpg' points outside", "without `..`"),
    case("a picture at two paths", pairs(**PATHS | {"jpg_0": ["a.jpg", "b.jpg", "x.jpg"]}), f"{FILE}:2: the picture 'a' has the path 'x.jpg' here", "correct these rows"),
    case("a picture without a path", pairs(**PATHS | {"jpg_0": ["a.jpg", None, "a.jpg"]}), f"{FILE}:1: the path is missing", "Complete or remove these rows"),
    case("files with other columns", pairs("train-1.parquet", created_at=["2024-05-01"] * 3), "train-1.parquet has the column time, but", "add it or remove it"),
    case("a time that is none", pairs(created_at=["2024-05-01", "soon", "2024-05-01"]), f"{FILE}:1: the time 'soon' is not a time", "ISO 8601"),
    case("a picture id with a line end", pairs(image_0_uid=["a", "b\n", "a"]), f"{FILE}:1", "invisible character U+000A", "Correct it"),
]  # fmt: skip


# --- a log of events

EVENTS_HEADER = "user,item,event,time,dwell"


def log(*rows: str, header: str = EVENTS_HEADER) -> Callable[[Path], Any]:
    return write("log.csv", "\n".join([header, "ann,0,like,1000,", "bob,1,view,2000,30", *rows, ""]))


def log_folder(folder: Path) -> None:
    log()(folder)
    for i in range(3):
        write(f"p/{i}.png", encoded())(folder)


def read_log(folder: Path, **arguments: Any) -> Any:
    source = EventsSource(log=str(folder / "log.csv"), pictures=str(folder / "p"), **arguments)
    return len(source.ratings()), source.pictures()


EVENTS = [
    case("a log without times", log(header="user,item,event,when,dwell"), "log.csv:1", "missing: 'time'", "source.columns"),
    case("an event that nobody knows", log("cat,2,lik,3000,"), "log.csv:4: the event 'lik' has no weight; did you mean like", "source.weights.lik="),
    case("no event", log("cat,2,,3000,"), "log.csv:4: the event is missing", "Complete or remove these rows"),
    case("an event without a time", log("cat,2,like,,"), "log.csv:4: the time is missing", "remove these rows"),
    case("an event at no time", log("cat,2,like,soon,"), "log.csv:4: the time 'soon' is not a time", "ISO 8601"),
    case("a dwell below 0", log("cat,2,view,3000,-1"), "log.csv:4: the dwell time is below 0", "It is in seconds"),
    case("a dwell in words", log("cat,2,view,3000,long"), "log.csv:4: the dwell 'long'", "Correct or remove these rows"),
    case("an event of nobody", log(",2,like,3000,"), "log.csv:4: the user is missing", "Complete or remove these rows"),
    case("nothing but accidents", write("log.csv", f"{EVENTS_HEADER}\nann,0,click,1000,0.1\n"), "log.csv: no usable events are left", "dwell time too short: 1", "Relax source.filters"),
    case("milliseconds among the seconds of a log", log("cat,2,like,1714564800000,"), "log.csv:4", "is in milliseconds", "All times of a file"),
]  # fmt: skip


# --- pictures of a table


def picture_table(folder: Path) -> None:
    write("r.csv", "user,item,rating\nann,0,1\nbob,1,5\n")(folder)
    for i in range(3):
        write(f"p/{i}.png", encoded())(folder)


def tar(members: dict[str, bytes], mode: str = "w") -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        with tarfile.open(str(folder / "p.tar"), mode) as file:  # type: ignore[call-overload]
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))

    return spoil


def read_pictures(folder: Path) -> Any:
    where = folder / "p.tar" if (folder / "p.tar").exists() or not (folder / "p").exists() else folder / "p"
    return TableSource(ratings=str(folder / "r.csv"), pictures=str(where)).pictures()


TWO = {"0.png": encoded(), "1.png": encoded()}
PICTURES = [
    case("neither folder nor tar", lambda f: (f / "p").rename(f / "q"), "there is no file", "p.tar", "Is the path right?"),
    case("pictures of other items", all_of(*(gone(f"p/{i}.png") for i in range(3)), write("p/x.png", encoded())), "none of the 2 rated items, such as '0', is among the pictures", "such as 'x'", "Item ids are paths"),
    case("accents stored in two ways", all_of(write("r.csv", "user,item\nann,\xe9\nbob,0\n"), write("p/e\u0301.png", encoded())), "its accents are encoded differently", "convmv --nfc"),
    case("two pictures of one id", write("p/0.jpg", encoded("JPEG")), "0.jpg and", "have the same picture id '0'", "Rename one"),
    case("a folder without pictures", all_of(*(gone(f"p/{i}.png") for i in range(3)), write("p/notes.txt", "x")), "contains no pictures (.jpg"),
    case("a tar of something else", tar({"notes.txt": b"x"}), "p.tar: contains no pictures", "Is it the right tar?"),
    case("an empty tar", tar({}), "p.tar: contains no pictures", "Is it the right tar?"),
    case("a compressed tar", tar(TWO, "w:gz"), "p.tar is not a complete, uncompressed tar", "Copy it or make it again"),
    case("a tar that is text", write("p.tar", b"no tar at all\n" * 100), "p.tar is not a complete, uncompressed tar", "Copy it or make it again"),
    case("a tar of no bytes", write("p.tar", b""), "p.tar is not a complete, uncompressed tar", "Copy it or make it again"),
    case("a tar cut short inside a picture", all_of(tar(TWO), cut("p.tar", 600)), "p.tar", "Copy it or make it again"),
    case("a tar cut short between pictures", all_of(tar(TWO), cut("p.tar", 1024)), "p.tar is not a complete", "the end marker is missing", "Copy it or make it again"),
    case("a tar cut short inside a header", all_of(tar(TWO), cut("p.tar", 1100)), "p.tar is not a complete", "not a tar member", "Copy it or make it again"),
    case("two tars in one file", all_of(tar(TWO), lambda f: (f / "p.tar").write_bytes((f / "p.tar").read_bytes()[:3072] + (f / "p.tar").read_bytes())), "p.tar is not a complete", "not a tar member", "Copy it or make it again"),
    case("a picture that is in a tar twice", tar({"0.png": encoded(), "0.jpg": encoded("JPEG"), "1.png": encoded()}), "p.tar: 0.jpg is a second picture with the id '0'", "Rename or remove one"),
    case("a tar from a FIFO", lambda f: os.mkfifo(f / "p.tar"), "p.tar is a FIFO", "Give the path of a file"),
    case("a tar with a name of two lines", tar({"a\nb.png": encoded()}), "p.tar: the name", "invisible character U+000A", "Rename it"),
    case("a tar of other items", tar({"x.png": encoded()}), "none of the 2 rated items", "such as 'x'", "names of a tar's members"),
    case("a Git LFS pointer for a tar", write("p.tar", LFS), "p.tar is a Git LFS pointer", "git lfs pull"),
]  # fmt: skip


SOURCES: list[tuple[str, Callable[[Path], Any], Callable[[Path], Any], list[Case]]] = [
    ("sources: flickr_aes", flickr_folder, read_flickr, FLICKR),
    ("sources: pamela", pamela_folder, read_pamela, PAMELA),
    ("sources: pinterest", boards, lambda folder: PinterestSource(root=str(folder)).ratings(), PINTEREST),
    ("sources: pickapic", pairs(), read_pickapic, PICKAPIC),
    ("sources: events", log_folder, read_log, EVENTS),
    ("pictures: folders and tars", picture_table, read_pictures, PICTURES),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize(("good", "read"), [row[1:3] for row in SOURCES], ids=[row[0] for row in SOURCES])
def test_good_layouts_are_read(good: Callable[[Path], Any], read: Callable[[Path], Any], folder: Path) -> None:
    good(folder)
    read(folder)


@pytest.mark.parametrize(
    ("reader", "good", "read", "case"),
    [(*row[:3], case) for row in SOURCES for case in row[3]],
    ids=[case.name for row in SOURCES for case in row[3]],
)
def test_sources(
    reader: str,
    good: Callable[[Path], Any],
    read: Callable[[Path], Any],
    case: Case,
    folder: Path,
    refused: Refused,
) -> None:
    good(folder)
    case.spoil(folder)
    refused(case, reader, lambda: read(folder))


def test_a_folder_that_cannot_be_listed(folder: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs the tests may be allowed everything: the refusal of the system is made up."""
    boards(folder)
    listed = os.scandir

    def denied(path: Any) -> Any:
        if str(path).endswith("bob"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", denied)
    told = case(
        "a board that may not be listed", boards, "cannot read the folder", "bob: Permission denied", "make it readable"
    )
    refused(told, "sources: pinterest", lambda: PinterestSource(root=str(folder)).ratings())
