"""Words and names from end to end: trained with, asked for, and refused where there are none."""

from pathlib import Path

import numpy as np
import pytest

from prefprior import checkpoint
from prefprior.gallery.manifest import read_manifest
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


def test_a_checkpoint_keeps_words_and_rows_of_people_but_no_names(folder: Path) -> None:
    path = folder / "runs/train/told/prior.safetensors"
    prior = checkpoint.load(path).model.prior
    assert prior.text
    known = prior.known_users([f"person-{i:04d}" for i in range(240)])
    assert 0 < int((known >= 0).sum()) < 240  # the training part, and nobody else
    assert prior.text_proj.weight.std() > 0
    assert b"person-0" not in path.read_bytes()


def test_a_prompt_is_read_and_written_down(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {}
    for name, words in {
        "silent": [],
        "said": ["prompt=red ground"],
        "loud": ["prompt=red ground", "guidance_text=5"],
    }.items():
        run_dir = f"runs/sample/{name}"
        run(monkeypatch, folder, "sample", "checkpoint=runs/train/told", *ONE, f"run_dir={run_dir}", *words)
        (person,) = (folder / run_dir / "gallery/people").iterdir()
        manifest = read_manifest(person / "manifest.json")
        made[name] = manifest["made"][0]["fit"]
        said = manifest["settings"]["sampling"]["guidance"]
        assert ("text" in said) == (name != "silent")
    assert len(set(made.values())) == 3


def test_what_was_not_trained_with_words_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("checkpoint=runs/train/plain", *ONE)
    assert "prompt_weight" in fails(monkeypatch, folder, "sample", *words, "prompt=red ground", "guidance_text=2")
    assert "prompt=..." in fails(monkeypatch, folder, "sample", "checkpoint=runs/train/told", *ONE, "guidance_text=2")


def test_too_few_rows_and_missing_texts_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
