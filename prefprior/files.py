"""Files are written whole: to a temporary name beside the target, then renamed over it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UMASK = os.umask(0)  # there is no other way to read it than to set it
os.umask(UMASK)


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path in the target's folder; on success it becomes `path`, on failure it is removed.

    A reader therefore sees the old file or the new one, never a half of either, even after a SIGKILL.
    """
    path = Path(path)
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())  # without this a crash of the machine can leave a renamed, empty file
        os.chmod(part, 0o666 & ~UMASK)  # some writers make files that only their owner may read
        os.replace(part, path)
    except OSError as error:
        raise ValueError(
            f"cannot write {path}: {error.strerror or error}. Free some space or choose a folder you may write to."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(folder: str | Path) -> None:
    """Removes what a killed process left half written in or below a folder that nobody else is writing to."""
    for part in Path(folder).rglob(".*.tmp"):
        part.unlink(missing_ok=True)


def make_folder(path: str | Path) -> Path:
    """Makes a folder and its parents; says what to do where that is not possible."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"cannot make the folder {path}: {error.strerror or error}. Choose a folder you may write to."
        ) from error
    return path


def write_text(path: str | Path, text: str) -> None:
    """Writes a whole text file."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Writes a whole JSON file; keys keep their order, NaN is refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Reads a JSON file; a broken one is named."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Delete it or make it again.") from error
