"""Runs a command of the project inside the test's own process: the real entry, without the seconds of a new Python."""

import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from prefprior import commands

# A world small enough for a test: everything else as it ships.
SMALL_WORLD = ("source.people=240", "source.pictures=240", "prior=tiny", "data.batch_size=32", "data.epoch_batches=3")


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, command: str, *words: str, called: str | None = None) -> None:
    """`python <command>.py <words>` in a folder, or the same command as an installed one is `called`."""
    GlobalHydra.instance().clear()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [called or f"{command}.py", *words])
    getattr(commands, command)()


def fails(monkeypatch: pytest.MonkeyPatch, folder: Path, command: str, *words: str, called: str | None = None) -> str:
    """The message with which a command stops."""
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, folder, command, *words, called=called)
    assert isinstance(caught.value.code, str), "a message, not a bare exit code"
    assert caught.value.code.startswith("error: ")
    return caught.value.code
