"""The best weights are those that gave the best figure, and a figure that is not there is named."""

from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.trainer.states import TrainerFn

from prefprior.callbacks.best import KeepBest, in_order
from prefprior.callbacks.ema import Ema


def saved(values: list[float], keep: KeepBest | None = None, **settings: Any) -> list[int]:
    """The epochs whose weights were saved, when validation gives these values."""
    found: list[int] = []
    keep = keep or KeepBest(monitor="val/x", save=lambda trainer, module, facts: None, **settings)
    keep.save = lambda trainer, module, facts: found.append(facts["best"]["epoch"])
    for epoch, value in enumerate(values):
        keep.on_validation_epoch_end(validated({"val/x": value}, epoch), None)
    return found


def validated(figures: dict[str, float], epoch: int = 0, fn: str = TrainerFn.FITTING) -> Any:
    state = SimpleNamespace(fn=fn)
    return SimpleNamespace(
        sanity_checking=False, state=state, callback_metrics=figures, current_epoch=epoch, global_step=3
    )


@pytest.mark.parametrize(("mode", "epochs"), [("min", [0, 2]), ("max", [0, 1, 3])])
def test_better_weights_are_saved(mode: str, epochs: list[int]) -> None:
    assert saved([2.0, 3.0, 1.0, 4.0], mode=mode) == epochs


def test_a_resumed_run_keeps_its_best_value() -> None:
    first = KeepBest(monitor="val/x", save=lambda trainer, module, facts: None)
    saved([2.0, 1.0], first)
    again = KeepBest(monitor="val/x", save=lambda trainer, module, facts: None)
    again.load_state_dict(first.state_dict())
    assert saved([1.5, 0.5], again) == [1]


def test_an_unknown_monitor_is_refused_with_the_nearest_name() -> None:
    keep = KeepBest(monitor="val/los", save=lambda trainer, module, facts: None)
    with pytest.raises(ValueError, match=r"monitor is 'val/los'; .* did you mean val/loss\?"):
        keep.on_validation_epoch_end(validated({"val/loss": 1.0, "val/denoising": 1.0}), None)


def test_validation_outside_training_saves_nothing() -> None:
    keep = KeepBest(monitor="val/x", save=lambda trainer, module, facts: pytest.fail("saved"))
    keep.on_validation_epoch_end(validated({"val/x": 1.0}, fn=TrainerFn.VALIDATING), None)


def test_it_runs_before_ema_restores_the_weights() -> None:
    keep, ema = KeepBest(monitor="val/x", save=lambda trainer, module, facts: None), Ema()
    assert in_order([ema, keep]) == [keep, ema]


def test_a_mode_is_min_or_max() -> None:
    with pytest.raises(ValueError, match="did you mean min"):
        KeepBest(monitor="val/x", mode="mn", save=lambda trainer, module, facts: None)
