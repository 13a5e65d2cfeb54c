"""`metrics.csv`: every row, whatever column comes late, and those of before an interruption."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lightning import LightningModule, Trainer

from prefprior.callbacks.metrics_csv import NAME, KeepMetrics, MetricsCsv


def logged(folder: Path, *rows: dict[str, float]) -> MetricsCsv:
    """A logger that has logged some rows, one a step."""
    logger = MetricsCsv(folder)
    for step, row in enumerate(rows):
        logger.log_metrics(row, step)
        logger.save()
    return logger


def test_rows_are_written_immediately(tmp_path: Path) -> None:
    logged(tmp_path, {"loss": 2.0}, {"loss": 1.0})
    assert (tmp_path / NAME).read_text() == "loss,step\n2.0,0\n1.0,1\n"


def test_a_new_column_is_empty_in_earlier_rows(tmp_path: Path) -> None:
    logged(tmp_path, {"loss": 2.0}, {"val": 1.0}, {"loss": 1.0})
    assert (tmp_path / NAME).read_text() == "loss,step,val\n2.0,0,\n,1,1.0\n1.0,2,\n"


def test_a_restarted_run_drops_earlier_rows(tmp_path: Path) -> None:
    logged(tmp_path, {"loss": 3.0})
    logged(tmp_path, {"loss": 2.0})
    assert (tmp_path / NAME).read_text() == "loss,step\n2.0,0\n"


def test_a_resumed_run_has_only_the_rows_of_its_checkpoint(tmp_path: Path) -> None:
    before = logged(tmp_path, {"loss": 3.0}, {"loss": 2.0})
    kept: dict[str, Any] = {}
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    KeepMetrics(before).on_save_checkpoint(trainer, LightningModule(), kept)
    before.log_metrics({"loss": 9.0}, 2)  # after the checkpoint, and cut short by the kill
    before.save()
    (tmp_path / NAME).write_text((tmp_path / NAME).read_text()[:-2])
    after = MetricsCsv(tmp_path)
    KeepMetrics(after).restore(kept)
    assert (tmp_path / NAME).read_text() == "loss,step\n3.0,0\n2.0,1\n"
    after.log_metrics({"loss": 1.0}, 2)
    after.save()
    assert pd.read_csv(tmp_path / NAME)["loss"].tolist() == [3, 2, 1]


@pytest.mark.parametrize("status", ["success", "failed"])
def test_a_run_without_metrics_does_not_change_the_file(tmp_path: Path, status: str) -> None:
    logged(tmp_path, {"loss": 3.0})
    MetricsCsv(tmp_path).finalize(status)
    assert (tmp_path / NAME).read_text() == "loss,step\n3.0,0\n"
