"""A new checkpoint is loaded beside the one that is served, and takes its place between two jobs."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefprior.studio.service import Studio
from prefprior.studio.worker import Worker

LOOKING_SECONDS = 5.0


class Renewal:
    """Looks which file is to be served. One that cannot be is named in the log, and the one before goes on."""

    def __init__(self, *, find: Callable[[], Path], load: Callable[[Path], dict[str, Any]]) -> None:
        """`find` names the checkpoint to serve now, and `load` makes what `Studio.go_on_with` takes of it."""
        self._find, self._load = find, load
        self._seen = self._stamp()

    async def watch(self, studio: Studio) -> None:
        """Until it is cancelled."""
        worker = Worker(self._load, name="loading", waiting=1, yields=True)
        try:
            while True:
                await asyncio.sleep(LOOKING_SECONDS)
                await self._look(studio, worker)
        finally:
            worker.close(wait=False)  # nobody needs what it still loads

    async def _look(self, studio: Studio, worker: Worker[Callable[[Path], dict[str, Any]]]) -> None:
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return
        self._seen, path = stamp, stamp[0]  # a file that cannot be served is tried again once it is another
        try:
            studio.go_on_with(**await asyncio.wrap_future(worker.submit(lambda load: load(path))))
        except Exception as error:  # whatever is wrong with a file, people go on answering
            logging.getLogger(__name__).error(
                "%s is not served, and the model %s still is: %s", path, studio.model[:12], error,
                exc_info=not isinstance(error, ValueError),
            )  # fmt: skip
        else:
            print(f"prior: {path}, served from now on", flush=True)

    def _stamp(self) -> tuple[Path, int, int, int] | None:
        """Which file it is; None where there is none at the moment."""
        try:
            path = self._find()
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return path, found.st_ino, found.st_mtime_ns, found.st_size
