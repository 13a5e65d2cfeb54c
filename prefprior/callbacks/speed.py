"""Training speed in users per second, on the progress bar and in the logs."""

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer


class Speed(Callback):
    """Logs `people_per_s` over a sliding window, summed over ranks."""

    def __init__(self, *, window: int = 20) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1, got {window}")
        self.window = window
        self._marks: list[tuple[float, int]] = []  # (when a step ended, users seen until then)
        self._seen = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validation and checkpoints between epochs are not training time."""
        self._marks = [(time.perf_counter(), self._seen)]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the batch and logs the rate."""
        self._seen += len(batch) * trainer.world_size
        self._marks = [*self._marks[-self.window :], (time.perf_counter(), self._seen)]
        (start, before), (now, after) = self._marks[0], self._marks[-1]
        if now > start:
            pl_module.log("people_per_s", (after - before) / (now - start), prog_bar=True, batch_size=len(batch))
