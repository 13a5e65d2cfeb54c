"""Embeddings that WALS refined, in training and evaluation."""

from pathlib import Path

import pytest

from prefprior import checkpoint
from prefprior.runs import read_metrics
from tests.commands import fails, run
from tests.evaluating.runs import ON_REFINED, SMALL, TABLE


@pytest.fixture(scope="module")
def refined(folder: Path) -> Path:
    """Baselines alone, without a checkpoint; WALS exports the embeddings it refined."""
    words = (*TABLE, "predictors=[mean,wals]", "baselines.wals.export=refined", "run_dir=runs/evaluate/export")
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "evaluate", *SMALL, *words)
    return folder


def test_refined_embeddings_change_the_metrics(refined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*TABLE, "embeddings=wals", "predictors=[mean]", "run_dir=runs/evaluate/refined")
    run(monkeypatch, refined, "evaluate", *SMALL, *words)
    runs, key = refined / "runs" / "evaluate", "table/unseen/mean/auc@all"
    assert read_metrics(runs / "export")[key] != read_metrics(runs / "refined")[key]


def test_a_prior_trained_on_refined_embeddings_has_its_own_space(
    refined: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, refined, "train", *ON_REFINED, "run_dir=runs/refined/one")
    saved = checkpoint.load(refined / "runs" / "refined" / "one" / "prior.safetensors")
    assert saved.model.prior.space.name == "e+wals"


def test_missing_refined_embeddings_are_an_error_with_the_command(
    refined: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*ON_REFINED, "embeddings.folder=nowhere", "run_dir=runs/refined/two")
    message = fails(monkeypatch, refined, "train", *words)
    assert "python evaluate.py source=table source.ratings=r.csv" in message
    assert "baselines.wals.export=nowhere" in message
