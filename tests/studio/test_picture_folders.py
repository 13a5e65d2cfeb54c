"""Where made pictures are kept: one server at a time, one database or several, and what else lies there."""

import fcntl
import sqlite3
from pathlib import Path

import pytest

from prefprior.files import LOCK
from prefprior.studio.store.albums import Albums
from prefprior.studio.store.database import Database
from prefprior.studio.store.picture_files import PictureFiles, name_of
from tests.studio.picturing import album, somebody


def test_half_a_file_is_removed_too(sqlite: Database, tmp_path: Path) -> None:
    files = PictureFiles(sqlite, str(tmp_path / "made"))
    half = Path(files._path(name_of(b"a"))).parent / f".a.png.{'0' * 16}.tmp"
    half.parent.mkdir(parents=True)
    half.touch()
    other = tmp_path / "made" / "notes.txt"
    other.write_text("not ours")
    files.recover()
    assert not half.exists()
    assert other.exists()


def test_databases_that_share_a_folder_leave_each_other_alone(tmp_path: Path) -> None:
    found = list[PictureFiles]()
    for name in ("one", "two"):
        database = Database.open(f"sqlite:///{tmp_path / name}.sqlite")
        files = PictureFiles(database, str(tmp_path / "made"))
        Albums(database, files).replace(somebody(database), album(b"picture"), [b"picture"])
        found.append(files)
    for files in found:
        files.recover()
        assert files.read(name_of(b"picture")) == b"picture"
        files._database.close()


def copied(database: Database, path: Path) -> Database:
    with sqlite3.connect(str(database.engine.url.database)) as original, sqlite3.connect(path) as copy:
        original.backup(copy)
    return Database.open(f"sqlite:///{path}")


def test_a_copy_of_a_database_does_not_take_its_pictures(sqlite: Database, picture_url: str, tmp_path: Path) -> None:
    files = PictureFiles(sqlite, picture_url)
    files.recover()
    copy = copied(sqlite, tmp_path / "copy.sqlite")
    Albums(sqlite, files).replace(somebody(sqlite), album(b"later"), [b"later"])
    files.close()
    with pytest.raises(ValueError, match=r"belong to the database .*studio\.sqlite, and .*give it another place"):
        PictureFiles(copy, picture_url).recover()
    assert files.read(name_of(b"later")) == b"later"
    PictureFiles(copy, f"{picture_url}/of-the-copy").recover()
    again = PictureFiles(sqlite, picture_url)
    again.recover()
    again.close()
    copy.close()
    assert files.read(name_of(b"later")) == b"later"


def test_a_database_moves_with_its_pictures(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    database = Database.open(f"sqlite:///{before / 'studio.sqlite'}")
    files = PictureFiles(database, str(before / "pictures"))
    files.recover()
    Albums(database, files).replace(somebody(database), album(b"one"), [b"one"])
    files.close()
    database.close()
    before.rename(after)
    moved = Database.open(f"sqlite:///{after / 'studio.sqlite'}")
    files = PictureFiles(moved, str(after / "pictures"))
    files.recover()
    assert files.read(name_of(b"one")) == b"one"
    files.close()
    moved.close()


def test_a_folder_that_another_server_uses_is_refused(sqlite: Database, tmp_path: Path) -> None:
    files = PictureFiles(sqlite, str(tmp_path / "made"))
    files.recover()
    lock = Path(files._root) / LOCK
    with lock.open() as another, pytest.raises(BlockingIOError):
        fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
    files.close()
    with lock.open("w") as another:
        another.write("another server")
        another.flush()
        fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(ValueError, match=r"another server is writing into .*Stop it, or give this database"):
            PictureFiles(sqlite, str(tmp_path / "made")).recover()


def test_storage_that_nobody_knows_is_refused(sqlite: Database) -> None:
    with pytest.raises(ValueError, match=r"pictures=nonsense://a cannot be used: .*Give a folder, or a URL"):
        PictureFiles(sqlite, "nonsense://a")
