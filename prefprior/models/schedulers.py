"""How the learning rate moves during training: a factor of `optimizer.lr` for each step of all the steps there are."""

import math
from abc import ABC, abstractmethod

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class Scheduler(ABC):
    """The factor by which each step's learning rate differs from `optimizer.lr`.

    A function of the step and of the number of steps alone: nothing of it has to be saved for a run to go on, and a
    run that is made longer follows the longer run's schedule from there.
    """

    needs_end = True  # whether it must know how many steps there are

    @abstractmethod
    def factor(self, step: int, steps: int) -> float:
        """The factor of a step, counted from 0, of `steps`."""

    def attach(self, optimizer: Optimizer, steps: float) -> LambdaLR:
        """Torch's scheduler of an optimizer; `steps` may be infinite."""
        if self.needs_end and not math.isfinite(steps):
            raise ValueError(
                f"{type(self).__name__} needs to know the number of steps: give trainer.max_epochs or "
                "trainer.max_steps, or choose scheduler=constant"
            )
        return LambdaLR(optimizer, lambda step: self.factor(step, int(steps) if math.isfinite(steps) else 0))


class WarmupCosine(Scheduler):
    """Rises linearly, then falls along a cosine (Loshchilov and Hutter 2017, without restarts)."""

    def __init__(self, *, warmup: float = 0.05, final_lr: float = 0.02) -> None:
        """`warmup` is the share of the steps in which the rate rises, `final_lr` what is left of it at the end."""
        if not 0 <= warmup < 1 or not 0 <= final_lr <= 1:
            raise ValueError(f"warmup and final_lr must be fractions between 0 and 1, got {warmup} and {final_lr}")
        self.warmup, self.final_lr = warmup, final_lr

    def factor(self, step: int, steps: int) -> float:
        """Above 0 from the first step on."""
        warm = max(1, round(self.warmup * steps))
        if step < warm:
            return (step + 1) / warm
        progress = min(1.0, (step - warm) / max(1, steps - warm))
        return self.final_lr + (1 - self.final_lr) * (1 + math.cos(math.pi * progress)) / 2


class Constant(Scheduler):
    """The same rate to the end, after a linear rise over the first steps."""

    needs_end = False

    def __init__(self, *, warmup_steps: int = 0) -> None:
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps must be at least 0, got {warmup_steps}")
        self.warmup_steps = warmup_steps

    def factor(self, step: int, steps: int) -> float:
        """Knows no end."""
        return min(1.0, (step + 1) / max(1, self.warmup_steps))


class OneCycle(Scheduler):
    """Up along one half of a cosine and down along another, far below where it began (Smith and Topin 2018).

    Betas stay as they are: only the rate cycles.
    """

    def __init__(self, *, rise: float = 0.3, first_lr: float = 0.04, final_lr: float = 4e-6) -> None:
        """`rise` is the share of the steps before the peak; `first_lr` and `final_lr` are shares of the peak."""
        if not 0 < rise < 1 or not 0 <= first_lr <= 1 or not 0 <= final_lr <= 1:
            raise ValueError(
                f"rise, first_lr and final_lr must be fractions between 0 and 1, got {rise}, {first_lr} and {final_lr}"
            )
        self.rise, self.first_lr, self.final_lr = rise, first_lr, final_lr

    def factor(self, step: int, steps: int) -> float:
        """As torch's OneCycleLR has it."""
        peak, last = self.rise * steps - 1, steps - 1
        if step <= peak:
            return _cosine(self.first_lr, 1.0, step / max(peak, 1e-9))
        return _cosine(1.0, self.final_lr, min(1.0, (step - peak) / max(last - peak, 1e-9)))


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
