"""Lightning's trainer as the commands use it."""

import logging
import os
import re
import signal
import types

import lightning
import pytest
from torch.utils.data import DataLoader

from prefprior.trainer import build_trainer, stopped_by_hand

NODE = {"_target_": "lightning.Trainer", "accelerator": "cpu", "devices": 1}
SILENT = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


@pytest.fixture(scope="module")
def trainer() -> lightning.Trainer:
    return build_trainer(NODE, **SILENT)


def test_building_a_trainer_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO)
    build_trainer(NODE, **SILENT)
    said = "".join(capfd.readouterr())
    assert not said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"precision": "16-true"}, "trainer.precision is '16-true'; it must be one of 32-true, bf16-mixed, 16-mixed"),
        ({"precision": "64-true"}, "trainer.precision is '64-true'"),
        ({"accumulate_grad_batches": 0}, "trainer.accumulate_grad_batches must be above 0, got 0"),
        ({"val_check_interval": 0.0}, "trainer.val_check_interval must be above 0, got 0.0"),
        ({"accelerator": "tpu"}, "the trainer cannot be created: Requirement 'torch_xla"),
        (
            {"devices": "x"},
            "`devices` selected with `CPUAccelerator` should be an int > 0. Choose a device of this machine",
        ),
    ],
)
def test_invalid_trainer_arguments_are_explained(words: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        build_trainer({**NODE, **words}, **SILENT)


def test_an_interrupt_ends_with_the_message(trainer: lightning.Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightning.Trainer, "interrupted", True)
    with (
        pytest.raises(ValueError, match="two of three are whole"),
        stopped_by_hand(trainer, lambda: "two of three are whole"),
    ):
        raise SystemExit(1)


def test_other_exits_are_passed_on(trainer: lightning.Trainer) -> None:
    with pytest.raises(SystemExit), stopped_by_hand(trainer, lambda: "never said"):
        raise SystemExit(3)


class Killed(lightning.LightningModule):
    """Sends itself what `kill` sends, at each of its steps."""

    def predict_step(self, batch: int, batch_idx: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_predicting_ends_at_sigterm() -> None:
    def end(signum: int, frame: types.FrameType | None) -> None:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, end)
    try:
        with pytest.raises(SystemExit, match="143"):
            build_trainer(NODE, **SILENT).predict(Killed(), DataLoader([0, 1], batch_size=None))
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, before)


MANY = {**NODE, "strategy": "ddp", "devices": 999}


def test_more_processes_than_cores_are_refused_with_the_remedy() -> None:
    expected = r"trainer\.devices=999 would start 999 processes on .* torchrun --nproc-per-node=999"
    with pytest.raises(ValueError, match=expected):
        build_trainer(MANY, **SILENT)


def test_processes_started_by_a_launcher_are_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"WORLD_SIZE": "999", "LOCAL_WORLD_SIZE": "999", "RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}
    for name, value in {**size, "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    assert build_trainer(MANY, **SILENT).num_devices == 999
