"""Lightning's trainer as the commands use it: silent about itself, and with a word for people where it stops."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning
from lightning.pytorch.accelerators.cpu import CPUAccelerator

from prefprior.config import build
from prefprior.processes import cores

# What Lightning and torch say of their own doings, which is no news to who uses the commands.
REMARKS = (
    ".*treespec.*",
    ".*Experiment logs directory.*",
    ".*logging interval.*",
    ".*does not have many workers.*",
    ".*predict returned None.*",
)
# What it says only where it was asked to: trainer.profiler and trainer.enable_model_summary.
ASKED_FOR = ("lightning.pytorch.profilers", "lightning.pytorch.callbacks.model_summary")


def build_trainer(node: Any, **runtime: Any) -> lightning.Trainer:
    """The trainer that a configuration asks for; what Lightning cannot make of it is a ValueError.

    Its remarks on devices, loggers and loaders are left out from here on.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for name in ASKED_FOR:
        logging.getLogger(name).setLevel(logging.INFO)
    for message in REMARKS:
        warnings.filterwarnings("ignore", message)
    trainer: lightning.Trainer = build(node, **runtime)
    _require_cores(trainer)
    return trainer


def _require_cores(trainer: lightning.Trainer) -> None:
    """Raises where more processes would be started on a CPU than there are cores."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    started_here = environment is None or not environment.creates_processes_externally
    most = max(cores(), 2)  # two on one core are slow, but how one sees that something works with two
    if isinstance(trainer.accelerator, CPUAccelerator) and started_here and trainer.num_devices > most:
        raise ValueError(
            f"trainer.devices={trainer.num_devices} would start as many processes on {cores()} cores. Give "
            f"trainer.devices={most} or fewer; or start them yourself, and as many as you like: "
            f"torchrun --nproc-per-node={trainer.num_devices} with the same command and run_dir=..."
        )


@contextmanager
def stopped_by_hand(trainer: lightning.Trainer, message: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C while the trainer runs becomes a ValueError whose message says what is whole and how to go on."""
    try:
        yield
    except SystemExit:  # what Lightning makes of Ctrl-C, after it has put everything down
        if not trainer.interrupted:
            raise
        raise ValueError(message()) from None
