"""File operations of a process, counted, and a fault at one of them.

An audit hook sees the opening, renaming, making and removing of files, whoever asks Python for them; `os.fsync` raises
no audit event and is replaced. What native code writes (weights, Parquet, torch's archives) goes to a temporary file
that is then synchronised and renamed here; that such a write itself fails is shown by a limit on the size of files.
"""

import errno
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "os.link", "os.symlink")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Fault:
    """What happens, and when: before the operation of that number, or to a file of more bytes."""

    kind: str  # kill, full or size
    at: int


class Operations:
    """Counts the operations below a folder, and makes the fault."""

    def __init__(self, folder: Path, fault: Fault | None) -> None:
        self.folder, self.fault, self.seen = f"{folder}/", fault, list[str]()
        self.synced: set[str] = set()  # files whose content is on the disk

    def watch(self) -> None:
        """From now to the end of this process: a hook cannot be taken out."""
        if self.fault is not None and self.fault.kind == "size":
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.fault.at, resource.RLIM_INFINITY))
        sys.addaudithook(self._hook)
        fsync = os.fsync

        def counted(descriptor: int) -> None:
            self._count("fsync", needs_space=True)
            fsync(descriptor)
            self.synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))

        os.fsync = counted  # type: ignore[assignment]

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and self._is_inside(arguments[0]):
            mode, flags = str(arguments[1] or ""), int(arguments[2] or 0)
            if set(mode) & set("wax+") or (not arguments[1] and flags & WRITING):
                self._count("open", needs_space=True)
        elif event in CHANGES and self._is_inside(arguments[0]):
            self._count(event, needs_space=event == "os.mkdir")
            if event == "os.rename":
                self._follow(os.path.abspath(arguments[0]), os.path.abspath(arguments[1]))

    def _follow(self, old: str, new: str) -> None:
        """What is on the disk stays there under its new name; of a folder, all that is in it."""
        moved = {path for path in self.synced if path == old or path.startswith(f"{old}/")}
        self.synced |= {new + path.removeprefix(old) for path in moved}

    def _is_inside(self, path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(self.folder)

    def _count(self, what: str, *, needs_space: bool) -> None:
        number, fault = len(self.seen), self.fault
        self.seen.append(what)
        if fault is None:
            return
        if fault.kind == "kill" and number == fault.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.kind == "full" and number >= fault.at and needs_space:  # once full, it stays full
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
