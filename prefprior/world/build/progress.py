"""Lets a training that was interrupted go on: everything it depends on is kept in one file, now and then."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from prefprior.files import written_whole


class Stateful(Protocol):
    """A module, optimizer or schedule: what has a state to keep."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Progress:
    """The state of one training, kept at `path` every so many seconds and removed when the training is done."""

    def __init__(
        self, *, path: Path, parts: Mapping[str, Stateful], generator: torch.Generator, seconds: float = 240.0
    ) -> None:
        self.path = path
        self.parts = parts
        self.generator = generator
        self.seconds = seconds
        self.kept = time.monotonic()

    def restore(self) -> int:
        """Put everything back as it was kept; the step to go on with, 0 where nothing was kept."""
        if not self.path.is_file():
            return 0
        state = torch.load(self.path, weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        return int(state["step"])

    def keep(self, step: int) -> None:
        """Keep the state, if the last time was long enough ago; `step` is the next to be done."""
        if time.monotonic() - self.kept < self.seconds:
            return
        state = {name: part.state_dict() for name, part in self.parts.items()}
        with written_whole(self.path, RuntimeError) as part:  # the latter is how torch reports a full disk
            torch.save(state | {"generator": self.generator.get_state(), "step": step}, part)
        self.kept = time.monotonic()

    def done(self) -> None:
        """Forget the state: its result is written."""
        self.path.unlink(missing_ok=True)
