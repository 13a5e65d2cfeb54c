"""Work of the event loop: turns of profiles, and what goes on when whoever asked for it is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from prefprior.studio.store.people import Profile
from prefprior.studio.store.picture_files import PicturesAwayError
from prefprior.studio.wishes import WishError
from prefprior.studio.worker import BusyError, Together, Worker

Held = TypeVar("Held")
Part = TypeVar("Part")
Result = TypeVar("Result")
Job = tuple[str, tuple[int, ...], str]  # what is done, from the answers of which profiles, and which of these
TOLD = (BusyError, PicturesAwayError, WishError)  # to whoever asked, and no mistakes of ours
PATIENCE = 20.0  # seconds until a request gives up; what it waited for goes on, and the next request finds it
LONGEST = 600.0  # seconds that a job may wait and run


class CancelledWorkError(RuntimeError):
    """What was waited for is no longer wanted."""


class Tasks:
    """Each job once at a time, whoever asks for it."""

    def __init__(self) -> None:
        self._running: dict[Job, asyncio.Task[Any]] = {}
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._running)

    @asynccontextmanager
    async def turn(self, *profiles: Profile) -> AsyncIterator[None]:
        """One request of a profile at a time: two at once would be asked the same. Turns of several are always taken in
        the same order."""
        async with AsyncExitStack() as turns:
            for number in sorted(profile.id for profile in profiles):
                await turns.enter_async_context(self._turns.setdefault(number, asyncio.Lock()))
            yield

    def begun(self, job: Job, work: Callable[[], Coroutine[None, None, Result]]) -> "asyncio.Task[Result]":
        """The job that is running, or a new one, which goes on when whoever asked for it is gone."""
        task, loop = self._running.get(job), asyncio.get_running_loop()
        if task is None or task.done() or task.get_loop() is not loop:
            task = self._running[job] = loop.create_task(work())
            task.add_done_callback(lambda done: self._ended(job, done))
        return task

    def cancel(self, unwanted: Callable[[Job], bool]) -> None:
        """Ends jobs; who waits for one is told."""
        for job, task in list(self._running.items()):
            if unwanted(job):
                task.cancel()

    def _ended(self, job: Job, task: "asyncio.Task[Any]") -> None:
        if self._running.get(job) is task:
            del self._running[job]
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, TOLD):
            raise error  # asyncio logs it


async def shared(work: "asyncio.Task[Result]") -> Result:
    """What some work gives, which others may wait for as well."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(work)
    except TimeoutError:
        raise BusyError("this takes a while: try again soon") from None
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise  # whoever asked is gone
        raise CancelledWorkError("the answers have changed meanwhile: try again") from None


async def computed(worker: Worker[Held], job: Callable[[Held], Result], patience: float = LONGEST) -> Result:
    """What a worker's job gives, or `BusyError`."""
    return await _waited(worker.submit(job), patience)


async def computed_together(
    worker: Worker[Held], job: Together[Held, Part, Result], part: Part, patience: float = LONGEST
) -> Result:
    """What a job that takes many at once gives for one of them, or `BusyError`."""
    return await _waited(worker.submit_together(job, part), patience)


async def _waited(future: "Future[Result]", patience: float) -> Result:
    try:
        # Not wait_for, which before Python 3.12 drops a cancellation that comes together with the result.
        async with asyncio.timeout(patience):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise BusyError("the model takes too long") from None
