"""Weights split between two processes give what one process gives, and files that do not know of it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from prefprior import checkpoint
from tests.commands import SMALL_WORLD, fails, run

ROOT = Path(__file__).parents[2]
# What a rank draws for itself, and negatives from within a rank, is left out: that may differ. Those of the whole
# catalogue do not.
WORDS = (*SMALL_WORLD, "objective=regression", "sampler=one_step", "callbacks.ema=null", "objective.drop_history=0",
         "objective.drop_rating=0", "objective.answers=1", "retriever=item_identity_ensemble",
         "retriever.retriever.n=2",
         "retriever.retriever.retriever.frequencies=8", "retriever.retriever.retriever.loss.negatives.count=100000",
         "retriever.retriever.retriever.loss.pairwise_weight=0", "scale=whiten", "distillation=retriever",
         "trainer.max_epochs=2", "trainer.enable_progress_bar=false")  # fmt: skip
FSDP = ("trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true")
# The real entry, which stops in the second epoch, as Ctrl-C would stop it, where it was not resumed.
STOPPING = """
from prefprior.commands import train
from prefprior.callbacks.nan_guard import NanGuard

def stop(self, trainer, *rest):
    if trainer.global_step == 4:
        raise KeyboardInterrupt

NanGuard.on_before_backward = stop
train()
"""


@dataclass
class Runs:
    """A training in one process; and in two, which was interrupted and resumed, with what it printed each time."""

    folder: Path
    interrupted: str
    resumed: str

    @property
    def one(self) -> Path:
        return self.folder / "runs/train/one"

    @property
    def two(self) -> Path:
        return self.folder / "runs/train/two"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("fsdp")
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "train", *WORDS, "run_dir=runs/train/one")
    (folder / "stopping.py").write_text(STOPPING)
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    printed = []
    for script in (folder / "stopping.py", ROOT / "train.py"):
        command = [sys.executable, str(script), *WORDS, *FSDP, "run_dir=runs/train/two"]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
        printed.append(done.stdout + done.stderr)
    return Runs(folder, *printed)


def test_an_interrupted_run_says_how_to_go_on(runs: Runs) -> None:
    assert "To resume after epoch 0" in runs.interrupted


def test_it_is_resumed(runs: Runs) -> None:
    assert "resuming runs/train/two after epoch 0" in runs.resumed
    assert checkpoint.load(runs.two / "prior.safetensors").facts["steps"] == 6


def test_what_training_continues_from_holds_whole_weights(runs: Runs) -> None:
    kept = torch.load(runs.two / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(type(value) is torch.Tensor for value in kept.values())


def test_two_processes_with_half_the_weights_each_give_the_weights_of_one(runs: Runs) -> None:
    one, two = (load_file(folder / "prior.safetensors") for folder in (runs.one, runs.two))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)


def test_the_best_weights_are_whole_too(runs: Runs) -> None:
    one, two = (checkpoint.load(folder / "best.safetensors") for folder in (runs.one, runs.two))
    assert one.facts["best"]["epoch"] == two.facts["best"]["epoch"]
    for name, value in one.model.named_parameters():
        torch.testing.assert_close(two.model.get_parameter(name), value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "expected"),
    [((), "Add callbacks.ema=null"), (("callbacks.ema=null", "compile=true"), "Leave one of them out")],
)
def test_what_does_not_go_with_it_is_refused_before_training(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: str
) -> None:
    others = [word for word in WORDS if not word.startswith("callbacks")]
    assert expected in fails(monkeypatch, runs.folder, "train", *others, *FSDP, *words, "run_dir=runs/train/no")
    assert not (runs.folder / "runs/train/no").exists()
