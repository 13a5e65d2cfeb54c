"""An exponential moving average of the weights: what is validated, and what the checkpoint holds at the end."""

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class Ema(WeightAveraging):
    """Averages every step's weights; early on over fewer steps, so that where training began is soon forgotten."""

    def __init__(self, *, decay: float = 0.999, start_step: int = 0) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay must lie between 0 and 1, got {decay}")
        self.decay, self.start_step = decay, start_step

        def average(averages: list[Tensor], currents: list[Tensor], count: Tensor | int) -> None:
            """The averages take a step towards the current weights, in place."""
            with torch.no_grad():
                torch._foreach_lerp_(averages, currents, 1 - self.share_kept(int(count)))

        # Buffers hold constants (a space's scale, hashes of user ids), which must not be averaged.
        super().__init__(use_buffers=False, multi_avg_fn=average)

    def share_kept(self, count: int) -> float:
        """What is kept of an average of `count` steps: a tenth of the steps so far count, until `decay` is reached.

        Before `start_step` nothing is: the average is the weights themselves, and never those training began with.
        """
        averaged = count - self.start_step
        return 0.0 if averaged < 0 else min(self.decay, (1 + averaged) / (10 + averaged))

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every step."""
        return step_idx is not None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The averages lie where the weights will: they are not there yet when Lightning would look."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
