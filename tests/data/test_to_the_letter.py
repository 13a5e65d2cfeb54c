"""Small copies of published layouts, and the commands the README tells their owners; only sizes and encoder differ."""

import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.sources.flickr_aes import RATINGS, SCORES
from prefprior.runs import last_checkpoint, read_metrics
from prefprior.world.render.factors import draw_factors
from prefprior.world.render.pictures import render
from tests.commands import fails, run

ROOT = Path(__file__).parents[2]
SMALL = (
    "prior=tiny", "trainer=cpu", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "data.epoch_batches=2",
    "data.batch_size=8", "data.draws.history_cap=8", "data.draws.targets_per_user=2",
)  # fmt: skip
SAMPLE = ("n=2", "steps=2", "history=4", "people=1", "candidates=1")
PICTURES = 40


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    generator = torch.Generator().manual_seed(0)
    return [Image.fromarray(p) for p in render(draw_factors(PICTURES, generator), np.arange(PICTURES))]


def embed_and_train(patch: pytest.MonkeyPatch, folder: Path, source: str, *words: str) -> dict[str, float]:
    run(patch, folder, "embed", f"source={source}", "encoder=world", *words)
    run(patch, folder, "train", f"experiment={source}", *words, *SMALL)
    return read_metrics(last_checkpoint().parent)


def flickr(root: Path, pictures: list[Image.Image]) -> None:
    random = np.random.default_rng(0)
    (root / "40K").mkdir(parents=True)
    names = [f"farm{i % 9}_{i}.jpg" for i in range(PICTURES)]
    for name, picture in zip(names, pictures):
        picture.save(root / "40K" / name)
    lines = [" worker, imagePair, score"]
    for worker in range(30):
        for i in random.choice(PICTURES, 6 + worker % 7, replace=False):
            lines.append(f" A{worker:02d}, {names[i]}, {random.integers(1, 6)}")
    (root / RATINGS).write_bytes("\r\n".join([*lines, ""]).encode())
    (root / SCORES).write_text("".join(f" {name} {random.random():.2f}\n" for name in names))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, pictures: list[Image.Image]) -> Iterator[Path]:
    """A folder with FLICKR-AES, embedded and trained on."""
    folder = tmp_path_factory.mktemp("home")
    flickr(folder / "FLICKR-AES", pictures)
    with pytest.MonkeyPatch.context() as patch:
        # Before embedding, the message is the command that embeds.
        wanted = ["train", "experiment=flickr_aes", "source.root=FLICKR-AES", "embeddings.encoder=world", *SMALL]
        message = fails(patch, folder, *wanted)
        command = re.search(r"python embed\.py .*", message)
        assert command is not None, message
        assert shlex.split(command[0])[2:] == ["source=flickr_aes", "source.root=FLICKR-AES", "encoder=world"]
        # From here on to the letter: that very command, by the entry file, in a process of its own.
        words = [sys.executable, str(ROOT / "embed.py"), *shlex.split(command[0])[2:]]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().splitlines()[-1].startswith("folder: runs/embed/")
        run(patch, folder, *wanted)
        yield folder


def test_flickr_aes_is_embedded_and_trained_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = EmbeddingTable.open(home / "embeddings" / "flickr_aes" / "world-clip")
    assert len(table) == PICTURES
    monkeypatch.chdir(home)
    assert read_metrics(last_checkpoint().parent)["flickr_aes/val/prior/loss"] > 0


def test_flickr_aes_is_sampled_from(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, home, "sample", *SAMPLE)
    made = next((home / "runs" / "sample").iterdir())
    assert list(made.glob("gallery/**/*.png")) or list(made.glob("gallery/**/*.jpg"))
    assert list(made.glob("gallery/**/index.html"))


