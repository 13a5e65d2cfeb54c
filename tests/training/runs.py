"""A small training, and what is looked at of one."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.commands import SMALL_WORLD, run

ROOT = Path(__file__).parents[2]
EPOCHS = 3
SHORT = (*SMALL_WORLD, "trainer.enable_progress_bar=false", "trainer.log_every_n_steps=1")
QUICK = (*SHORT, f"trainer.max_epochs={EPOCHS}")


def printed(folder: Path, *words: str) -> str:
    """What a training prints."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        run(patch, folder, "train", *words)
    return said.getvalue()


def weights(run_folder: Path) -> dict[str, torch.Tensor]:
    return load_file(run_folder / "prior.safetensors")


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
