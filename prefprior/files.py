"""Files are written whole: to a temporary name beside the target, then renamed over it, and on the disk before anybody
is told that they are there.

What is read was given by somebody: it may be missing, a FIFO, in another encoding, or no JSON, and is then named.
"""

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UMASK = os.umask(0)  # there is no other way to read it than to set it
os.umask(UMASK)


LOCK = ".lock"  # the file by which a folder has one writer (prefprior/locks.py)
_PART = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")


@contextmanager
def writing(path: Path, *failures: type[Exception]) -> Iterator[None]:
    """What is raised because a path cannot be written becomes a ValueError; `failures` are a library's own ways to say
    so, beside OSError."""
    kinds: tuple[type[Exception], ...] = (OSError, *failures)
    try:
        yield
    except kinds as error:
        raise ValueError(
            f"cannot write {path}: {getattr(error, 'strerror', None) or error}. Free some disk space, or "
            "choose a folder that you may write to."
        ) from error


@contextmanager
def written_whole(path: str | Path, *failures: type[Exception]) -> Iterator[Path]:
    """Yields a temporary path in the target's folder; on success it becomes `path`, on failure it is removed.

    A reader therefore sees the old file or the new one, never a half of either, even after a SIGKILL or a loss of
    power.
    """
    path = Path(path)
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")  # by chance: process ids repeat between machines
    try:
        with writing(path, *failures):
            yield part
            os.chmod(part, 0o666 & ~UMASK)  # some writers make files that only their owner may read
            replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def replace(part: Path, path: Path) -> None:
    """Renames a finished file over another; content and name are on the disk when this returns."""
    sync(part)  # without this a crash of the machine can leave a renamed, empty file
    os.replace(part, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Has a file's content, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that have no such thing for folders
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(folder: str | Path) -> None:
    """Removes half-written files of a killed process in or below a folder that no other process writes to.

    A folder below that has a writer of its own is left to it.
    """
    for place, folders, names in os.walk(folder):
        if LOCK in names and Path(place) != Path(folder):
            folders.clear()
            continue
        for name in filter(_PART.fullmatch, names):
            Path(place, name).unlink(missing_ok=True)


def make_folder(path: str | Path) -> Path:
    """Makes a folder and its parents; says what to do where that is not possible."""
    path = Path(path)
    try:
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in made:
            sync(folder.parent)
    except OSError as error:
        raise ValueError(
            f"cannot create the folder {path}: {error.strerror or error}. Choose a folder that you may write to."
        ) from error
    return path


def write_text(path: str | Path, text: str) -> None:
    """Writes a whole text file."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Writes a whole JSON file; keys keep their order, NaN is refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def require_file(path: str | Path) -> Path:
    """The path of a file with content: what is missing, or waits for a writer as a FIFO does, is named instead."""
    path = Path(path)
    try:
        state = os.stat(path)
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}. Is the path right? Relative paths start at {Path.cwd()}") from None
    except (OSError, ValueError) as error:  # the latter: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot read {str(path)[:200]!r}: {reason}. Give the path of a file.") from error
    if not stat.S_ISREG(state.st_mode):
        kind = "a folder" if stat.S_ISDIR(state.st_mode) else "a FIFO, a socket or a device"
        raise ValueError(f"{path} is {kind}, not a file. Give the path of a file.")
    if 0 < state.st_size < 1024 and _begins(path, LFS):
        raise ValueError(f"{path} is a Git LFS pointer, not the file itself. Fetch it: git lfs pull")
    return path


def _begins(path: Path, mark: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(mark)) == mark
    except OSError as error:
        raise ValueError(
            f"cannot read {path}: {error.strerror or error}. Do you have permission to read it?"
        ) from error


def read_bytes(path: str | Path) -> bytes:
    """The content of a file."""
    path = require_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"cannot read {path}: {error.strerror or error}. Do you have permission to read it?"
        ) from error


def read_utf8(path: str | Path) -> bytes:
    """The content of a text file without its byte-order mark; another encoding than UTF-8 is named with its line."""
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        for begin, kind, remedy in _NO_TEXT:
            if data.startswith(begin):
                raise ValueError(f"{path}:1: this is {kind}, not text in UTF-8. {remedy}") from error
        line = data[: error.start].count(b"\n") + 1
        path = Path(path)
        raise ValueError(
            f"{path}:{line}: the byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8 "
            f"(for example: iconv -f latin1 -t utf-8 {path.name} > fixed{path.suffix})."
        ) from error
    if b"\0" in data[:64]:
        raise ValueError(
            f"{path}:1: the file contains NUL bytes, as UTF-16 does. Convert it: iconv -f utf-16le -t utf-8"
        )
    return data


LFS = b"version https://git-lfs.github.com/spec"
# How files begin that are taken for text.
_NO_TEXT = (
    (b"\xff\xfe", "UTF-16", "Convert it: iconv -f utf-16 -t utf-8"),
    (b"\xfe\xff", "UTF-16", "Convert it: iconv -f utf-16 -t utf-8"),
    (b"\x1f\x8b", "a gzip archive", "Unpack it: gunzip"),
    (b"PK\x03\x04", "a zip archive (or a spreadsheet)", "Unpack it, or save the table as .csv."),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "Unpack it: unzstd"),
    (b"BZh", "a bzip2 archive", "Unpack it: bunzip2"),
    (b"PAR1", "Parquet", "Name it .parquet."),
)


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file; Windows line ends are taken off."""
    lines = read_utf8(path).decode().replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def read_json(path: str | Path, remedy: str = "Delete it, copy it again, or make it again.") -> Any:
    """Reads a JSON file; a broken one is named, with the line."""
    text = read_utf8(path)
    return _parsed(text, lambda line: f"{path}:{line}", remedy)


def parse_json(text: str | bytes, where: str, remedy: str = "Is the file truncated?") -> Any:
    """A JSON value from one untrusted line; `where` names its place in the error."""
    return _parsed(text, lambda _: where, remedy)


def _parsed(text: str | bytes, where: Callable[[int], str], remedy: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{where(error.lineno)}: not JSON ({error.msg}, at character {error.colno}). {remedy}"
        ) from error
    except RecursionError:
        raise ValueError(f"{where(1)}: cannot be read as JSON: it is nested too deeply. {remedy}") from None
    except ValueError as error:  # numbers of thousands of digits, or from `_distinct`
        raise ValueError(f"{where(1)}: cannot be read as JSON: {error}. {remedy}") from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} appears twice in one object")
    return found
