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
