"""Runs that are interrupted, resumed, made longer, or started from the weights of another: to the bit."""

import fcntl
import io
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning import Trainer
from safetensors.torch import load_file

from prefprior import checkpoint
from prefprior.callbacks.nan_guard import NanGuard
from prefprior.files import LOCK
from prefprior.models.schedulers import WarmupCosine
from prefprior.runs import read_metrics
from tests.commands import fails, run
from tests.training.runs import EPOCHS, QUICK, SHORT, equal, printed


def interrupted_at(step: int, folder: Path, *words: str) -> str:
    """The message of a training that is interrupted at a step."""

    def stop(self: NanGuard, trainer: Trainer, *rest: object) -> None:
        if trainer.global_step == step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NanGuard, "on_before_backward", stop)
        return fails(patch, folder, "train", *words)


@pytest.fixture(scope="module")
def broken(folder: Path) -> tuple[Path, str]:
    """A run interrupted in the middle of its third epoch, and what it said."""
    message = interrupted_at(7, folder, *QUICK, "run_dir=runs/train/broken")
    return folder / "runs/train/broken", message


@pytest.fixture(scope="module")
def resumed(broken: tuple[Path, str], folder: Path) -> tuple[Path, str]:
    """The same, gone on with to the end in a copy of its folder, and what was printed."""
    shutil.copytree(broken[0], folder / "runs/train/resumed")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        run(patch, folder, "train", *QUICK, "run_dir=runs/train/resumed")
    return folder / "runs/train/resumed", printed.getvalue()


def test_an_interrupted_run_prints_how_to_resume(broken: tuple[Path, str]) -> None:
    for words in ("python train.py", "run_dir=runs/train/broken", "To resume after epoch 1"):
        assert words in broken[1]


