"""Commands in processes that are forked from one which has everything imported: a fresh Python takes seconds."""

import json
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

from prefprior import commands
from tests.crash.faults import Fault, Operations

WARM = ["tests.crash.warm"]  # what is imported before anything is forked


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int  # minus the signal that killed it
    said: str
    operations: list[str]
    synced: list[str]  # files that are on the disk, and not in its cache alone


def run(folder: Path, command: str, words: Sequence[str], fault: Fault | None = None) -> Ended:
    """`<command>.main()` with words on the command line, in a folder, with a fault or without one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(folder, command, list(words), fault, theirs))
    process.start()
    theirs.close()
    output = b""
    while chunk := os.read(ours.fileno(), 65536):
        output += chunk
    process.join()
    said, _, counted = output.decode().partition("\0")
    assert process.exitcode is not None
    return Ended(process.exitcode, said, *json.loads(counted or "[[], []]"))


def _entry(command: str) -> Callable[[], None]:
    """A command of the package by its name, or the `main` of a module that stands for one."""
    found: Callable[[], None] = import_module(command).main if "." in command else getattr(commands, command)
    return found


def _child(folder: Path, command: str, words: list[str], fault: Fault | None, pipe: Connection) -> None:
    os.dup2(pipe.fileno(), 1)
    os.dup2(pipe.fileno(), 2)
    pipe.close()
    os.chdir(folder)
    sys.argv = [f"{command}.py", *words]
    operations, code = Operations(folder, fault), 0
    operations.watch()
    try:
        _entry(command)()
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        code = 1 if stop.code else 0
    except BaseException:  # printed, as Python itself would
        traceback.print_exc()
        code = 2
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(1, b"\0" + json.dumps([operations.seen, sorted(operations.synced)]).encode())
    os._exit(code)
