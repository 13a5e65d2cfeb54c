"""An exponential moving average of the weights: what is validated, and what the checkpoint holds at the end."""

import torch
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

        # Buffers hold facts (a space's scale, hashes of people), of which an average would be another fact.
        super().__init__(use_buffers=False, multi_avg_fn=average)

    def share_kept(self, count: int) -> float:
        """What is kept of an average of `count` steps: a tenth of the steps so far count, until `decay` is reached."""
        return min(self.decay, (1 + count) / (10 + count))

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every step from `start_step` on."""
        return step_idx is not None and step_idx >= self.start_step
