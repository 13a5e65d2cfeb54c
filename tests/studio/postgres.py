"""A PostgreSQL server of our own in a temporary folder, where its programs are installed."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

PROGRAMS = "/usr/lib/postgresql/*/bin"


def program(name: str) -> str:
    """Its path. Without it the test is skipped, but on a CI server it fails."""
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"{PROGRAMS}/{name}"), reverse=True)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("there is no PostgreSQL, and CI=true: .ci/run installs it")
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    return found


class Server:
    """A server with its data in a folder; it can go away and come back."""

    def __init__(self, folder: Path) -> None:
        # It refuses to be run by root.
        self._owner = "postgres" if os.geteuid() == 0 else None
        self._folder, self._data = folder, folder / "data"
        self._running: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        if self._owner is not None:
            shutil.chown(folder, self._owner)
        command = [program("initdb"), "-D", str(self._data), "-U", "studio", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run(command, check=True, **self._quiet)

    @property
    def url(self) -> str:
        """The name of a database can be added to it."""
        return f"postgresql+psycopg://studio@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Returns when it takes connections."""
        options = ["-p", str(self.port), "-k", str(self._folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        self._running = subprocess.Popen([program("postgres"), "-D", str(self._data), *options], **self._quiet)
        _wait(self.port, self._running)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT drops connections; SIGQUIT does not even bring its files into order."""
        assert self._running is not None
        self._running.send_signal(how)
        self._running.wait()

    @property
    def _quiet(self) -> dict[str, Any]:
        quiet = subprocess.DEVNULL
        return {"user": self._owner, "cwd": self._folder, "stdout": quiet, "stderr": quiet}


@contextmanager
def started() -> Iterator[Server]:
    """A new server."""
    program("initdb"), program("postgres")
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # nothing of it is needed any more


def create(url: str, name: str) -> str:
    """A new database; returns its URL."""
    with psycopg.connect(url.replace("+psycopg", "") + "postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return url + name


def _wait(port: int, running: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="studio", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            if running.poll() is not None:
                raise
            time.sleep(0.1)
    raise AssertionError("PostgreSQL did not start")
