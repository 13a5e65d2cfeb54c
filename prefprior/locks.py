"""One writer a folder: a lock that ends with the process that holds it, however that ends.

The lock is flock(2) on a file in the folder, which is removed with it. On NFS, Linux makes it a lock of the server's,
so that it also holds between machines.
"""

import errno
import fcntl
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lightning.pytorch.utilities import rank_zero_only

from prefprior.files import LOCK, make_folder, remove_leftovers, writing

_held: dict[Path, IO[str]] = {}  # by folder


def _forget_in_child() -> None:
    """A lock lasts as long as any process has its file open, so a child that outlives its parent would keep it."""
    for file in _held.values():
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


@contextmanager
def only_writer(folder: str | Path, remedy: str) -> Iterator[None]:
    """Keeps a folder to this run; where another is writing into it, that is an error which ends in `remedy`.

    The processes of one run share the folder: the first of them holds it for all.
    """
    if not is_first_process():
        yield
        return
    with _locked(make_folder(folder).resolve(), remedy):
        yield


@contextmanager
def in_turn(folder: str | Path) -> Iterator[None]:
    """Reserves a folder for this process, after all earlier ones have finished."""
    with _locked(make_folder(folder).resolve(), None):
        yield


def is_first_process() -> bool:
    """Whether this process is the first of its run, by what launchers put into the environment: there may be no trainer
    yet to ask."""
    node = os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0"))
    return getattr(rank_zero_only, "rank", 0) == 0 and node == "0"


@contextmanager
def _locked(folder: Path, remedy: str | None) -> Iterator[None]:
    """Holds the lock, at once or never where there is a remedy to give; removes what a killed process left there."""
    file = None if folder in _held else _acquired(folder, remedy)
    if file is None:
        yield
        return
    _held[folder] = file
    try:
        with writing(folder / LOCK):
            file.truncate(0)
            holder = f"{Path(sys.argv[0]).name} (process {os.getpid()} on {socket.gethostname()})"
            os.write(file.fileno(), holder.encode())  # past the buffer, which would be written once more on closing
        remove_leftovers(folder)
        yield
    finally:
        if folder in _held:  # it is not in a forked child
            (folder / LOCK).unlink(missing_ok=True)  # while it is held: who has opened it meanwhile finds it gone
            _held.pop(folder).close()


def _acquired(folder: Path, remedy: str | None) -> IO[str] | None:
    """The lock's file, open and locked; None where the file system has no locks."""
    path = folder / LOCK
    while True:
        try:
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (open while it is held), for writing as NFS wants it
        except OSError as error:
            raise ValueError(
                f"cannot write into {folder}: {error.strerror or error}. Choose a folder that you may write to."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if remedy is None else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another process"
            file.close()
            raise ValueError(f"{holder} is writing into {folder}. {remedy}") from None
        except OSError as error:
            file.close()
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
                raise
            warnings.warn(
                f"{folder} is on a file system without locks: run only one command at a time that writes there",
                stacklevel=2,
            )
            return None
        try:
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        except FileNotFoundError:
            pass  # removed by its last holder between our opening and locking it
        file.close()
