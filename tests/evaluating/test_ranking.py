"""`rank_by` and `cold_start_share` of `evaluate.py`."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.commands import fails, run
from tests.evaluating.runs import SMALL, TABLE, TINY


@pytest.fixture(scope="module")
def cold(folder: Path) -> Path:
    """A run with a cold-start retriever; p7, p17, ... have no ratings in training."""
    rated = (folder / "r.csv").read_text().splitlines()
    few = [line for line in rated if not line.split(",")[1].endswith("7")]
    (folder / "few.csv").write_text("\n".join(few) + "\n")
    retriever = ("retriever=item_identity_ensemble", "retriever.share=0.9")
    train = ("experiment=table", *TABLE[1:], "source.ratings=few.csv", *TINY, *retriever)
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "train", *train, "run_dir=runs/cold/one")
    return folder


@pytest.mark.parametrize("share", ["null", "0.0"])
def test_the_share_of_cold_start_items_can_be_changed(cold: Path, monkeypatch: pytest.MonkeyPatch, share: str) -> None:
    words = ("checkpoint=runs/cold/one", "predictors=[prior]", f"cold_start_share={share}", "source.ratings=r.csv")
    run(monkeypatch, cold, "evaluate", *SMALL, *words, f"run_dir=runs/evaluate/share_{share}")
    report = (cold / "runs" / "evaluate" / f"share_{share}" / "report.html").read_text()
    assert ("6 of 60, with a probability of 90.0% together" in report) == (share == "null")


def test_a_share_of_a_model_without_cold_start_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("checkpoint=runs/train/one", "cold_start_share=0.1", "run_dir=runs/evaluate/refused")
    assert "item_identity_ensemble" in fails(monkeypatch, folder, "evaluate", *SMALL, *words)


def test_a_catalogue_of_other_embeddings_is_refused_for_cold_start(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cold / "other").mkdir()
    np.save(cold / "other" / "e.npy", np.load(cold / "e.npy") * 1.01)
    words = ("checkpoint=runs/cold/one", "source.embeddings=other/e.npy", "run_dir=runs/evaluate/refused")
    assert "none of the 60" in fails(monkeypatch, cold, "evaluate", *SMALL, *words)


def test_ranking_by_samples_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("checkpoint=runs/train/one", "predictors=[prior]", "rank_by=samples", "run_dir=runs/evaluate/by_samples")
    run(monkeypatch, folder, "evaluate", *SMALL, *words)
    report = (folder / "runs" / "evaluate" / "by_samples" / "report.html").read_text()
    assert re.search(r"the prior ranks by\W.*samples", report)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rank_by=retriever",), "runs/train/one/prior.safetensors: rank_by=retriever, but"),
        (("rank_by=retreiver",), "did you mean retriever"),
        (("predictors=[mean]", "rank_by=samples"), "add prior to"),
        (("predictors=[mean]", "cold_start_share=0.1"), "add prior to"),
    ],
)
def test_invalid_ranking_settings_are_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    one = ("checkpoint=runs/train/one", "predictors=[prior]")  # trained without a retriever
    assert message in fails(monkeypatch, folder, "evaluate", *SMALL, *one, *words, "run_dir=runs/evaluate/refused")
