"""Looks of the network in a process of its own, at the lowest priority.

A thread that looks shares the interpreter with those that answer visitors. However low its priority, they wait whenever
it has the interpreter and no processor. Only beliefs pass between the two processes: what all beliefs share is sent
once, and is named after that.
"""

import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from io import BytesIO
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import torch

from prefprior.elicitation.belief import Belief
from prefprior.elicitation.cast import Cast, Pool
from prefprior.malloc import keep_freed_memory
from prefprior.seeding import generator_of
from prefprior.studio.worker import LEAST_PRIORITY, BusyError

TRIES = 2  # whatever ends the process may end the next one too: memory that is short, for one
_PROGRAM = "import sys; from prefprior.studio.apart import _serve; _serve(int(sys.argv[1]))"


def looked(base: Belief, seed: int) -> Belief:
    """The belief after a look of the network."""
    belief = base.copy()
    belief.look(generator_of("answer", seed))
    return belief


class Apart:
    """The process. It starts with the first look, ends with this object or before, and is started again where something
    else has ended it."""

    def __init__(self, cast: Cast, pool: Pool) -> None:
        tastes = cast.tastes
        self._shared: dict[str, Any] = {
            "likes": tastes.likes, "known": tastes.known, "reference": tastes.reference_RD, "answers": cast.model,
            "strangers": tastes.imagined_PVD, "candidates": pool.raw_ND, "utilities": pool.utility_PN,
            "favourites": pool.favourite_PK,
        }  # fmt: skip
        self._one, self._told, self._closed = threading.Lock(), False, False
        self._process: subprocess.Popen[bytes] | None = None

    def look(self, base: Belief, seed: int) -> Belief:
        """As `looked`, there."""
        with self._one:
            for _ in range(TRIES):
                if self._process is None and not self._closed:
                    self._start()
                if self._closed:  # only now: `close` ends what it finds, or what began meanwhile is not used
                    raise BusyError("the studio is closing")
                try:
                    return self._sent(base, seed)
                except (EOFError, OSError):
                    self._stop()
            raise RuntimeError("the process in which the network looks was ended while it did, more than once")

    def close(self) -> None:
        """Ends the process at once: beside other work, the look that it takes could last for minutes."""
        self._closed, process = True, self._process
        if process is not None:
            process.kill()
        with self._one:
            self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._end()
            self._process = None

    def _sent(self, base: Belief, seed: int) -> Belief:
        if not self._told:
            self._connection.send_bytes(_pickled((self._shared, torch.get_num_threads()), {}))
            self._told = True
        self._connection.send_bytes(_pickled((base, seed), self._shared))
        found = _unpickled(self._connection.recv_bytes(), self._shared)
        if isinstance(found, Exception):
            raise found
        return found

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the server, which ends it
            )
        self._end = weakref.finalize(self, _ended, self._process, self._connection)
        self._told = False  # what is shared: only now, when it has begun, does it not keep us waiting


def _ended(process: "subprocess.Popen[bytes]", connection: Connection) -> None:
    connection.close()
    process.kill()
    process.wait()


def _serve(number: int) -> None:
    """The process: looks until the other end is closed."""
    os.setpriority(os.PRIO_PROCESS, 0, LEAST_PRIORITY)
    keep_freed_memory()
    with Connection(number) as connection:
        try:
            shared, threads = _unpickled(connection.recv_bytes(), {})
            torch.set_num_threads(threads)
            while True:
                base, seed = _unpickled(connection.recv_bytes(), shared)
                connection.send_bytes(_pickled(_looked_or_error(base, seed), shared))
                del base  # whoever it was of may be deleted
        except (EOFError, OSError):  # the studio is gone
            pass


def _looked_or_error(base: Belief, seed: int) -> Belief | Exception:
    try:
        return looked(base, seed)
    except Exception as error:  # told to whoever waits
        return error


def _pickled(value: Any, shared: Mapping[str, Any]) -> bytes:
    names, out = {id(each): name for name, each in shared.items()}, BytesIO()
    pickler = pickle.Pickler(out, protocol=pickle.HIGHEST_PROTOCOL)
    pickler.persistent_id = lambda each: names.get(id(each))  # type: ignore[method-assign]
    pickler.dump(value)
    return out.getvalue()


def _unpickled(data: bytes, shared: Mapping[str, Any]) -> Any:
    """What a process of ours has sent."""
    unpickler = pickle.Unpickler(BytesIO(data))
    unpickler.persistent_load = shared.__getitem__  # type: ignore[method-assign]
    return unpickler.load()