def test_an_interrupted_run_keeps_its_last_epoch(broken: tuple[Path, str]) -> None:
    assert torch.load(broken[0] / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6


def test_an_unfinished_run_does_not_count_as_finished(broken: tuple[Path, str]) -> None:
    assert not (broken[0] / "prior.safetensors").exists()


def test_an_interrupted_run_is_not_resumed_with_other_settings(
    broken: tuple[Path, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*QUICK, "run_dir=runs/train/broken", "optimizer.lr=0.5")
    assert "started with other" in fails(monkeypatch, folder, "train", *words)


def test_a_resumed_run_prints_from_which_epoch(resumed: tuple[Path, str]) -> None:
    assert "resuming runs/train/resumed after epoch 1" in resumed[1]


def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(resumed: tuple[Path, str], unbroken: Path) -> None:
    assert equal(unbroken, resumed[0])


def test_a_resumed_run_has_the_best_weights_of_an_uninterrupted_one(resumed: tuple[Path, str], unbroken: Path) -> None:
    one, other = (load_file(folder / "best.safetensors") for folder in (unbroken, resumed[0]))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_resumed_run_keeps_one_checkpoint(resumed: tuple[Path, str]) -> None:
    assert [file.name for file in (resumed[0] / "checkpoints").iterdir()] == ["last.ckpt"]


def test_a_resumed_run_keeps_earlier_metrics(resumed: tuple[Path, str]) -> None:
    assert pd.read_csv(resumed[0] / "metrics.csv")["val/loss"].notna().sum() == EPOCHS


def test_a_finished_run_is_not_trained_again(unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = fails(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/unbroken")
    assert "holds a finished run" in message


@pytest.fixture(scope="module")
def longer(unbroken: Path, folder: Path) -> tuple[Path, str]:
    """A finished run that was made longer, in a copy of its folder, and what was printed."""
    shutil.copytree(unbroken, folder / "runs/train/longer")
    words = (*SHORT, f"trainer.max_epochs={EPOCHS + 1}", "run_dir=runs/train/longer")
    return folder / "runs/train/longer", printed(folder, *words)


def test_a_finished_run_can_be_extended(longer: tuple[Path, str]) -> None:
    assert checkpoint.describe(longer[0] / "prior.safetensors")["facts"]["steps"] == 3 * (EPOCHS + 1)
    assert pd.read_csv(longer[0] / "metrics.csv")["val/loss"].notna().sum() == EPOCHS + 1


def test_an_extended_run_prints_how_the_learning_rate_changes(longer: tuple[Path, str]) -> None:
    schedule = WarmupCosine()
    rate = schedule.factor(3 * EPOCHS, 3 * (EPOCHS + 1))
    assert f"the run was started for {EPOCHS} epochs and is extended to {EPOCHS + 1} epochs" in longer[1]
    assert f"at {rate:.3g} of its peak (the old schedule would be at 0.02)" in longer[1]


def test_an_extended_run_uses_the_printed_learning_rate_from_its_first_step(longer: tuple[Path, str]) -> None:
    rows = pd.read_csv(longer[0] / "metrics.csv").dropna(subset="lr")
    logged = dict(zip(rows["step"], rows["lr"], strict=True))
    schedule = WarmupCosine()
    for step in range(3 * EPOCHS, 3 * (EPOCHS + 1)):
        assert logged[step] == pytest.approx(2e-3 * schedule.factor(step, 3 * (EPOCHS + 1)))


def test_an_extended_run_is_finished_again(
    longer: tuple[Path, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*QUICK, "run_dir=runs/train/longer")
    assert "To extend it, give a larger trainer.max_epochs" in fails(monkeypatch, folder, "train", *words)


def test_a_finished_run_without_lightning_checkpoint_proposes_a_warm_start(
    unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(unbroken, folder / "runs/train/bare", ignore=shutil.ignore_patterns("checkpoints"))
    message = fails(monkeypatch, folder, "train", *SHORT, "trainer.max_epochs=9", "run_dir=runs/train/bare")
    assert "init_from=runs/train/bare starts from its weights" in message


def test_init_from_starts_from_the_weights_of_another_run(unbroken: Path, folder: Path) -> None:
    words = (*SHORT, "debug=fast", "optimizer.lr=0", "callbacks.ema=null", "run_dir=runs/train/warm")
    assert "starting from the weights of runs/train/unbroken/prior" in printed(
        folder, *words, "init_from=runs/train/unbroken"
    )
    assert equal(unbroken, folder / "runs/train/warm"), "at a learning rate of 0 they stay"


@pytest.fixture(scope="module")
def late(unbroken: Path, folder: Path) -> Path:
    """A run that died after its last epoch, and was run again."""
    late = folder / "runs/train/late"
    shutil.copytree(unbroken, late)
    for name in ("prior.safetensors", "metrics.json", "metrics.csv"):
        (late / name).unlink()
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "train", *QUICK, "run_dir=runs/train/late")
    return late


def test_a_run_killed_after_its_last_epoch_has_the_ema_weights(late: Path, unbroken: Path) -> None:
    assert equal(unbroken, late)


@pytest.mark.parametrize("name", ["metrics.json", "metrics.csv"])
def test_a_run_killed_after_its_last_epoch_has_all_metrics(late: Path, unbroken: Path, name: str) -> None:
    assert (late / name).read_bytes() == (unbroken / name).read_bytes()


def test_metrics_are_written_before_a_run_counts_as_finished(
    unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    shutil.copytree(unbroken, folder / "runs/train/dies")
    for name in ("prior.safetensors", "metrics.json"):
        (folder / "runs/train/dies" / name).unlink()
    monkeypatch.setattr(checkpoint, "save", dies)
    with pytest.raises(SystemExit):
        run(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/dies")
    assert read_metrics(folder / "runs/train/dies") == read_metrics(unbroken)


def test_two_trainings_in_one_folder_are_refused(
    broken: tuple[Path, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(broken[0] / LOCK, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        message = fails(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/broken")
    assert "is writing into" in message
    assert "choose another run_dir" in message


def test_a_command_that_failed_to_start_leaves_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["experiment=table", "run_dir=runs/train/mine"]
    fails(monkeypatch, tmp_path, "train", *words, "source.ratings=nowhere.csv")
    assert not (tmp_path / "runs/train/mine/config.yaml").exists()


@pytest.fixture(scope="module")
def early(folder: Path) -> str:
    """The message of a run that was interrupted in its first epoch."""
    return interrupted_at(0, folder, *QUICK, "run_dir=runs/train/early")


def test_a_run_interrupted_in_its_first_epoch_prints_how_to_restart(early: str) -> None:
    assert "No epoch was finished. To start again" in early


def test_a_run_interrupted_in_its_first_epoch_restarts_with_a_message(
    early: str, unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/early")
    assert "interrupted in its first epoch: starting from the beginning" in capsys.readouterr().out
    assert equal(unbroken, folder / "runs/train/early")
