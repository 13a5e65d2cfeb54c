"""`python sample.py` as a user runs it, on a small table of ratings and an untaught prior."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from prefprior import checkpoint
from prefprior.callbacks.gallery import GalleryCallback
from prefprior.callbacks.wandb_logger import wandb_logger
from prefprior.config import build
from prefprior.files import read_json, write_json
from prefprior.gallery.manifest import read_manifest
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.model import PreferenceModel
from prefprior.models.module import PreferenceModule
from prefprior.models.objectives.regression import Regression
from prefprior.models.prior.denoiser import DenoiserSize
from prefprior.models.prior.prior import Prior
from prefprior.runs import DATA
from prefprior.space import Space
from prefprior.world import clip as world_clip
from tests.commands import fails, run
from tests.decoders import tiny
from tests.gallery import test_gallery

ROOT = Path(__file__).parents[1]
ITEMS, USERS, DIM = 48, 60, 16
NODES = {
    "source": {
        "_target_": "prefprior.data.sources.table.TableSource", "ratings": "ratings.csv", "pictures": "pictures",
        "embeddings": "vectors.npy", "items": "items.txt", "space": "own",
    },
    "embeddings": {"_target_": "prefprior.data.embedding_lookup.StoredEmbeddings"},
    "data": {"_target_": "prefprior.data.datamodule.PreferenceDataModule"},
    "seed": 0,
}  # fmt: skip
QUIET = "trainer.enable_progress_bar=false"


def save_prior(path: Path, space: Space, data: dict[str, Any] | None = None, **facts: object) -> None:
    """An untrained prior, with where its data lie beside it."""
    torch.manual_seed(0)
    size = DenoiserSize(width=16, depth=1)
    model = PreferenceModel(prior=Prior(space=space, width=16, depth=1, heads=2, readouts=3, denoiser=size))
    for weight in model.parameters():
        if not weight.any():  # what starts at zero keeps an untaught prior from telling people apart
            torch.nn.init.normal_(weight, std=0.3)
    checkpoint.save(
        path, model=model, objective=Regression(), sampler=Sampler(candidates=2), facts={"data": data} | facts
    )
    if data is not None:
        write_json(path.with_name(DATA), data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, ratings, embeddings and a finished run."""
    folder = tmp_path_factory.mktemp("sample")
    draws = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for i in range(ITEMS):
        Image.fromarray(draws.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder / f"pictures/i{i:02d}.png")
    lines = ["user,item,rating"]
    for user in range(USERS):
        lines += [f"u{user:02d},i{i:02d},{draws.integers(1, 6)}" for i in draws.permutation(ITEMS)[:8]]
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    vectors = draws.normal(size=(ITEMS, DIM)).astype(np.float32)
    np.save(folder / "vectors.npy", vectors)
    (folder / "items.txt").write_text("".join(f"i{i:02d}\n" for i in range(ITEMS)))
    save_prior(folder / "runs/train/one/prior.safetensors", Space.measure("own", vectors), data=NODES)
    return folder


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "sample", "run_dir=runs/sample/unbroken", "people=3", "n=2", QUIET)
    return folder / "runs/sample/unbroken/gallery"


def made(gallery: Path) -> dict[str, bytes]:
    return {p.relative_to(gallery / "people").as_posix(): p.read_bytes() for p in gallery.rglob("made/*.png")}


def embeddings(gallery: Path) -> dict[str, list[list[float]]]:
    return {p.parent.name: pq.read_table(p)["embedding"].to_pylist() for p in gallery.rglob("samples.parquet")}


def test_without_arguments_it_finds_run_people_and_decoder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, folder, "sample", QUIET)
    lines = capsys.readouterr().out.strip().splitlines()
    gallery, run_folder = (Path(line.split(": ", 1)[1]) for line in lines[-2:])
    assert gallery == run_folder / "gallery" / "index.html"
    assert len(made(folder / gallery.parent)) == 8 * len(list((folder / gallery.parent / "people").iterdir()))
    figures = read_json(folder / run_folder / "metrics.json")
    assert 0 <= figures["table/unseen/prior/better_than@16"] <= 1
    manifest = read_manifest(next((folder / gallery.parent / "people").iterdir()))
    assert manifest["person"]["part"] in {"val", "test"}
    assert manifest["settings"]["decoder"]["identity"] == f"nearest of {ITEMS} pictures in own"


