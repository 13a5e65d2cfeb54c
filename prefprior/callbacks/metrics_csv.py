"""`metrics.csv`: what a training logged, row by row, also when it was interrupted.

Rows travel in Lightning's checkpoint. A run that goes on has those of the epochs it does not repeat, and no others; the
file is written from them. (Lightning's CSVLogger keeps them in the file alone: it deletes that of an interrupted run,
and what is killed while it adds a column loses all rows.)
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from prefprior.files import written_whole

NAME = "metrics.csv"
_KEY = "metrics"  # in Lightning's checkpoint


class MetricsCsv(Logger):
    """Writes every row as it comes; a column that comes later is empty in the rows before."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / NAME
        self.rows: list[dict[str, float]] = []
        self._columns: list[str] = []
        self._written = 0

    @property
    def name(self) -> str:
        """Not used: there is one file a run."""
        return ""

    @property
    def version(self) -> str:
        """Not used: there is one file a run."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The run's config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Takes one row."""
        self.rows.append({**metrics, "step": -1 if step is None else step})

    @rank_zero_only
    def save(self) -> None:
        """Adds the new rows to the file."""
        new = self.rows[self._written :]
        if set().union(*new) <= set(self._columns):
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns, lineterminator="\n").writerows(new)
            self._written = len(self.rows)
        else:
            self.write()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Has all rows on the disk."""
        self.write()

    def write(self) -> None:
        """Writes the whole file, if there is anything to write."""
        if not self.rows:
            return
        self._columns = sorted(set().union(*self.rows))
        with written_whole(self.path) as part, open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        self._written = len(self.rows)


class KeepMetrics(Callback):
    """Puts rows, and the latest value of every figure, into Lightning's checkpoint, and takes them from it."""

    def __init__(self, rows: MetricsCsv) -> None:
        self.rows = rows
        self.figures: dict[str, float] = {}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the last figures."""
        self._take(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """At the end of an epoch everything of it is logged."""
        self._take(trainer)
        checkpoint[_KEY] = {"rows": list(self.rows.rows), "figures": self.figures}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """As it was when the checkpoint was written."""
        self.restore(checkpoint)

    @rank_zero_only
    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Takes from a checkpoint what was put into it."""
        kept = checkpoint.get(_KEY, {"rows": [], "figures": {}})
        self.rows.rows, self.figures = list(kept["rows"]), dict(kept["figures"])
        self.rows.write()

    def _take(self, trainer: Trainer) -> None:
        self.figures |= {name: float(value) for name, value in trainer.callback_metrics.items()}
