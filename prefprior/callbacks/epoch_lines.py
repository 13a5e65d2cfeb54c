"""Progress for output that is no terminal (a file, a pipe, a cluster's log): a line an epoch."""

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

SHOWN = ("train/loss", "val/loss", "lr")


class EpochLines(ProgressBar):
    """Prints losses, learning rate and what else is meant for a progress bar; on the first process alone."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled, self._started = True, 0.0

    def enable(self) -> None:
        """Lightning asks for it."""
        self._enabled = True

    def disable(self) -> None:
        """On all processes but the first."""
        self._enabled = False

    def on_train_epoch_start(self, trainer: Trainer, *rest: Any) -> None:
        """From here seconds are counted."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After validation."""
        if not self._enabled:
            return
        known = trainer.callback_metrics | trainer.progress_bar_metrics
        names = [*SHOWN, *sorted(set(trainer.progress_bar_metrics) - set(SHOWN))]
        figures = ", ".join(f"{name} {float(known[name]):.4g}" for name in names if name in known)
        of = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        seconds = time.monotonic() - self._started
        print(f"epoch {trainer.current_epoch + 1}{of}: {figures}; {seconds:.1f} s", flush=True)
