"""Calls of the database from the event loop, in threads, only some of them at once.

Those of SQLite compute in their threads. More of these than there are processors do not compute more: each waits for
its turn of the interpreter, and so does the event loop.
"""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

Params = ParamSpec("Params")
Result = TypeVar("Result")


class Calls:
    """Runs what is quick, at most `at_once`; others wait for their turn."""

    def __init__(self, at_once: int) -> None:
        self._limiter = CapacityLimiter(at_once)

    async def __call__(
        self, function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:  # fmt: skip
        """What it gives."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._limiter)
