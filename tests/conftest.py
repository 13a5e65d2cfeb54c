"""What every test lives under: no network, few threads, no leftovers of Hydra."""

import os
import socket

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the commands that tests start

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

# Several test processes share the cores; threads that wait for each other's cores cost more than they bring.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection that would leave this machine fails the test (loopback stays: DDP's processes meet there)."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address):  # type: ignore[no-untyped-def]
        host = address[0] if isinstance(address, tuple) else ""
        if self.family != socket.AF_UNIX and host not in {"127.0.0.1", "localhost", "::1"}:
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def fresh_hydra():  # type: ignore[no-untyped-def]
    """Hydra keeps one global state a process."""
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()
