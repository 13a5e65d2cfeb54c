"""Training in two processes gives what one gives, and bf16 much the same as fp32."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prefprior import checkpoint
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.models.scale import Standardize
from prefprior.runs import read_metrics
from tests.commands import run
from tests.training.runs import QUICK, ROOT, weights


def test_bf16_on_a_cpu_has_nearly_the_same_loss(unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "train", *QUICK, "trainer.precision=bf16-mixed", "run_dir=runs/train/bf16")
    one, other = read_metrics(unbroken), read_metrics(folder / "runs/train/bf16")
    assert other["world/val/prior/loss"] == pytest.approx(one["world/val/prior/loss"], rel=5e-3)
    loaded = checkpoint.load(folder / "runs/train/bf16/prior.safetensors")
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


# What a rank draws for itself, and negatives from within a rank, is all that may differ: left out here. Those of the
# whole catalogue do not.
MEMBER = "retriever.retriever.retriever"
SAME_DRAWS = (
    *QUICK, "objective=regression", "sampler=one_step", "trainer.precision=32-true", "callbacks.ema=null",
    "objective.drop_history=0", "objective.drop_rating=0", "objective.answers=1",
    "retriever=item_identity_ensemble", "retriever.retriever.n=2", "scale=whiten", "distillation=retriever",
    f"{MEMBER}.frequencies=8", f"{MEMBER}.loss.negatives.count=100000", f"{MEMBER}.loss.pairwise_weight=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def one_and_two(folder: Path, unbroken: Path) -> tuple[Path, Path]:
    """The same global batches in one process, and split in two: DDP over gloo."""
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    for name, trainer in {
        "one": ["trainer=cpu"],
        "two": ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"],
    }.items():
        command = [sys.executable, str(ROOT / "train.py"), *SAME_DRAWS, *trainer, f"run_dir=runs/train/{name}"]
        subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, timeout=300)
    return folder / "runs/train/one", folder / "runs/train/two"


def test_two_processes_have_the_same_loss_as_one(one_and_two: tuple[Path, Path]) -> None:
    one, two = (read_metrics(path) for path in one_and_two)
    assert one.keys() == two.keys()
    # Validation people are dealt to ranks in slices that may differ by one.
    assert two["world/val/prior/loss"] == pytest.approx(one["world/val/prior/loss"], rel=2e-3)


def test_two_processes_have_the_same_weights_as_one(one_and_two: tuple[Path, Path]) -> None:
    one, two = (weights(path) for path in one_and_two)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)


def test_whitening_is_fit_to_the_items(one_and_two: tuple[Path, Path], folder: Path) -> None:
    """Along no direction do they vary more than along another; standardised, they do."""
    table = EmbeddingTable.open(next((folder / "embeddings/world").glob("*/manifest.json")).parent)
    items_ND = torch.from_numpy(table.vectors.astype("float32"))
    prior = checkpoint.load(one_and_two[0] / "prior.safetensors").model.prior
    for scale, least, most in ((prior.scale, 0.9, 1.01), (Standardize(space=prior.space), 4, 64)):
        assert least < torch.linalg.eigvalsh(scale.to_model(items_ND).T.cov()).max() < most
