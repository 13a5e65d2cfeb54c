"""The small studio, served by a process that is forked from one with all imports: a fresh Python takes seconds."""

import multiprocessing
import os
import signal
import socket
import time
from multiprocessing.process import BaseProcess

import torch
import uvicorn

from prefprior.studio.store.database import Database
from prefprior.studio.web.app import create_app
from tests.studio.small import (
    MANY,
    small_cast,
    small_catalogue,
    small_inference,
    small_pictures,
    small_pool,
    small_studio,
)


class Serving:
    """A server on a port of its own, which can be killed and started again."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._process: BaseProcess | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    @property
    def address(self) -> str:
        """For clients."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it takes connections."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._process = context.Process(target=_serve, args=(self.url, self.port))
        self._process.start()
        while self._process.is_alive():
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise AssertionError(f"the server ended with {self._process.exitcode}")

    def kill(self) -> None:
        """Ends it at once, with whatever it does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Asks it to end, and requires that it does so in order."""
        assert self._end(signal.SIGTERM) in (0, -signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int | None:
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, how)
        self._process.join()
        return self._process.exitcode


def _serve(url: str, port: int) -> None:
    torch.set_num_threads(1)
    database = Database.open(url)
    database.claim()
    catalogue = small_catalogue()
    cast = small_cast(catalogue)
    inference = small_inference(cast, small_pool(cast))
    studio = small_studio(database, inference, catalogue, small_pictures(catalogue))
    studio.files.recover()
    uvicorn.run(create_app(studio, rates=MANY), host="127.0.0.1", port=port, log_level="error", access_log=False)
