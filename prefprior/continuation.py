"""What a training finds in its folder: nothing, an interrupted run, or a finished one that may be made longer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prefprior.callbacks.whole_checkpoints import require_undamaged
from prefprior.checkpoint import describe
from prefprior.models.schedulers import Scheduler
from prefprior.runs import CHECKPOINT, CONFIG, differing_keys, read_config

# Where a run lies, what it reports and when it ends may change when it goes on; what it learns, and how, may not.
MAY_DIFFER = (
    "run_dir", "logger", "debug", "trainer.max_epochs", "trainer.max_steps", "trainer.enable_progress_bar",
    "trainer.enable_model_summary", "trainer.profiler",
)  # fmt: skip


@dataclass(frozen=True)
class End:
    """Where a training ends; None or -1 is how Lightning says that there is no last epoch or step."""

    epochs: int | None
    steps: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> "End":
        """The end that a run's whole configuration asks for."""
        trainer = config.get("trainer")
        epochs, steps = (
            trainer.get(f"max_{unit}") if isinstance(trainer, dict) else None for unit in ("epochs", "steps")
        )
        return cls(epochs if isinstance(epochs, int) else None, steps if isinstance(steps, int) else -1)

    def reached(self, state: dict[str, Any]) -> bool:
        """Whether a checkpoint of Lightning's is of the last epoch or the last step."""
        epochs = -1 if self.epochs is None else self.epochs
        return 0 <= epochs <= state["epoch"] + 1 or 0 <= self.steps <= state["global_step"]

    def total(self, state: dict[str, Any]) -> int:
        """The steps there are, as the epochs of a checkpoint tell; 0 where there is no end."""
        epochs = -1 if self.epochs is None else self.epochs
        ends = [epochs * state["global_step"] // (state["epoch"] + 1), self.steps]
        return min((end for end in ends if end >= 0), default=0)

    def __str__(self) -> str:
        return f"{self.epochs} epochs" if self.steps < 0 else f"{self.steps} steps"


class Earlier:
    """An earlier training in the same folder, if there was one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "checkpoints" / "last.ckpt"
        self.begun = (folder / CONFIG).is_file()
        self.state: dict[str, Any] | None = None
        if self.path.is_file():
            require_undamaged(self.path)
            self.state = torch.load(self.path, weights_only=True, map_location="cpu")
        self.end = End.of(read_config(folder))

    def require_continuable(self, config: dict[str, Any]) -> None:
        """Raises unless a run of this whole configuration may go on in the folder, or begin there."""
        facts = self._finished()
        if facts is not None and self.state is None:
            raise ValueError(
                f"{self.folder} holds a finished run, but not {self.path.relative_to(self.folder)}, which "
                f"resuming needs. Choose another run_dir; init_from={self.folder} starts from its weights."
            )
        if facts is not None and self.state is not None:
            end = End.of(config)
            over = end.reached(self.state) or facts.get("end") == str(end)  # the latter: it was stopped early
            steps = facts.get("steps")
            if over and isinstance(steps, int) and steps >= self.state["global_step"]:
                raise ValueError(
                    f"{self.folder} holds a finished run of {self.state['epoch'] + 1} epochs. To extend it, give "
                    "a larger trainer.max_epochs (or trainer.max_steps). Otherwise choose another run_dir, or "
                    "leave run_dir out."
                )
        differing = differing_keys(self.folder, config, MAY_DIFFER)
        if differing:
            raise ValueError(
                f"the run in {self.folder} was started with other values of {', '.join(differing[:8])}. Give "
                f"the same values to resume it, or choose another run_dir; init_from={self.folder} starts "
                "from its weights alone."
            )

    def note(self, config: dict[str, Any], scheduler: Scheduler) -> list[str]:
        """What is to be said before training goes on."""
        if self.state is None:
            again = f"{self.folder} was interrupted in its first epoch: starting from the beginning"
            return [again] if self.begun else []
        lines = [f"resuming {self.folder} after epoch {self.state['epoch']}"]
        end = End.of(config)
        if end != self.end:
            step = self.state["global_step"]
            old, new = (scheduler.factor(step, e.total(self.state)) for e in (self.end, end))
            lines.append(
                f"the run was started for {self.end} and is extended to {end}: from here, the learning rate "
                f"follows the schedule for {end}, at {new:.3g} of its peak (the old schedule would be at "
                f"{old:.3g})"
            )
        return lines

    def _finished(self) -> dict[str, Any] | None:
        """What the finished weights say of themselves; None where there are none."""
        path = self.folder / CHECKPOINT
        return dict(describe(path)["facts"]) if path.is_file() else None
