"""Weights split between two processes give what one process gives, and files that do not know of it."""

import subprocess
import sys
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
from prefprior import train
from prefprior.callbacks.nan_guard import NanGuard

def stop(self, trainer, *rest):
    if trainer.global_step == 4:
        raise KeyboardInterrupt

NanGuard.on_before_backward = stop
train.main()
"""


def test_two_processes_with_half_the_weights_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, tmp_path, "train", *WORDS, "run_dir=runs/train/one")
    (tmp_path / "stopping.py").write_text(STOPPING)
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    said = []
    for script in (tmp_path / "stopping.py", ROOT / "train.py"):
        command = [sys.executable, str(script), *WORDS, *FSDP, "run_dir=runs/train/two"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        said.append(done.stdout + done.stderr)
    assert "To go on after epoch 0" in said[0]
    assert "going on in runs/train/two after epoch 0" in said[1]
    kept = torch.load(tmp_path / "runs/train/two/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(type(value) is torch.Tensor for value in kept.values())
    one, two = (load_file(tmp_path / "runs/train" / name / "prior.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)
    refused = {(): "Add callbacks.ema=null", ("callbacks.ema=null", "compile=true"): "Leave one of them out"}
    for words, expected in refused.items():
        small = [word for word in WORDS if not word.startswith("callbacks")]
        assert expected in fails(monkeypatch, tmp_path, "train", *small, *FSDP, *words, "run_dir=runs/train/no")
        assert not (tmp_path / "runs/train/no").exists()
    assert checkpoint.load(tmp_path / "runs/train/two/prior.safetensors").facts["steps"] == 6
