"""Lightning's trainer as the commands use it: without its own messages, and with ours when it is interrupted."""

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning
from lightning.pytorch.accelerators.cpu import CPUAccelerator
from lightning.pytorch.callbacks import Callback

from prefprior.config import DEVICE_REMEDY, build, plain_node
from prefprior.errors import require_choice
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
# Weights are in 32 bits: what computes in fewer does so under autocast.
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
# Lightning divides by these, and takes 0 without a word.
DIVISORS = ("accumulate_grad_batches", "val_check_interval", "check_val_every_n_epoch")


class EndsAtSigterm(Callback):
    """Has a loop of predictions end at SIGTERM as it would have before.

    Lightning only takes a note of the signal, which training reads and predicting does not: it goes on to the end.
    """

    def __init__(self) -> None:
        self._before = signal.getsignal(signal.SIGTERM)

    def on_predict_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """After Lightning has set its own handler, which it takes back in the end."""
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            signal.signal(signal.SIGTERM, self._before)


def build_trainer(node: Any, **runtime: Any) -> lightning.Trainer:
    """The trainer that a configuration asks for; what Lightning cannot make of it is a ValueError.

    Its remarks on devices, loggers and loaders are left out from here on.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for name in ASKED_FOR:
        logging.getLogger(name).setLevel(logging.INFO)
    for message in REMARKS:
        warnings.filterwarnings("ignore", message)
    try:
        trainer: lightning.Trainer = build(node, lightning.Trainer, **runtime)
    except (TypeError, RuntimeError, ImportError) as error:  # Lightning has no exception of its own for these
        told = str(error).rstrip(". \n") or type(error).__name__
        raise ValueError(f"the trainer cannot be created: {told}.{DEVICE_REMEDY}") from error
    trainer.callbacks.append(EndsAtSigterm())  # type: ignore[attr-defined]
    _require_cores(trainer)
    require_choice("trainer.precision", str(trainer.precision), PRECISIONS)
    for name in DIVISORS:
        if isinstance(value := plain_node(node).get(name), int | float) and value <= 0:
            raise ValueError(f"trainer.{name} must be above 0, got {value}")
    return trainer


def _require_cores(trainer: lightning.Trainer) -> None:
    """Raises where more processes would be started on a CPU than there are cores."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    started_here = environment is None or not environment.creates_processes_externally
    most = max(cores(), 2)  # two on one core are slow, but how one sees that something works with two
    if isinstance(trainer.accelerator, CPUAccelerator) and started_here and trainer.num_devices > most:
        raise ValueError(
            f"trainer.devices={trainer.num_devices} would start {trainer.num_devices} processes on "
            f"{cores()} cores. Give trainer.devices={most} or fewer, or start any number yourself: "
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
