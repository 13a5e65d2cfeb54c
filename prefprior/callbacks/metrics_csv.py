"""`metrics.csv` over time, also when a run was interrupted: what was logged before is kept."""

from pathlib import Path

import pandas as pd
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from prefprior.files import written_whole

NAME = "metrics.csv"
EARLIER = "metrics-earlier.csv"


def csv_logger(folder: Path) -> CSVLogger:
    """Lightning's CSV logger writing straight into the run's folder.

    It deletes what an interrupted run had logged, so that is put aside first; `JoinMetrics` puts it back.
    """
    if (folder / NAME).is_file():
        _join(folder, before_step=None)
        (folder / NAME).replace(folder / EARLIER)
    return CSVLogger(folder.parent, name=folder.name, version="")


class JoinMetrics(Callback):
    """At the end, puts the rows of before an interruption in front of the new ones."""

    def __init__(self) -> None:
        self._begun_at = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rows from this step on were logged twice: those of the run that goes on count."""
        self._begun_at = trainer.global_step

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Joins, once the logger has written its last row."""
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger) and trainer.is_global_zero:
                logger.save()
                _join(Path(logger.log_dir), before_step=self._begun_at)


def _join(folder: Path, before_step: int | None) -> None:
    earlier, logged = folder / EARLIER, folder / NAME
    if not earlier.is_file():
        return
    rows = [pd.read_csv(earlier)]
    if before_step is not None:
        rows = [rows[0][rows[0]["step"] < before_step]]
    if logged.is_file():
        rows.append(pd.read_csv(logged))
    with written_whole(logged) as part:
        pd.concat(rows).to_csv(part, index=False)
    earlier.unlink()
