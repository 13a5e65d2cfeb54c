"""Made pictures as files, each by the SHA-256 of its content: in a folder, or in storage that fsspec knows.

A picture is written before the rows that name it are committed, and removed after the last of them is deleted. What a
killed server leaves over is removed by the next one.
"""

import hashlib
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import select, union, update
from sqlalchemy.exc import SQLAlchemyError

from prefprior.files import written_whole
from prefprior.locks import only_writer
from prefprior.studio.store.database import Database
from prefprior.studio.store.tables import MADE, IdentityRow, MadeRow, ReportRow

AT_ONCE = 200  # names in a statement; pictures that are moved in a transaction
FILE = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{62})\.png$")
FOLDER = "pictures"
OWNER = "database"  # beside the pictures: the name of the database that they belong to
ENOUGH = 5  # pictures that cannot be removed, until the others wait for the next time


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
        self._claimed = ExitStack()
        self._changing = threading.Condition()  # what follows; files are written and removed outside
        self._held = Counter[str]()  # by rows that are not committed yet
        self._loose = dict[str, None]()  # perhaps named by no row; what could not be removed comes last
        self._leaving = set[str]()  # being removed

    @contextmanager
    def held(self, contents: Iterable[bytes]) -> Iterator[list[str]]:
        """Writes pictures, which stay at least until the end. Yields a list for the names of others that rows which are
        deleted meanwhile let go."""
        pictures, let_go = {name_of(content): content for content in contents}, list[str]()
        with self._changing:
            self._changing.wait_for(lambda: self._leaving.isdisjoint(pictures))
            self._held += Counter(list(pictures))
        try:
            for name, content in pictures.items():
                self._write(name, content)
            yield let_go
        finally:
            with self._changing:
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
        with self._changing:
            self._loose.update(dict.fromkeys(names))
        with suppress(PicturesAwayError, SQLAlchemyError):
            self.release_again()

    def release_again(self) -> None:
        """Removes what was let go earlier, and is still there; an error where some of it stays for the next time."""
        failed = dict[str, PicturesAwayError]()
        try:
            while len(failed) < ENOUGH and (names := self._to_remove()):
                self._remove_all(names, failed)
        finally:
            with self._changing:
                self._loose.update(dict.fromkeys(failed))
        for error in failed.values():
            raise error

    def close(self) -> None:
        """Lets another server have the folder."""
        self._claimed.close()

    def recover(self) -> None:
        """What the last server did not come to, and what an earlier version had put into the database. For the server
        that has claimed the database, before it begins; the folder is its own until `close`."""
        try:
            self._recover()
        except PicturesAwayError as error:
            raise ValueError(f"pictures={self.url} cannot be used: {error.__cause__}. Choose another place") from error

    def _recover(self) -> None:
        with self.held([b"to see whether it can be written"]):
            pass
        if isinstance(self._system, LocalFileSystem):
            remedy = f"Stop it, or give this database another place: pictures=FOLDER instead of {self.url}"
            self._claimed.enter_context(only_writer(self._root, remedy))
        self._require_own()
        for table in (MadeRow, ReportRow):
            while self._moved_out(table):
                pass
        with _answering(self.url):
            self._system.invalidate_cache()
            paths = self._system.find(self._root)
        with self._changing:
            self._loose.update({found[2]: None for path in paths if (found := FILE.search(path))})
        self.release_again()

    def _require_own(self) -> None:
        """A copy of a database has the identity of the original, and would remove what only the original names."""
        path, mine = f"{self._root}/{OWNER}", self._owner()
        with _answering(self.url):
            try:
                owner = self._system.cat_file(path).decode(errors="replace").strip()
            except FileNotFoundError:
                self._write_whole(path, f"{mine}\n".encode())
                return
        if owner != mine:
            raise ValueError(
                f"the pictures in {self._root} belong to the database {owner}, and this one is {mine} with the same "
                f"identity. If it is a copy, give it another place: pictures=FOLDER instead of {self.url}. If the "
                f"database was moved, and the other one is no longer used, delete {path}"
            )

    def _owner(self) -> str:
        """What the database is called: seen from the pictures where both are files, so that they can move together."""
        url = self._database.engine.url
        if not self._database.is_sqlite:
            return f"{url.host or ''}:{url.port or ''}/{url.database}"
        path = Path(str(url.database)).resolve()
        local = isinstance(self._system, LocalFileSystem)
        return os.path.relpath(path, Path(self._root).resolve()) if local else str(path)

    def _to_remove(self) -> list[str]:
        """Some that were let go and are not held, which nobody can hold until they are removed."""
        with self._changing:
            free = (name for name in self._loose if name not in self._held and name not in self._leaving)
            names = list(islice(free, AT_ONCE))
            for name in names:
                del self._loose[name]
            self._leaving.update(names)
        return names

    def _remove_all(self, names: list[str], failed: dict[str, PicturesAwayError]) -> None:
        """Removes those that no row names, until enough have failed."""
        left = dict.fromkeys(names)
        try:
            named = self._named(names)
            for name in names:
                if len(failed) == ENOUGH:
                    return
                if name not in named:
                    try:
                        self._remove(name)
                    except PicturesAwayError as error:
                        failed[name] = error
                del left[name]
                self._left([name])
        finally:
            with self._changing:
                self._loose.update(left)
            self._left(left)

    def _left(self, names: Iterable[str]) -> None:
        """They may be held again."""
        with self._changing:
            self._leaving.difference_update(names)
            self._changing.notify_all()

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
        with _answering(self.url):
            self._write_whole(self._path(name), content)

    def _write_whole(self, path: str, content: bytes) -> None:
        """Whole or not at all: storage other than a folder shows an object when it is complete."""
        if isinstance(self._system, LocalFileSystem):
            with written_whole(path) as part:
                part.write_bytes(content)
        else:
            self._system.pipe_file(path, content)

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
