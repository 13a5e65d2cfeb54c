"""`serve.py` as a command, with visits in the place of a server that runs until it is stopped."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from prefprior.checkpoint import describe
from prefprior.gallery.manifest import file_hash
from prefprior.runs import save_config
from prefprior.space import Space
from tests.small_run import NODES, make_run, save_prior
from tests.studio.visiting import Person

SMALL = ("tastes=8", "imagined=2", "reference=16", "calibrate_shown=2", "moves.below=0", "making.n=2", "port=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("serve"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What people find, in the place of a server that runs until it is stopped."""
    found: list[Any] = []

    def visited(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        with TestClient(self.config.app, follow_redirects=False) as client:
            person = Person(client)
            for mode in ("nine", "pair", "rate"):
                found.append(len(person.shown(mode)) if client.get(f"/ask/{mode}").status_code == 200 else None)
            found.append(len(person.strip()))

    monkeypatch.setattr(uvicorn.Server, "run", visited)
    return found


@pytest.fixture
def readied(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[TestClient], None]], None]:
    """Runs a test in the place of a server, which looks for new checkpoints all the time."""

    def visited_by(test: Callable[[TestClient], None]) -> None:
        def visited(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
            with TestClient(self.config.app, follow_redirects=False) as client:
                test(client)

        monkeypatch.setattr(uvicorn.Server, "run", visited)

    monkeypatch.setattr("prefprior.studio.renewal.LOOKING_SECONDS", 0.02)
    return visited_by


def gone_on(path: Path, name: str, **more: Any) -> str:
    """Finishes a run that went on from a checkpoint; returns what the studio calls it."""
    made = path.parent.with_name(name) / path.name
    made.parent.mkdir()
    save_config(made.parent, {"init_from": str(path.parent)})
    save_prior(made, Space.from_dict(describe(path)["space"]), NODES, round=7, choices={"experiment": "app", **more})
    return file_hash(made)
