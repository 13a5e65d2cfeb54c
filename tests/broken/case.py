"""A broken input: how it comes about, and what a person must be told of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

READER = "reader of a broken input"  # the property by which the summary at the end counts


@dataclass(frozen=True)
class Case:
    """One fault. `says` are parts of the message: file and place, what is wrong, what to do."""

    name: str
    spoil: Callable[[Path], Any]  # in a folder where all else is good
    says: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


class Refused(Protocol):
    """The fixture that checks how an input is refused."""

    def __call__(self, case: Case, reader: str, read: Callable[[], Any]) -> None: ...


def case(name: str, spoil: Callable[[Path], Any], *says: str) -> Case:
    """A fault in one line."""
    return Case(name, spoil, says)


def write(name: str, content: str | bytes) -> Callable[[Path], Any]:
    """Puts a file into the folder."""
    data = content if isinstance(content, bytes) else content.encode()

    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return spoil


def instead(name: str, make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Puts something that is no file where there is one."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return spoil


def all_of(*spoils: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """One after the other."""

    def spoil(folder: Path) -> None:
        for one in spoils:
            one(folder)

    return spoil


def cut(name: str, bytes_left: int) -> Callable[[Path], Any]:
    """Cuts a file short: to so many bytes or, below 0, by so many."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:bytes_left])


def gone(name: str) -> Callable[[Path], Any]:
    """Takes a file away."""
    return lambda folder: (folder / name).unlink()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 12345\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"
