"""Lightning's trainer as the commands use it."""

import logging

import lightning
import pytest

from prefprior.trainer import build_trainer, stopped_by_hand

NODE = {"_target_": "lightning.Trainer", "accelerator": "cpu", "devices": 1}
SILENT = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


@pytest.fixture(scope="module")
def trainer() -> lightning.Trainer:
    return build_trainer(NODE, **SILENT)


def test_it_says_nothing_of_itself(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO)
    build_trainer(NODE, **SILENT)
    said = "".join(capfd.readouterr())
    assert not said


def test_a_stop_by_hand_ends_in_the_message(trainer: lightning.Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightning.Trainer, "interrupted", True)
    with (
        pytest.raises(ValueError, match="two of three are whole"),
        stopped_by_hand(trainer, lambda: "two of three are whole"),
    ):
        raise SystemExit(1)


def test_any_other_exit_is_left_alone(trainer: lightning.Trainer) -> None:
    with pytest.raises(SystemExit), stopped_by_hand(trainer, lambda: "never said"):
        raise SystemExit(3)


MANY = {**NODE, "strategy": "ddp", "devices": 999}


def test_more_processes_than_cores_are_refused_with_the_way_out() -> None:
    expected = r"trainer\.devices=999 would start as many processes on .* torchrun --nproc-per-node=999"
    with pytest.raises(ValueError, match=expected):
        build_trainer(MANY, **SILENT)


def test_processes_that_somebody_else_started_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"WORLD_SIZE": "999", "LOCAL_WORLD_SIZE": "999", "RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}
    for name, value in {**size, "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    assert build_trainer(MANY, **SILENT).num_devices == 999