def test_flickr_aes_from_shards(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    words = ("source=flickr_aes", "source.root=FLICKR-AES")
    assert "python shard.py" in fails(monkeypatch, home, "train", *words, "data=shards", *SMALL)
    run(monkeypatch, home, "shard", *words, "least=2")
    run(monkeypatch, home, "train", *words, "data=shards", *SMALL)
    assert read_metrics(last_checkpoint().parent)["flickr_aes/val/prior/loss"] > 0


def test_pamela(tmp_path: Path, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    random, root = np.random.default_rng(0), tmp_path / "PAMELA"
    for folder in ("annotations", "images"):
        (root / folder).mkdir(parents=True)
    for i, picture in enumerate(pictures):
        picture.save(root / "images" / f"{i}.png")
    people = {
        "train": range(12),
        "val_seen": range(6),
        "val_unseen": range(12, 15),
        "test_seen": range(6),
        "test_unseen": range(15, 18),
    }
    for n, (part, ids) in enumerate(people.items()):
        records = [
            {"participant_id": f"p{p}", "image_path": f"images/{i}.png", "original_score": int(random.integers(1, 6))}
            for p in ids
            for i in random.choice(np.arange(PICTURES)[n::5], 6, replace=False)
        ]
        (root / "annotations" / f"pamela_{part}.json").write_text(json.dumps(records))
    assert embed_and_train(monkeypatch, tmp_path, "pamela", "source.root=PAMELA")["pamela/val/prior/loss"] > 0


def test_pinterest(tmp_path: Path, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    for i, picture in enumerate(pictures):
        board = tmp_path / "boards" / f"person {i % 13}"
        board.mkdir(parents=True, exist_ok=True)
        picture.save(board / f"{i}.jpg")
    assert embed_and_train(monkeypatch, tmp_path, "pinterest", "source.root=boards")


def test_pickapic(tmp_path: Path, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    def encoded(i: int) -> bytes:
        file = io.BytesIO()
        pictures[i].save(file, "JPEG")
        return file.getvalue()

    random = np.random.default_rng(0)
    for part, people in (("train", range(12)), ("validation", range(12, 16)), ("test", range(16, 20))):
        rows = []
        for person in people:
            for a, b in random.choice(PICTURES, 8, replace=False).reshape(4, 2):
                won = float(random.choice([0, 0.5, 1]))
                rows.append((person, f"uid-{a}", f"uid-{b}", won, 1 - won, encoded(a), encoded(b)))
        columns = ["user_id", "image_0_uid", "image_1_uid", "label_0", "label_1", "jpg_0", "jpg_1"]
        (tmp_path / "pickapic" / "data").mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows, columns=columns).to_parquet(
            tmp_path / "pickapic" / "data" / f"{part}-00000-of-00001.parquet"
        )
    assert embed_and_train(monkeypatch, tmp_path, "pickapic", "source.root=pickapic")["pickapic/val/prior/loss"] > 0


def test_events_and_tables(tmp_path: Path, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / "pictures" / f"{i}.png")
    kinds = ["like", "click", "skip", "view", "hide"]
    lines = ["user,item,event,time,dwell"]
    for person in range(20):
        for n, i in enumerate(random.choice(PICTURES, 8, replace=False)):
            when = 1_700_000_000_000 + person * 10**6 + n * 60_000 + int(random.integers(9000))
            lines.append(f"u{person},{i},{kinds[random.integers(5)]},{when},{random.integers(0, 20)}")
    (tmp_path / "log.csv").write_text("\n".join(lines))
    words = ("source.log=log.csv", "source.pictures=pictures")
    run(monkeypatch, tmp_path, "embed", "source=events", "encoder=world", *words)
    run(monkeypatch, tmp_path, "train", "experiment=table", "source=events", *words, *SMALL)
    assert "events/val/prior/loss" in read_metrics(last_checkpoint().parent)

    # Bring your own: ratings and ready-made embeddings, trained on straight away.
    table = EmbeddingTable.open(tmp_path / "embeddings" / "events" / "world-clip")
    np.save(tmp_path / "e.npy", table.vectors)
    (tmp_path / "ids.txt").write_text("\n".join(table.ids))
    lines = [f"{u}\t{i}\t{random.integers(1, 6)}" for u in range(20) for i in random.choice(PICTURES, 6, replace=False)]
    (tmp_path / "r.tsv").write_text("\n".join(["user\titem\trating", *lines]))
    mine = ("source.ratings=r.tsv", "source.embeddings=e.npy", "source.items=ids.txt")
    run(monkeypatch, tmp_path, "train", "experiment=table", *mine, *SMALL)
    assert "table/val/prior/loss" in read_metrics(last_checkpoint().parent)