def test_group_size_changes_nothing(folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_is_missing_is_made_and_the_rest_is_left(
    folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made(unbroken)
    people = sorted((unbroken / "people").iterdir())
    (people[1] / "manifest.json").unlink()
    (people[1] / "made/00.png").unlink()
    run(monkeypatch, folder, "sample", "run_dir=runs/sample/unbroken", "people=3", "n=2", QUIET)
    assert made(unbroken) == before
    message = fails(monkeypatch, folder, "sample", "run_dir=runs/sample/unbroken", "people=3", "n=3", QUIET)
    assert "other settings" in message


def test_a_manifest_makes_the_same_pictures_again(
    folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = sorted((unbroken / "people").iterdir())[2]
    run(monkeypatch, folder, "sample", f"manifest={person}/manifest.json", "run_dir=runs/sample/again", QUIET)
    again = folder / "runs/sample/again/gallery"
    assert made(again) == {name: data for name, data in made(unbroken).items() if name.startswith(person.name)}
    other = folder / "other.safetensors"
    save_prior(
        other, checkpoint.load(folder / "runs/train/one/prior.safetensors").model.prior.space, data=NODES, note="other"
    )
    words = (f"manifest={person}/manifest.json", f"checkpoint={other}", "run_dir=runs/sample/wrong", QUIET)
    assert "is not the checkpoint these pictures were made with" in fails(monkeypatch, folder, "sample", *words)


def test_a_walk_between_two_people(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "sample", "interpolate=[u00,u01]", "n=5", "run_dir=runs/sample/walk", QUIET)
    gallery = folder / "runs/sample/walk/gallery"
    (steps,) = embeddings(gallery).values()
    rows = np.asarray(steps)
    assert len(rows) == 5
    step = np.linalg.norm(np.diff(rows, axis=0), axis=1)
    assert step.max() < np.linalg.norm(rows[0] - rows[-1])  # no step leaps the whole way


def test_wrong_words_say_what_is_right(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "did you mean u" in fails(monkeypatch, folder, "sample", "users=[u0]", QUIET)
    assert "did you mean people" in fails(monkeypatch, folder, "sample", "peopel=3")
    assert "embedded by own" in fails(monkeypatch, folder, "sample", "likes=pictures", QUIET)
    model = tiny.kandinsky(folder / "kandinsky")
    message = fails(monkeypatch, folder, "sample", "decoder=kandinsky", f"decoder.model={model}", QUIET)
    assert "ViT-bigG-14/laion2b_s39b_b160k" in message
    assert "of own" in message
    monkeypatch.chdir(folder)
    assert "python train.py" in fails(monkeypatch, folder, "sample", "checkpoint=nothing")
    assert "people must be at least 1" in fails(monkeypatch, folder, "sample", "people=0")
    for history in (0, -1):
        assert "history must be at least 1" in fails(monkeypatch, folder, "sample", f"history={history}")
    # Refused by what it says of itself, before anything is looked for on disk or in a network.
    message = fails(monkeypatch, folder, "sample", "decoder=karlo", "decoder.model=nowhere", QUIET)
    assert "Karlo understands embeddings of ViT-L-14/openai, but the prior makes those of own" in message


@pytest.mark.skipif(not world_clip.WEIGHTS.is_file(), reason="needs the world's encoder")
def test_a_newcomer_with_two_folders_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(1)
    for name, count in (("likes", 3), ("dislikes", 2)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.fromarray(draws.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / name / f"{i}.png")
    raw = draws.normal(size=(200, 64)).astype(np.float32)
    save_prior(tmp_path / "prior.safetensors", Space.measure("world-clip", raw))
    model = tiny.kandinsky(tmp_path / "decoder", dim=64)
    words = (
        "checkpoint=prior.safetensors", "likes=likes", "dislikes=dislikes", "n=2", "negative=true", "run_dir=mine",
        f"decoder.model={model}", "decoder.steps=2", "decoder.size=32", QUIET,
    )  # fmt: skip
    run(monkeypatch, tmp_path, "sample", *words)
    (person,) = (tmp_path / "mine/gallery/people").iterdir()
    manifest = read_manifest(person)
    assert [row["rating"] for row in manifest["rated"]] == [1, 1, 1, -1, -1]
    assert all((tmp_path / "mine/gallery" / row["file"]).is_file() for row in manifest["rated"])
    assert Image.open(person / "made/00.png").size == (32, 32)
    assert "negative" in pq.read_table(person / "samples.parquet").column_names


def _make_all(root: Path) -> None:
    torch.set_num_threads(1)  # a forked child has no thread pool
    folk = test_gallery.TinyFolk(6)
    maker = test_gallery.maker(root, folk)
    for start in range(0, 6, 2):
        group = folk.names[start : start + 2]
        if not all(test_gallery.is_complete(root, name) for name in group):
            maker.make(group)


def test_killed_ten_times_it_ends_with_the_same_files(tmp_path: Path) -> None:
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


def test_the_callback_shows_fixed_validation_people(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    data = build(NODES["data"], source=build(NODES["source"]), embeddings=build(NODES["embeddings"]))
    data.setup()
    predictor = checkpoint.load("runs/train/one/prior.safetensors")
    module = PreferenceModule(model=predictor.model, objective=predictor.objective, optimizer=torch.optim.AdamW)
    trainer = SimpleNamespace(
        current_epoch=4, sanity_checking=False, is_global_zero=True, datamodule=data, loggers=[], default_root_dir="run"
    )
    callback = GalleryCallback(people=2, n=2, every_n_epochs=5)
    callback.on_validation_epoch_end(trainer, module)
    shown = sorted(p.name for p in Path("run/galleries/epoch-0005/people").iterdir())
    assert len(shown) == 2
    page = Path(f"run/galleries/epoch-0005/people/{shown[0]}")
    assert "python sample.py" not in (page / "index.html").read_text()  # its weights are kept nowhere
    message = fails(monkeypatch, folder, "sample", f"manifest={(page / 'manifest.json').absolute()}")
    assert "made in training" in message
    assert set(shown) <= set(data.users("val"))
    trainer.current_epoch = 5
    callback.on_validation_epoch_end(trainer, module)
    assert not Path("run/galleries/epoch-0006").exists()
    trainer.current_epoch = 9
    callback.on_validation_epoch_end(trainer, module)
    assert sorted(p.name for p in Path("run/galleries/epoch-0010/people").iterdir()) == shown


def test_the_callback_logs_a_table_to_an_offline_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(folder / "staged"))
    data = build(NODES["data"], source=build(NODES["source"]), embeddings=build(NODES["embeddings"]))
    data.setup()
    predictor = checkpoint.load("runs/train/one/prior.safetensors")
    module = PreferenceModule(model=predictor.model, objective=predictor.objective, optimizer=torch.optim.AdamW)
    logger = wandb_logger(project="prefprior", folder=Path("logged"))
    trainer = SimpleNamespace(
        current_epoch=0, sanity_checking=False, is_global_zero=True, datamodule=data, loggers=[logger],
        default_root_dir="logged",
    )  # fmt: skip
    GalleryCallback(people=2, n=2, every_n_epochs=1).on_validation_epoch_end(trainer, module)
    logger.experiment.finish()
    (table,) = Path("logged").rglob("gallery*.table.json")
    logged = read_json(table)
    assert logged["columns"] == ["person", "gallery", "better_than", "utility"]
    assert {row[0] for row in logged["data"]} <= set(data.users("val"))
    assert len(logged["data"]) == 2
    (kept,) = Path("logged").rglob("*.wandb")  # what `wandb sync` uploads names the sheets
    for _ in range(300):  # W&B's own process writes it, a little after `finish` on a busy machine
        if kept.read_bytes().count(b"media/images/") == 2:
            break
        time.sleep(0.1)
    assert kept.read_bytes().count(b"media/images/") == 2


def _evil(folder: Path, unbroken: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """A copy of somebody's manifest, changed."""
    source = next((unbroken / "people").iterdir()) / "manifest.json"
    manifest = read_json(source)
    change(manifest)
    made = folder / "evil.json"
    made.write_text(json.dumps(manifest))
    return f"manifest={made}"


@pytest.mark.parametrize("key", ["users", "prompt", "history", "seed"])
def test_a_manifest_resolves_nothing(
    folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    marker = tmp_path / "ran"
    evil = f"${{oc.create:{{_target_: builtins.open, file: {marker}, mode: w}}}}"
    word = _evil(folder, unbroken, lambda m: m["settings"]["config"].update({key: evil}))
    message = fails(monkeypatch, folder, "sample", word, "run_dir=runs/sample/evil", QUIET)
    assert f"{key} is not a plain value" in message
    assert not marker.exists()


@pytest.mark.parametrize("group", ["source", "embeddings", "decoder", "safety"])
def test_a_manifest_chooses_no_class(
    folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, group: str
) -> None:
    node = {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": str(tmp_path / "written")}
    word = _evil(folder, unbroken, lambda m: m["settings"]["config"].update({group: node}))
    message = fails(monkeypatch, folder, "sample", word, "run_dir=runs/sample/evil", QUIET)
    assert f"Add {group}=..." in message
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("key", ["likes", "dislikes", "ratings"])
def test_a_manifest_is_not_trusted_with_paths(
    folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    word = _evil(folder, unbroken, lambda m: m["settings"]["config"].update({key: "/etc"}))
    assert f"add {key}=..." in fails(monkeypatch, folder, "sample", word, "run_dir=runs/sample/evil", QUIET)


@pytest.mark.parametrize("hash_", [None, 7, "", "abc"])
def test_a_manifest_without_a_hash_is_damaged(
    folder: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, hash_: object
) -> None:
    word = _evil(folder, unbroken, lambda m: m["settings"]["checkpoint"].update(sha256=hash_))
    assert "is damaged" in fails(monkeypatch, folder, "sample", word, "run_dir=runs/sample/evil", QUIET)
