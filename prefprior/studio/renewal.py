"""A new checkpoint is loaded beside the one that is served, and takes its place between two requests."""

import asyncio
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from prefprior.studio.served import Parts
from prefprior.studio.service import Studio
from prefprior.studio.worker import Worker

LOOKING_SECONDS = 5.0


class Renewal:
    """Looks for the file that is served to change, and for a finished run that went on from it. One that cannot be
    served is named on stderr, and the one before goes on."""

    def __init__(
        self, served: Path, *, since: float, newer: Callable[[Path, float], list[Path]],
        load: Callable[[Path], Parts],
    ) -> None:  # fmt: skip
        """`served` is the checkpoint, loaded after the time `since`; `newer` finds what went on from one after it."""
        self._served, self._since, self._newer, self._load = served, since, newer, load
        found = _stamp(served)
        # One that was written while it was loaded, or after, may be another than what is served.
        self._seen = {served: found} if found is not None and found[1] <= since * 1e9 else {}

    async def watch(self, studio: Studio) -> None:
        """Until it is cancelled."""
        worker = Worker(self._load, name="loading", waiting=1, yields=True)
        try:
            while True:
                await asyncio.sleep(LOOKING_SECONDS)
                try:
                    await self._look(studio, worker)
                except Exception as error:  # the next look may find what this one did not
                    traceback.print_exception(error)
        finally:
            worker.close(wait=False)  # nobody needs what it still loads

    async def _look(self, studio: Studio, worker: Worker[Callable[[Path], Parts]]) -> None:
        newer = await asyncio.to_thread(self._newer, self._served, self._since)
        for path in (self._served, *newer):
            stamp = _stamp(path)
            if stamp is not None and self._seen.get(path) != stamp:
                self._seen[path] = stamp  # one that cannot be served is tried again once it is another
                await self._taken_up(path, studio, worker)

    async def _taken_up(self, path: Path, studio: Studio, worker: Worker[Callable[[Path], Parts]]) -> None:
        try:
            parts = await asyncio.wrap_future(worker.submit(lambda load: load(path)))
            if parts.inference.model == studio.model:
                return  # written again as it was
            studio.take_up(parts)
        except Exception as error:  # whatever is wrong with a file, people go on answering
            if not isinstance(error, ValueError):
                traceback.print_exception(error)
            told = f"{path} is not served, and the model {studio.model[:12]} still is: {error}"
            print(told, file=sys.stderr, flush=True)
        else:
            self._served = path
            print(f"prior: {path}, served from now on", flush=True)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Which file it is; None where there is none at the moment."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
