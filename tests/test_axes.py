"""Axes of words and edits from end to end, on a small world and a prior of one epoch."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from prefprior.files import read_json, write_json
from prefprior.gallery.manifest import MANIFEST, file_hash, read_manifest
from prefprior.gallery.pages import INDEX
from prefprior.inference.selection import STEERED_CANDIDATES
from tests.commands import SMALL_WORLD, fails, run
from tests.small_run import make_run
from tests.test_prompts import ONE

QUICK = (*SMALL_WORLD, "trainer.max_epochs=1", "trainer.enable_progress_bar=false")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("axes")
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "train", *QUICK, "run_dir=runs/train/one")
    Image.linear_gradient("L").resize((80, 80)).convert("RGB").save(folder / "mine.png")
    (folder / "mine.txt").write_text("no picture")
    os.mkfifo(folder / "mine.fifo")
    return folder


def gallery(patch: pytest.MonkeyPatch, folder: Path, name: str, *words: str) -> tuple[Path, dict[str, Any]]:
    """One user's folder and manifest."""
    run(patch, folder, "sample", *ONE, *words, f"run_dir=runs/sample/{name}")
    (person,) = (folder / f"runs/sample/{name}/gallery/people").iterdir()
    return person, read_manifest(person)


def test_a_gallery_is_steered_along_an_axis(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = [
        gallery(monkeypatch, folder, f"dark{strength:g}", f"axes={{darker: {strength:g}}}", "n=4")[1]["summary"]
        for strength in (-1, 0, 1)
    ]
    low, middle, high = (figures["along_darker"] for figures in at)
    assert low < middle - 0.5 < high - 1.0


def test_the_manifest_holds_the_axes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "axes={red ground|blue ground: 0.5, larger: -1}"
    person, manifest = gallery(monkeypatch, folder, "two", words)
    assert manifest["settings"]["axes"] == {"red ground|blue ground": 0.5, "larger": -1.0}
    assert manifest["counts"]["candidates"] == STEERED_CANDIDATES
    assert "red ground|blue ground +0.5, larger -1 standard deviations" in (person / INDEX).read_text()


def test_an_edit_begins_with_the_picture_and_ends_with_more_score(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, manifest = gallery(monkeypatch, folder, "edit", "edit=mine.png", "n=3", "decoder.steps=3")
    settings, figures = manifest["settings"], manifest["summary"]
    assert settings["edit"] == file_hash(folder / "mine.png")
    assert (settings["edit_strength"], settings["repaint"]) == (0.75, 0.85)
    assert [row["share"] for row in manifest["made"]] == [0, 0.5, 1]
    assert manifest["made"][0]["cosine_to_original"] == pytest.approx(1, abs=1e-4)
    assert figures["cosine_to_original"] == manifest["made"][2]["cosine_to_original"] < 0.99
    assert figures["score_after"] > figures["score_before"]
    assert {"utility_before", "utility_after", "factors_kept"} <= figures.keys()
    with Image.open(person / manifest["original"]["file"]) as original:
        assert original.size == (80, 80)
    assert "made/original.png" in (person / INDEX).read_text()


def test_an_edit_along_an_axis_alone_leaves_taste_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("edit=mine.png", "axes={darker: 1}", "n=2", "decoder.steps=3")
    _, manifest = gallery(monkeypatch, folder, "darker", *words)
    assert manifest["settings"]["edit_strength"] == 0
    figures = manifest["summary"]
    assert figures["along_darker_after"] - figures["along_darker_before"] == pytest.approx(1, abs=0.2)


def test_an_edit_is_made_again_from_its_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("edit=mine.png", "axes={darker: 1}", "edit_strength=0.5", "n=2", "decoder.steps=3")
    person, _ = gallery(monkeypatch, folder, "first", *words)
    name = "trainer.enable_progress_bar=false"
    run(monkeypatch, folder, "sample", f"manifest={person / MANIFEST}", name, "run_dir=runs/sample/again")
    (again,) = (folder / "runs/sample/again/gallery/people").iterdir()
    for file in ("made/00.png", "made/01.png", "made/original.png"):
        assert (again / file).read_bytes() == (person / file).read_bytes()


def test_another_picture_is_not_taken_for_that_of_a_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 20), "red").save(folder / "own.png")
    person, _ = gallery(monkeypatch, folder, "swapped", "edit=own.png", "n=1", "decoder.steps=3")
    Image.new("RGB", (20, 20), "blue").save(folder / "own.png")
    message = fails(monkeypatch, folder, "sample", f"manifest={person / MANIFEST}")
    assert "own.png is not the picture of this manifest" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("axes={darkr: 1}",), "there is no axis 'darkr'; did you mean darker"),
        (("axes={}",), "such as 'axes={darker: 0.5}'"),
        (("axes=darker",), "is not a mapping of axes to strengths"),
        (("axes={darker: 9}",), "must be at least -3.0 and at most 3.0, got 9"),
        (("axes={darker: x}",), "must be a number of standard deviations"),
        (("axes={calmer: 1}",), "the axis 'calmer' cannot be embedded: the world's miniature CLIP has a vocabulary of"),
        (("axes={red dog|blue ground: 1}",), "without: dog (nearest: "),
        (("axes={darker: 1, lighter: 1}",), "are not independent of each other"),
        (("edit=nothing.png",), "edit=nothing.png cannot be used as a picture (missing). Give a picture file."),
        (("edit=mine.txt",), "cannot be used as a picture (unreadable: not a picture)"),
        (("edit=mine.fifo",), "cannot be used as a picture (not a file but a FIFO)"),
        (("edit=.",), "cannot be used as a picture (not a file but a folder)"),
        (("edit=mine.png", "edit_strength=2"), "edit_strength must be between 0 and 1, got 2"),
        (("edit=mine.png", "edit_strength=0"), "leaves the picture as it is"),
        (("edit=mine.png", "repaint=0"), "repaint must be in (0, 1], got 0"),
        (("edit=mine.png", "repaint=0.1"), "leave at least one of 1 steps"),
        (("edit=mine.png", "repaint=0.5", "decoder=retrieval"), "cannot start from a picture: leave repaint=0.5 out"),
        (("edit=mine.png", "prompt=red ground"), "prompt has no effect on an edit"),
        (("edit=mine.png", "candidates=4"), "candidates has no effect on an edit"),
        (("edit=mine.png", "interpolate=[a,b]"), "interpolate has no effect on an edit"),
        (("edit_strength=0.5",), "edit_strength=... belong to an edit: give edit=FILE too"),
        (("repaint=0.5",), "repaint=... belong to an edit"),
    ],
)
def test_axes_and_edits_that_cannot_be_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    few = [word for word in ONE if "decoder=retrieval" not in words or not word.startswith("decoder.")]
    told = fails(monkeypatch, folder, "sample", *few, *words)
    assert message in told
    assert "\n" not in told


@pytest.mark.parametrize("word", ["axes={darker: 1}", "edit=pictures/i00.png"])
def test_a_space_without_a_text_tower_or_encoder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    message = fails(monkeypatch, make_run(tmp_path), "sample", "people=1", "n=1", word)
    assert "must be embedded with the encoder of own, which is not available" in message


SPOILED: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("axes", lambda settings: settings.update(axes={"darkr": 1}), "there is no axis 'darkr'"),
    ("axes", lambda settings: settings.update(axes=[1]), "is not a mapping"),
    ("strength", lambda settings: settings.update(edit_strength="x"), "edit_strength is 'x'"),
    ("repaint", lambda settings: settings.update(repaint=7), "repaint must be in"),
]


@pytest.mark.parametrize(("name", "spoil", "message"), SPOILED)
def test_settings_of_a_strangers_manifest_are_checked(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    spoil: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    person, _ = gallery(monkeypatch, folder, f"stranger-{tmp_path.name}", "n=1")
    manifest = read_json(person / MANIFEST)
    spoil(manifest["settings"])
    write_json(tmp_path / MANIFEST, manifest)
    assert message in fails(monkeypatch, folder, "sample", f"manifest={tmp_path / MANIFEST}")
