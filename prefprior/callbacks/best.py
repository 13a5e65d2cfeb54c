"""Keeps the weights of the epoch with the best validation figure, beside the last ones."""

from collections.abc import Callable
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

from prefprior.errors import require_choice

Save = Callable[[Trainer, LightningModule, dict[str, Any]], None]


class KeepBest(Callback):
    """Calls `save` whenever validation gave the best figure so far, while the weights that gave it are in place.

    With averaged weights those are the averages. Lightning's ModelCheckpoint, told to keep weights alone, would leave
    out the callbacks, and write the weights of the step instead.
    """

    def __init__(self, *, monitor: str, mode: str = "min", save: Save) -> None:
        """`save` is called on every process, with what is to be said of the weights."""
        require_choice("mode", mode, ("min", "max"))
        self.monitor, self.mode, self.save = monitor, mode, save
        self.value: float | None = None

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Must come before the average steps back, as `in_order` sees to."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        known = [name for name in trainer.callback_metrics if name.startswith("val/")]
        if self.monitor not in trainer.callback_metrics:
            require_choice("monitor", self.monitor, known)
        value = float(trainer.callback_metrics[self.monitor])
        if self.value is None or (value < self.value if self.mode == "min" else value > self.value):
            self.value = value
            facts = {"monitor": self.monitor, "value": value, "epoch": trainer.current_epoch}
            self.save(trainer, pl_module, {"steps": trainer.global_step, "best": facts})

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must not forget."""
        return {"value": self.value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self.value = state_dict["value"]


def in_order(callbacks: list[Any]) -> list[Any]:
    """Those that look at validated weights first: averaged weights step back in the same hook."""
    return sorted(callbacks, key=lambda callback: not isinstance(callback, KeepBest))
