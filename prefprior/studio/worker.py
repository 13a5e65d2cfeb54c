"""A thread that computes: jobs wait in a bounded queue, and are refused where it is full.

Jobs that can be done together are, where they wait together: whoever comes while the thread is busy is served at once
with the others, and nobody waits for others to come.

The studio has three, so that the next question waits for nothing slow: one for what is believed and asked, one for the
passes of the network, one for the decoder.
"""

import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from prefprior.errors import require_between

Held = TypeVar("Held")
Result = TypeVar("Result")
Part = TypeVar("Part")
Together = Callable[[Held, Sequence[Part]], Sequence[Result | Exception]]  # a result, or an error, for each part

LEAST_PRIORITY = 19
MOST_TOGETHER = 8  # parts of a job: more take longer than they save, and the first waits for the last


class BusyError(RuntimeError):
    """The queue is full, or the worker has ended."""


class Worker(Generic[Held]):
    """Runs jobs one after the other on what it holds, which no other thread may touch."""

    def __init__(self, held: Held, *, name: str, waiting: int = 64, yields: bool = False) -> None:
        """At most `waiting` jobs wait. One that `yields` leaves the processor to all other threads."""
        require_between("waiting", waiting, 1, 100_000)
        self._held, self.name, self._yields = held, name, yields
        self._jobs: queue.Queue[_Job | None] = queue.Queue(waiting)
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
        return self._queued(_Job(lambda held, _: [job(held)], None, Future()))

    def submit_together(self, job: Together[Held, Part, Result], part: Part) -> "Future[Result]":
        """Queues a part of a job, which is done together with parts of the same job that wait next to it. Where that
        fails, each is done alone, so that an error ends no part but its own."""
        return self._queued(_Job(job, part, Future()))

    def _queued(self, job: "_Job") -> "Future[Any]":
        if not self.is_alive:
            raise BusyError("the studio is closing")
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise BusyError("too many questions at once") from None
        return job.future

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
            parts = [job]
            while len(parts) < MOST_TOGETHER and self._next_is_of(job):
                parts.append(self._jobs.get_nowait())  # type: ignore[arg-type]
            self._run([each for each in parts if each.future.set_running_or_notify_cancel()])

    def _next_is_of(self, job: "_Job") -> bool:
        """Whether the next in the queue, which nobody else takes out, is a part of the same job."""
        with self._jobs.mutex:
            first = self._jobs.queue[0] if self._jobs.queue else None
        return first is not None and first.work is job.work

    def _run(self, parts: "Sequence[_Job]") -> None:
        if not parts:
            return
        try:
            results = parts[0].work(self._held, [each.part for each in parts])
        except BaseException as error:  # told to whoever waits; the thread goes on
            if len(parts) == 1:
                parts[0].future.set_exception(error)
            else:
                for each in parts:
                    self._run([each])
            return
        for each, result in zip(parts, results, strict=True):
            if isinstance(result, Exception):
                each.future.set_exception(result)
            else:
                each.future.set_result(result)


@dataclass(frozen=True, eq=False)
class _Job:
    """What waits: a part of some work, or all of it."""

    work: Together[Any, Any, Any]
    part: Any
    future: "Future[Any]"
