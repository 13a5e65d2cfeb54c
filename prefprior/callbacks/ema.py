"""An exponential moving average of the weights: what is validated, and what the checkpoint holds at the end."""

from lightning.pytorch.callbacks import EMAWeightAveraging


class Ema(EMAWeightAveraging):
    """Lightning's averaging with typed arguments, so that a mistyped one is found when the command starts."""

    def __init__(self, *, decay: float = 0.999, every: int = 1, start_step: int = 0) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay must lie between 0 and 1, got {decay}")
        # Buffers are constants here (a space's statistics, frequencies): averaged, they would drift by rounding.
        super().__init__(decay=decay, update_every_n_steps=every, update_starting_at_step=start_step, use_buffers=False)
