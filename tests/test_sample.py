"""`python sample.py` as a user runs it, on a small table of ratings and an untrained prior."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from prefprior.files import read_json
from prefprior.gallery.maker import GalleryMaker
from prefprior.gallery.manifest import is_complete, read_manifest
from prefprior.space import Space
from prefprior.world import clip as world_clip
from tests.commands import fails, run
from tests.decoders import tiny
from tests.gallery.tiny import TinyUsers, maker
from tests.small_run import ITEMS, QUIET, make_run, save_prior

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "sample", "run_dir=runs/sample/unbroken", "people=3", "n=2", QUIET)
    return folder / "runs/sample/unbroken/gallery"


def made(gallery: Path) -> dict[str, bytes]:
    return {p.relative_to(gallery / "people").as_posix(): p.read_bytes() for p in gallery.rglob("made/*.png")}


def embeddings(gallery: Path) -> dict[str, list[list[float]]]:
    return {p.parent.name: pq.read_table(p)["embedding"].to_pylist() for p in gallery.rglob("samples.parquet")}


@pytest.fixture(scope="module")
def default_run(folder: Path) -> Path:
    """The run folder of the command without arguments."""
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "sample", "run_dir=runs/sample/default", QUIET)
    return folder / "runs/sample/default"


def test_the_last_lines_name_gallery_and_run_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, folder, "sample", "people=1", "n=1", QUIET)
    lines = capsys.readouterr().out.strip().splitlines()
    gallery, run_folder = (Path(line.split(": ", 1)[1]) for line in lines[-2:])
    assert gallery == run_folder / "gallery" / "index.html"
    assert (folder / gallery).is_file()


def test_without_arguments_eight_unseen_users_get_eight_pictures(default_run: Path) -> None:
    gallery = default_run / "gallery"
    parts = {read_manifest(person)["person"]["part"] for person in (gallery / "people").iterdir()}
    assert parts <= {"val", "test"}
    assert len(made(gallery)) == 8 * len(list((gallery / "people").iterdir()))


def test_without_arguments_the_decoder_fits_the_space(default_run: Path) -> None:
    manifest = read_manifest(next((default_run / "gallery/people").iterdir()))
    assert manifest["settings"]["decoder"] == f"nearest of {ITEMS} pictures in own"


def test_metrics_are_written(default_run: Path) -> None:
    figures = read_json(default_run / "metrics.json")
    assert 0 <= figures["table/unseen/prior/better_than@16"] <= 1
    assert "table/unseen/prior/score@16" in figures


def test_arguments_change_the_sampler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("people=1", "n=1", "steps=3", "guidance_history=2", "candidates=5", "diversity=0", QUIET)
    run(monkeypatch, folder, "sample", "run_dir=runs/sample/changed", *words)
    manifest = read_manifest(next((folder / "runs/sample/changed/gallery/people").iterdir()))
    sampler = manifest["settings"]["sampler"]
    assert (sampler["steps"], sampler["candidates"], sampler["diversity"]) == (3, 5, 0)
    assert sampler["guidance"]["history"] == 2
    assert manifest["counts"]["candidates"] == 5


def test_pictures_do_not_depend_on_people_at_once(
    folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("run_dir=runs/sample/single", "people=3", "n=2", "people_at_once=1", QUIET)
    run(monkeypatch, folder, "sample", *words)
    single = folder / "runs/sample/single/gallery"
    assert made(single) == made(unbroken)
    assert embeddings(single) == embeddings(unbroken)


def test_two_processes_make_the_same_gallery(folder: Path, unbroken: Path) -> None:
    words = (
        "run_dir=runs/sample/two", "people=3", "n=2", "people_at_once=1", "trainer=ddp", "trainer.accelerator=cpu",
        "trainer.devices=2", QUIET,
    )  # fmt: skip
    command = subprocess.Popen(
        [sys.executable, str(ROOT / "sample.py"), *words], cwd=folder, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    try:
        _, errors = command.communicate(timeout=480)
    except subprocess.TimeoutExpired:
        os.killpg(command.pid, signal.SIGKILL)  # its second process too, which would wait for the first for ever
        raise
    assert command.returncode == 0, errors[-2000:]
    assert made(folder / "runs/sample/two/gallery") == made(unbroken)


def test_only_missing_users_are_made(folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = made(unbroken)
    people = sorted((unbroken / "people").iterdir())
    (people[1] / "manifest.json").unlink()
    (people[1] / "made/00.png").unlink()
    run(monkeypatch, folder, "sample", "run_dir=runs/sample/unbroken", "people=3", "n=2", QUIET)
    assert made(unbroken) == before


@pytest.mark.parametrize("word", ["n=3", "seed=1", "people=4", "history=5", "people_at_once=1"])
def test_a_gallery_is_not_continued_with_other_settings(
    folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    key = word.split("=")[0]
    kept = [same for same in ("people=3", "n=2") if not same.startswith(f"{key}=")]
    message = fails(monkeypatch, folder, "sample", "run_dir=runs/sample/unbroken", *kept, word, QUIET)
    assert f"other settings: {key} differ" in message


def test_interpolation_between_two_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "sample", "interpolate=[u00,u01]", "n=5", "run_dir=runs/sample/walk", QUIET)
    gallery = folder / "runs/sample/walk/gallery"
    (steps,) = embeddings(gallery).values()
    rows = np.asarray(steps)
    assert len(rows) == 5
    step = np.linalg.norm(np.diff(rows, axis=0), axis=1)
    assert step.max() < np.linalg.norm(rows[0] - rows[-1])  # no step leaps the whole way


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("users=[u0]", "did you mean u"),
        ("peopel=3", "did you mean people"),
        ("likes=pictures", "the encoder of own"),
        ("checkpoint=nothing", "python train.py"),
        ("people=0", "people must be at least 1"),
        ("history=0", "history must be at least 1"),
        ("history=-1", "history must be at least 1"),
        ("n=0", "n must be at least 1"),
        ("nearest=-1", "nearest must be at least 0"),
        ("n=100000000", "200,000,000 embeddings per user, more than 100,000"),
        ("candidates=100000000", "Lower n or candidates"),
        ("steps=100000000", "sampler.steps must be at least 1 and at most 10,000"),
        ("guidance_history=1e39", "Is a guidance scale too large? (history 1e+39"),
        ("trainer.accelerator=tpu", "the trainer cannot be created: Requirement 'torch_xla"),
        ("trainer.devices=x", "`devices` selected with `CPUAccelerator`"),
        ("decoder._target_=os.getcwd", "os.getcwd does not create a Decoder"),
        ("source._target_=os.system", "os.system cannot be created: missing a required argument: 'command'"),
        ("interpolate=[u00]", "interpolate takes two users"),
        ("negative=true", "does not support negative embeddings"),
        ("prompt_weight=0.5", "Give prompt=... too"),
    ],
)
def test_invalid_arguments_are_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, word: str, message: str
) -> None:
    assert message in fails(monkeypatch, folder, "sample", word, QUIET)


def test_an_interrupted_gallery_prints_what_is_complete_and_how_to_resume(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, groups = GalleryMaker.make, list[list[str]]()

    def stopped(self: GalleryMaker, names: list[str]) -> None:
        groups.append(names)
        if len(groups) == 2:
            raise KeyboardInterrupt
        make(self, names)

    monkeypatch.setattr(GalleryMaker, "make", stopped)
    words = ("people=2", "n=1", "people_at_once=1", QUIET)
    message = fails(monkeypatch, folder, "sample", *words, "run_dir=runs/sample/stopped")
    assert message.startswith("error: interrupted: 1 of 2 users have all their pictures in runs/sample/stopped/gallery")
    assert f"python sample.py {' '.join(words)} run_dir=runs/sample/stopped" in message


def test_a_closed_pipe_is_not_reported_as_an_unwritable_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        message = fails(monkeypatch, folder, "sample", "people=1", "n=1", "run_dir=runs/sample/unread", QUIET)
    assert "has closed it" in message


def test_a_decoder_of_another_space_is_refused_with_both_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.kandinsky(folder / "kandinsky")
    message = fails(monkeypatch, folder, "sample", "decoder=kandinsky", f"decoder.model={model}", QUIET)
    assert "ViT-bigG-14/laion2b_s39b_b160k" in message
    assert "of own" in message


def test_a_decoder_of_another_space_is_refused_before_loading_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = fails(monkeypatch, folder, "sample", "decoder=karlo", "decoder.model=nowhere", QUIET)
    assert "Karlo needs embeddings of the space ViT-L-14/openai, but the prior generates embeddings of own" in message


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gallery of somebody with two folders of pictures, by a decoder that takes negatives."""
    folder, draws = tmp_path_factory.mktemp("newcomer"), np.random.default_rng(1)
    for name, count in (("likes", 3), ("dislikes", 2)):
        (folder / name).mkdir()
        for i in range(count):
            Image.fromarray(draws.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
    raw = draws.normal(size=(200, 64)).astype(np.float32)
    save_prior(folder / "prior.safetensors", Space.measure("world-clip", raw))
    model = tiny.kandinsky(folder / "decoder", dim=64)
    words = (
        "checkpoint=prior.safetensors", "likes=likes", "dislikes=dislikes", "n=2", "negative=true", "run_dir=mine",
        f"decoder.model={model}", "decoder.steps=2", "decoder.size=32", QUIET,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "sample", *words)
    return folder / "mine/gallery"


WORLD_CLIP = pytest.mark.skipif(not world_clip.WEIGHTS.is_file(), reason="needs the world's encoder")


@WORLD_CLIP
def test_all_pictures_of_a_new_user_are_in_the_history(newcomer: Path) -> None:
    manifest = read_manifest(next((newcomer / "people").iterdir()))
    assert [row["rating"] for row in manifest["rated"]] == [1, 1, 1, -1, -1]
    assert all((newcomer / row["file"]).is_file() for row in manifest["rated"])


@WORLD_CLIP
def test_arguments_change_the_decoder(newcomer: Path) -> None:
    assert Image.open(next((newcomer / "people").glob("*/made/00.png"))).size == (32, 32)


@WORLD_CLIP
def test_negatives_are_stored_beside_the_samples(newcomer: Path) -> None:
    assert "negative" in pq.read_table(next((newcomer / "people").glob("*/samples.parquet"))).column_names


@WORLD_CLIP
def test_the_manifest_of_a_new_user_names_no_folder(newcomer: Path) -> None:
    command = read_manifest(next((newcomer / "people").iterdir()))["settings"]["command"]
    assert (command["likes"], command["dislikes"], command["checkpoint"]) == ("???", "???", "???")


def _make_all(root: Path) -> None:
    torch.set_num_threads(1)  # a forked child has no thread pool
    users = TinyUsers(6)
    made = maker(root, users)
    for start in range(0, 6, 2):
        group = users.names[start : start + 2]
        if not all(is_complete(root, name) for name in group):
            made.make(group)


def test_a_command_killed_ten_times_ends_with_the_same_files(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started = time.perf_counter()
    unbroken = context.Process(target=_make_all, args=(tmp_path / "unbroken",))
    unbroken.start()
    unbroken.join()
    assert unbroken.exitcode == 0
    whole = time.perf_counter() - started
    moments = random.Random(0)
    kills = 0
    for _ in range(10):
        child = context.Process(target=_make_all, args=(tmp_path / "killed",))
        child.start()
        time.sleep(moments.uniform(0.05, 0.6) * whole)
        if child.is_alive():
            os.kill(child.pid or 0, signal.SIGKILL)
            kills += 1
        child.join()
    last = context.Process(target=_make_all, args=(tmp_path / "killed",))
    last.start()
    last.join()
    assert kills
    one, other = tmp_path / "unbroken", tmp_path / "killed"
    files = {p.relative_to(one) for p in one.rglob("*") if p.is_file()}
    # What was being written when a kill came may lie beside it, under a temporary name that nothing reads.
    assert files == {p.relative_to(other) for p in other.rglob("*") if p.is_file() and not p.name.startswith(".")}
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)
