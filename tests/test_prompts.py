"""Words and names from end to end: trained with, asked for, and refused where there are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefprior import checkpoint
from prefprior.gallery.manifest import read_manifest
from prefprior.inference.selection import TEXT_CANDIDATES
from tests.commands import SMALL_WORLD, fails, run

QUICK = (*SMALL_WORLD, "trainer.max_epochs=1", "trainer.enable_progress_bar=false")
ONE = ("people=1", "n=1", "decoder.steps=1", "trainer.enable_progress_bar=false")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "train", *QUICK, "prior.text=true", "prior.user_ids=240", "run_dir=runs/train/told")
        run(patch, folder, "train", *QUICK, "run_dir=runs/train/plain")
    return folder


def test_a_checkpoint_stores_user_rows_but_no_user_ids(folder: Path) -> None:
    path = folder / "runs/train/told/prior.safetensors"
    prior: Any = checkpoint.load(path).model.prior
    assert prior.text
    known = prior.known_users([f"person-{i:04d}" for i in range(240)])
    assert 0 < int((known >= 0).sum()) < 240  # the training part, and nobody else
    assert prior.text_proj.weight.std() > 0
    assert b"person-0" not in path.read_bytes()


def gallery_of_one(patch: pytest.MonkeyPatch, folder: Path, checkpoint_: str, *words: str) -> dict[str, Any]:
    """The manifest of one person, with the prior of a run."""
    name = "-".join([checkpoint_, *words]).replace(" ", "_").replace("=", "_")
    words = (f"checkpoint=runs/train/{checkpoint_}", *ONE, f"run_dir=runs/sample/{name}", *words)
    run(patch, folder, "sample", *words)
    (person,) = (folder / f"runs/sample/{name}/gallery/people").iterdir()
    return read_manifest(person)


def test_a_prior_with_texts_is_conditioned_on_the_prompt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent, said, loud = (
        gallery_of_one(monkeypatch, folder, "told", *words)["made"][0]["score"]
        for words in ((), ("prompt=red ground",), ("prompt=red ground", "guidance_text=5"))
    )
    assert len({silent, said, loud}) == 3


def test_the_manifest_holds_the_prompt_and_its_guidance(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = gallery_of_one(monkeypatch, folder, "told", "prompt=red ground", "guidance_text=3")["settings"]
    assert (settings["prompt"], settings["prompt_weight"]) == ("red ground", None)
    assert settings["sampler"]["guidance"]["text"] == 3


def test_for_a_prior_without_texts_a_prompt_selects_candidates(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = gallery_of_one(monkeypatch, folder, "plain", "prompt=red ground")
    assert manifest["counts"]["candidates"] == TEXT_CANDIDATES
    assert manifest["settings"]["prompt_weight"] == 0.5


@pytest.mark.parametrize(
    ("checkpoint_", "words", "message"),
    [
        ("plain", ("prompt=red ground", "guidance_text=2"), "set prompt_weight"),
        ("told", ("prompt=red ground", "prompt_weight=0.2"), "set guidance_text"),
        ("told", ("guidance_text=2",), "Give prompt=... too"),
        ("plain", ("prompt_weight=0.2",), "Give prompt=... too"),
        ("plain", ("prompt=red ground", "prompt_weight=0"), "has no effect"),
        ("plain", ("prompt=red ground", "prompt_weight=2"), "between 0 and 1"),
    ],
)
def test_settings_without_effect_on_a_prompt_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_: str, words: tuple[str, ...], message: str
) -> None:
    assert message in fails(monkeypatch, folder, "sample", f"checkpoint=runs/train/{checkpoint_}", *ONE, *words)


def test_too_few_user_ids_and_missing_texts_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "or more" in fails(monkeypatch, folder, "train", *QUICK, "prior.user_ids=3")
    rng = np.random.default_rng(0)
    np.save(folder / "vectors.npy", rng.standard_normal((20, 8)).astype(np.float32))
    np.save(folder / "texts.npy", rng.standard_normal((20, 9)).astype(np.float32))
    (folder / "items.txt").write_text("".join(f"i{i}\n" for i in range(20)))
    rows = (f"u{u},i{i},{1 + (u + i) % 5}\n" for u in range(12) for i in rng.choice(20, 6, replace=False))
    (folder / "ratings.csv").write_text("user,item,rating\n" + "".join(rows))
    table = (
        "experiment=table", "prior=tiny", "trainer.max_epochs=1", "data.batch_size=4", "data.epoch_batches=2",
        "trainer.enable_progress_bar=false", "source.ratings=ratings.csv", "source.embeddings=vectors.npy",
        "source.items=items.txt", "prior.text=true",
    )  # fmt: skip
    assert "source.texts=FILE.npy" in fails(monkeypatch, folder, "train", *table)
    assert "(20, 9)" in fails(monkeypatch, folder, "train", *table, "source.texts=texts.npy")
    np.save(folder / "texts.npy", rng.standard_normal((20, 8)).astype(np.float32))
    own = "run_dir=runs/train/corrected"
    assert "source.texts=FILE.npy" in fails(monkeypatch, folder, "train", *table, own)
    run(monkeypatch, folder, "train", *table, own, "source.texts=texts.npy")  # what was refused binds nothing
    run(monkeypatch, folder, "train", *table, "source.texts=texts.npy", "run_dir=runs/train/table")
    assert (folder / "runs/train/table/prior.safetensors").is_file()
