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


@contextmanager
def started() -> Iterator[str]:
    """A URL to which the name of a database can be added."""
    initdb, server = program("initdb"), program("postgres")
    # It refuses to be run by root.
    owner = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port, data = free.getsockname()[1], Path(folder) / "data"
        free.close()
        if owner is not None:
            shutil.chown(folder, owner)
        quiet = {"user": owner, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [initdb, "-D", str(data), "-U", "studio", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run(command, check=True, **quiet)  # type: ignore[call-overload]
        options = ["-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        running = subprocess.Popen([server, "-D", str(data), *options], **quiet)  # type: ignore[call-overload]
        try:
            _wait(port, running)
            yield f"postgresql+psycopg://studio@127.0.0.1:{port}/"
        finally:
            running.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed any more
            running.wait()


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
