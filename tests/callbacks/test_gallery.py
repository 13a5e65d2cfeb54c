"""The gallery callback: the same validation users every few epochs, and a table for Weights & Biases."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from prefprior import checkpoint
from prefprior.callbacks.gallery import GalleryCallback
from prefprior.callbacks.wandb_logger import wandb_logger
from prefprior.config import build
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.files import read_json
from prefprior.gallery.manifest import read_manifest
from prefprior.models.module import PreferenceModule
from tests.small_run import NODES, make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("callback"))


@pytest.fixture
def data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> PreferenceDataModule:
    monkeypatch.chdir(folder)
    made = build(NODES["data"], source=build(NODES["source"]), embeddings=build(NODES["embeddings"]))
    made.setup()
    return made


def after_epoch(epoch: int, data: PreferenceDataModule, folder: Path, *loggers: Any, of: int = 100) -> Path:
    """Where the callback's gallery of an epoch is, after validation."""
    found = checkpoint.load("runs/train/one/prior.safetensors")
    module = PreferenceModule(model=found.model, objective=found.objective, optimizer=torch.optim.AdamW)
    trainer = SimpleNamespace(
        current_epoch=epoch - 1, sanity_checking=False, is_global_zero=True, datamodule=data, loggers=loggers,
        default_root_dir=folder, max_epochs=of,
    )  # fmt: skip
    GalleryCallback(people=2, n=2, every_n_epochs=5).on_validation_epoch_end(trainer, module)
    return folder / f"galleries/epoch-{epoch:04d}"


def people(gallery: Path) -> list[Path]:
    return sorted((gallery / "people").iterdir())


def test_it_shows_validation_users(data: PreferenceDataModule, tmp_path: Path) -> None:
    shown = people(after_epoch(5, data, tmp_path))
    assert len(shown) == 2
    assert {folder.name for folder in shown} <= set(data.users("val"))


def test_it_shows_the_same_users_every_time(data: PreferenceDataModule, tmp_path: Path) -> None:
    first, second = (people(after_epoch(epoch, data, tmp_path)) for epoch in (5, 10))
    assert [folder.name for folder in first] == [folder.name for folder in second]


def test_it_makes_nothing_before_its_epoch(data: PreferenceDataModule, tmp_path: Path) -> None:
    assert not after_epoch(6, data, tmp_path).exists()


def test_it_shows_the_last_epoch_of_a_short_training(data: PreferenceDataModule, tmp_path: Path) -> None:
    assert len(people(after_epoch(3, data, tmp_path, of=3))) == 2


def test_it_prints_that_it_made_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    GalleryCallback().on_train_end(SimpleNamespace(is_global_zero=True), None)
    assert "Lower callbacks.gallery.every_n_epochs" in capsys.readouterr().out


def test_its_pages_show_no_replay_command(data: PreferenceDataModule, tmp_path: Path) -> None:
    """The weights of an epoch are kept nowhere."""
    folder = people(after_epoch(5, data, tmp_path))[0]
    assert "python sample.py" not in (folder / "index.html").read_text()
    assert read_manifest(folder)["settings"]["command"] is None


def test_it_logs_a_table_to_an_offline_run(
    data: PreferenceDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    logger = wandb_logger(project="prefprior", folder=tmp_path / "logged")
    after_epoch(5, data, tmp_path / "logged", logger)
    logger.experiment.finish()
    (table,) = (tmp_path / "logged").rglob("gallery*.table.json")
    logged = read_json(table)
    assert logged["columns"] == ["person", "gallery", "better_than", "utility"]
    assert {row[0] for row in logged["data"]} <= set(data.users("val"))
    (kept,) = (tmp_path / "logged").rglob("*.wandb")  # what `wandb sync` uploads names the contact sheets
    for _ in range(300):  # W&B's own process writes it, a little after `finish` on a busy machine
        if kept.read_bytes().count(b"media/images/") == 2:
            break
        time.sleep(0.1)
    assert kept.read_bytes().count(b"media/images/") == 2
