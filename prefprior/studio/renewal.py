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
        self, served: Path, *, newer: Callable[[Path], list[Path]], load: Callable[[Path], Parts]
    ) -> None:  # fmt: skip
        """`served` is the checkpoint, as it is now; `newer` finds what went on from one."""
        self._served, self._newer, self._load = served, newer, load
        self._seen = {served: _stamp(served)}

    async def watch(self, studio: Studio) -> None:
        """Until it is cancelled."""
        worker = Worker(self._load, name="loading", waiting=1, yields=True)
        try:
            while True:
                await asyncio.sleep(LOOKING_SECONDS)
                await self._look(studio, worker)
        finally:
            worker.close(wait=False)  # nobody needs what it still loads

    async def _look(self, studio: Studio, worker: Worker[Callable[[Path], Parts]]) -> None:
        newer = await asyncio.to_thread(self._newer, self._served)
        for path in (self._served, *newer):
            stamp = _stamp(path)
            if stamp is not None and self._seen.get(path) != stamp:
                self._seen[path] = stamp  # one that cannot be served is tried again once it is another
                await self._taken_up(path, studio, worker)

    async def _taken_up(self, path: Path, studio: Studio, worker: Worker[Callable[[Path], Parts]]) -> None:
        try:
            studio.take_up(await asyncio.wrap_future(worker.submit(lambda load: load(path))))
        except Exception as error:  # whatever is wrong with a file, people go on answering
            if not isinstance(error, ValueError):
                traceback.print_exception(error)
            told = f"{path} is not served, and the model {studio.model[:12]} still is: {error}"
            print(told, file=sys.stderr, flush=True)
        else:
            self._served = path
            print(f"prior: {path}, served from now on", flush=True)


_Stamp = tuple[int, int, int]


def _stamp(path: Path) -> _Stamp | None:
    """Which file it is; None where there is none at the moment."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
