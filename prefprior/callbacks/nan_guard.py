"""Stops a run whose loss or gradient is no longer a number, before the weights are touched."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer


class NanGuard(Callback):
    """Raises when the loss, or the gradient, is NaN or infinite; the last checkpoint is then still good.

    Reading a number from a GPU waits for it, so there `every` may be raised; a step between two looks can then have
    spoiled the weights in memory, which is why checkpoints are also looked at before they are written.
    """

    def __init__(self, *, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.every = every

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Looks at the loss."""
        if trainer.global_step % self.every == 0 and not torch.isfinite(loss).item():
            self._stop(trainer, "the loss")

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Looks at the gradient; under fp16 infinite gradients are the scaler's business, not a fault."""
        if trainer.global_step % self.every or trainer.precision == "16-mixed":
            return
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        if gradients and not torch.isfinite(torch.stack(torch._foreach_norm(gradients))).all().item():
            self._stop(trainer, "a gradient")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuses to write spoiled weights over good ones."""
        for name, value in checkpoint["state_dict"].items():
            if value.is_floating_point() and not torch.isfinite(value).all().item():
                self._stop(trainer, f"the weight {name}")

    def _stop(self, trainer: Trainer, what: str) -> None:
        keep = trainer.checkpoint_callback
        paths = [getattr(keep, name, "") for name in ("last_model_path", "best_model_path")]
        last = next((path for path in paths if path), "none yet")
        raise ValueError(
            f"{what} is NaN or infinite at step {trainer.global_step} (epoch {trainer.current_epoch}). "
            f"Last good checkpoint: {last}. Lower optimizer.lr or trainer.gradient_clip_val, or train "
            "with trainer.precision=32-true."
        )
