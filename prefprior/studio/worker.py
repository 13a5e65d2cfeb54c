"""A thread that computes: jobs wait in a bounded queue, and are refused where it is full.

The studio has three, so that the next question waits for nothing slow: one for what is believed and asked, one for the
passes of the network, one for the decoder.
"""

import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from prefprior.errors import require_between

Held = TypeVar("Held")
Result = TypeVar("Result")


LEAST_PRIORITY = 19


class BusyError(RuntimeError):
    """The queue is full, or the worker has ended."""


class Worker(Generic[Held]):
    """Runs jobs one after the other on what it holds, which no other thread may touch."""

    def __init__(self, held: Held, *, name: str, waiting: int = 64, yields: bool = False) -> None:
        """At most `waiting` jobs wait. One that `yields` leaves the processor to all other threads."""
        require_between("waiting", waiting, 1, 100_000)
        self._held, self.name, self._yields = held, name, yields
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(waiting)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return self._jobs.qsize()

    @property
    def is_alive(self) -> bool:
        """Whether jobs are taken."""
        return self._thread.is_alive() and not self._closed

    def submit(self, job: Callable[[Held], Result]) -> "Future[Result]":
        """Queues a job, or raises `BusyError`; cancelled before its turn, it does not run."""
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = job(self._held)
            except BaseException as error:  # told to whoever waits; the thread goes on
                future.set_exception(error)
            else:
                future.set_result(result)

        if not self.is_alive:
            raise BusyError("the studio is closing")
        try:
            self._jobs.put_nowait(run)
        except queue.Full:
            raise BusyError("too many questions at once") from None
        return future

    def close(self, *, wait: bool = True) -> None:
        """Ends after the jobs that wait."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        if wait:
            self._thread.join()

    def _work(self) -> None:
        if self._yields and sys.platform == "linux":  # where priorities are those of threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LEAST_PRIORITY)
        while (job := self._jobs.get()) is not None:
            job()
