"""What every test lives under: no network, few threads, no leftovers of Hydra, a GPU where it is marked to need one."""

import os
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the commands that tests start

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from tests.broken.case import READER

# Several test processes share the cores; threads that wait for each other's cores cost more than they bring.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what is marked `gpu` where there is none; what is marked `browser` asks for one in tests/browser.py."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many broken inputs each reader refused as it should, where tests/broken ran."""
    readers = Counter(
        str(value)
        for report in terminalreporter.getreports("passed")
        if report.when == "call"
        for name, value in report.user_properties
        if name == READER
    )
    if readers:
        terminalreporter.section("broken inputs, each refused with file, place and remedy")
        for reader, count in sorted(readers.items()):
            terminalreporter.write_line(f"{count:5}  {reader}")
        terminalreporter.write_line(f"{readers.total():5}  in all")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection that would leave this machine fails the test (loopback stays: DDP's processes meet there)."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if self.family != socket.AF_UNIX and host not in {"127.0.0.1", "localhost", "::1"}:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def fresh_hydra() -> Iterator[None]:
    """Hydra keeps one global state a process."""
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()
