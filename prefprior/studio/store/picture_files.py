"""Made pictures as files, each by the SHA-256 of its content: in a folder, or in storage that fsspec knows.

A picture is written before the rows that name it are committed, and removed after the last of them is deleted. What a
killed server leaves over is removed by the next one.
"""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import select, union, update
from sqlalchemy.exc import SQLAlchemyError

from prefprior.files import remove_leftovers, written_whole
from prefprior.studio.store.database import Database
from prefprior.studio.store.tables import MADE, IdentityRow, MadeRow, ReportRow

AT_ONCE = 200  # names in a statement; pictures that are moved in a transaction
FILE = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{62})\.png$")
FOLDER = "pictures"


class MissingPictureError(LookupError):
    """The database names a picture whose file is gone."""


class PicturesAwayError(RuntimeError):
    """The storage does not answer, or refuses."""


class PictureFiles:
    """The made pictures of one database, below a folder or URL that several databases may share."""

    def __init__(self, database: Database, url: str) -> None:
        """`url` is a folder, or what fsspec understands: s3://BUCKET/FOLDER."""
        self._database, self.url = database, url
        with database.reading() as session:
            identity = session.scalars(select(IdentityRow.id)).one()
        try:
            self._system, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError, OSError) as error:
            raise ValueError(
                f"pictures={url} cannot be used: {error}. Give a folder, or a URL that fsspec knows "
                "(s3://BUCKET/FOLDER needs pip install s3fs)"
            ) from error
        self._root = f"{root.rstrip('/')}/{identity}"
        self._lock = threading.Lock()  # of what follows, and of what is removed
        self._held = Counter[str]()  # by rows that are not committed yet
        self._loose = set[str]()  # perhaps named by no row

    @contextmanager
    def held(self, contents: Iterable[bytes]) -> Iterator[list[str]]:
        """Writes pictures, which stay at least until the end. Yields a list for the names of others that rows which are
        deleted meanwhile let go."""
        pictures, let_go = {name_of(content): content for content in contents}, list[str]()
        with self._lock:
            self._held += Counter(list(pictures))
        try:
            for name, content in pictures.items():
                self._write(name, content)
            yield let_go
        finally:
            with self._lock:
                self._held -= Counter(list(pictures))
            self.release([*pictures, *let_go])

    def read(self, name: str) -> bytes:
        """A picture; one that is damaged is as good as missing."""
        with _answering(self.url):
            try:
                content = self._system.cat_file(self._path(name))
            except FileNotFoundError:
                content = b""
        if name_of(content) != name:
            raise MissingPictureError("the file of this picture is missing: have pictures made again")
        return content

    def found(self, names: Iterable[str]) -> dict[str, bytes]:
        """Those that are not missing."""
        pictures = dict[str, bytes]()
        for name in names:
            with suppress(MissingPictureError):
                pictures[name] = self.read(name)
        return pictures

    def release(self, names: Iterable[str]) -> None:
        """Removes those that no row names; what cannot be removed now is removed by `release_again`."""
        with self._lock:
            self._loose.update(names)
        with suppress(PicturesAwayError, SQLAlchemyError):
            self.release_again()

    def release_again(self) -> None:
        """Removes what was let go earlier, and is still there."""
        with self._lock:
            loose = sorted(self._loose - self._held.keys())
            for names in (loose[start : start + AT_ONCE] for start in range(0, len(loose), AT_ONCE)):
                named = self._named(names)
                for name in names:
                    if name not in named:
                        self._remove(name)
                self._loose.difference_update(names)

    def recover(self) -> None:
        """What the last server did not come to, and what an earlier version had put into the database. For the server
        that has claimed the database, before it begins."""
        try:
            self._recover()
        except PicturesAwayError as error:
            raise ValueError(f"pictures={self.url} cannot be used: {error.__cause__}. Choose another place") from error

    def _recover(self) -> None:
        with self.held([b"to see whether it can be written"]):
            pass
        if isinstance(self._system, LocalFileSystem) and Path(self._root).is_dir():
            remove_leftovers(self._root)
        for table in (MadeRow, ReportRow):
            while self._moved_out(table):
                pass
        with _answering(self.url):
            self._system.invalidate_cache()
            paths = self._system.find(self._root)
        with self._lock:
            self._loose.update(found[2] for path in paths if (found := FILE.search(path)))
        self.release_again()

    def _moved_out(self, table: type[MadeRow] | type[ReportRow]) -> bool:
        """Moves some pictures out of the database; False where there are none."""
        name = MadeRow.sha256 if table is MadeRow else ReportRow.name
        with self._database.reading() as session:
            rows = session.execute(select(name, table.content).where(table.content.is_not(None)).limit(AT_ONCE)).all()
        found = {name: content for name, content in rows if content is not None}
        if not found:
            return False
        with self.held(found.values()), self._database.writing() as session:
            session.execute(update(table).where(name.in_(found)).values(content=None))
        return True

    def _named(self, names: Iterable[str]) -> set[str]:
        made = select(MadeRow.sha256).where(MadeRow.sha256.in_(names))
        reported = select(ReportRow.name).where(ReportRow.kind == MADE, ReportRow.name.in_(names))
        with self._database.reading() as session:
            return set(session.scalars(union(made, reported)))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name[:2]}/{name}.png"

    def _write(self, name: str, content: bytes) -> None:
        """Whole or not at all: storage other than a folder shows an object when it is complete."""
        with _answering(self.url):
            if isinstance(self._system, LocalFileSystem):
                with written_whole(self._path(name)) as part:
                    part.write_bytes(content)
            else:
                self._system.pipe_file(self._path(name), content)

    def _remove(self, name: str) -> None:
        with _answering(self.url), suppress(FileNotFoundError):
            self._system.rm_file(self._path(name))


def name_of(content: bytes) -> str:
    """What a picture is called."""
    return hashlib.sha256(content).hexdigest()


def default_of(database: Database, folder: Path) -> str:
    """Where pictures lie if nobody says so: beside SQLite's file, or in a folder."""
    return str((Path(str(database.engine.url.database)).parent if database.is_sqlite else folder) / FOLDER)


@contextmanager
def _answering(url: Any) -> Iterator[None]:
    """What goes wrong in a storage is said in one way: each has errors of its own."""
    try:
        yield
    except (MissingPictureError, PicturesAwayError):
        raise
    except Exception as error:
        raise PicturesAwayError(f"the pictures at {url} are away or busy for a moment") from error
