"""Embedding: each distinct picture once, bad ones listed, resumed to the byte, foreign encoders refused."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image

from prefprior.data.embedding.encode import SET_ASIDE, EncodeModule, encode, read_set_aside
from prefprior.data.embedding.encoders import OpenClipEncoder
from prefprior.data.embedding.plan import PARTS, EncodeRule
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.pictures import FolderPictures

RULE = EncodeRule(batch_size=4, part_size=8, max_bad=0.5)


def trainer() -> Trainer:
    return Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip


def draw(folder: Path, first: int, last: int) -> None:
    folder.mkdir(exist_ok=True)
    for i in range(first, last):
        pixels = np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")


def run(folder: Path, encoder: OpenClipEncoder, out: Path, rule: EncodeRule = RULE) -> EmbeddingTable:
    return encode(FolderPictures(folder), encoder, out, rule, trainer())[0]


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each batch that is embedded from now on holds."""
    sizes: list[int] = []
    step = EncodeModule.predict_step

    def counting(self: EncodeModule, batch: Any, batch_idx: int) -> Any:
        sizes.append(len(batch[1].items))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(EncodeModule, "predict_step", counting)
    return sizes


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, encoder: OpenClipEncoder) -> tuple[Path, EmbeddingTable]:
    """The folder of ten pictures, and their table."""
    folder = tmp_path_factory.mktemp("whole")
    draw(folder / "p", 0, 10)
    rule = EncodeRule(batch_size=4, part_size=8, dtype="float32")
    return folder, run(folder / "p", encoder, folder / "e", rule)


def test_raw_projections_are_stored(whole: tuple[Path, EmbeddingTable], encoder: OpenClipEncoder) -> None:
    folder, table = whole
    direct = encoder.encode_images([Image.open(folder / "p" / name).convert("RGB") for name in table.ids])
    assert torch.from_numpy(np.array(table.vectors)).allclose(direct, atol=1e-4)
    assert not np.allclose(np.linalg.norm(table.vectors, axis=1), 1)


def test_a_table_carries_its_space(whole: tuple[Path, EmbeddingTable]) -> None:
    assert whole[1].space.name == "world-clip"


def test_a_finished_run_leaves_no_parts(whole: tuple[Path, EmbeddingTable]) -> None:
    assert not (whole[0] / "e" / PARTS).exists()


def test_duplicates_are_embedded_once(
    tmp_path: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "p", 0, 6)
    (tmp_path / "p" / "same.png").write_bytes((tmp_path / "p" / "002.png").read_bytes())
    sizes = counted(monkeypatch)
    table = run(tmp_path / "p", encoder, tmp_path / "e")
    assert sum(sizes) == 6
    assert (table.vectors[table.row_of["same.png"]] == table.vectors[table.row_of["002.png"]]).all()


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Eight pictures, two of which cannot be read."""
    draw(tmp_path / "p", 0, 7)
    (tmp_path / "p" / "004.png").write_bytes((tmp_path / "p" / "004.png").read_bytes()[:800])
    (tmp_path / "p" / "a,b.png").write_bytes(b"no, not a picture")
    return tmp_path / "p"


def test_bad_pictures_are_left_out_and_counted(broken: Path, encoder: OpenClipEncoder, tmp_path: Path) -> None:
    table = run(broken, encoder, tmp_path / "e")
    assert table.ids == [f"{i:03d}.png" for i in (0, 1, 2, 3, 5, 6)]
    assert table.facts["set_aside"] == 2


def test_bad_pictures_are_listed_with_their_reasons(broken: Path, encoder: OpenClipEncoder, tmp_path: Path) -> None:
    run(broken, encoder, tmp_path / "e")
    bad = read_set_aside(tmp_path / "e")
    assert set(bad) == {"004.png", "a,b.png"}
    assert bad["004.png"].startswith("truncated")


def test_too_many_bad_pictures_are_an_error(broken: Path, encoder: OpenClipEncoder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"2 of 8 pictures .* max_bad=0.1.*{SET_ASIDE}"):
        run(broken, encoder, tmp_path / "e", EncodeRule(max_bad=0.1))


@pytest.fixture
def grown(tmp_path: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[int]]:
    """Ten pictures that were embedded, and ten more with a duplicate of an old one; and what was embedded since."""
    draw(tmp_path / "p", 5, 15)
    run(tmp_path / "p", encoder, tmp_path / "e")
    draw(tmp_path / "p", 0, 5)
    draw(tmp_path / "p", 15, 20)
    (tmp_path / "p" / "same.png").write_bytes((tmp_path / "p" / "007.png").read_bytes())
    return tmp_path, counted(monkeypatch)


def test_only_new_pictures_are_embedded(grown: tuple[Path, list[int]], encoder: OpenClipEncoder) -> None:
    folder, sizes = grown
    assert len(run(folder / "p", encoder, folder / "e")) == 21
    assert sum(sizes) == 10


def test_existing_rows_keep_their_position(grown: tuple[Path, list[int]], encoder: OpenClipEncoder) -> None:
    folder, _ = grown
    old = np.array(EmbeddingTable.open(folder / "e").vectors)
    assert (run(folder / "p", encoder, folder / "e").vectors[:10] == old).all()


def test_a_duplicate_of_an_embedded_picture_copies_its_embedding(
    grown: tuple[Path, list[int]], encoder: OpenClipEncoder
) -> None:
    table = run(grown[0] / "p", encoder, grown[0] / "e")
    assert (table.vectors[table.row_of["same.png"]] == table.vectors[table.row_of["007.png"]]).all()


def test_without_new_pictures_no_file_changes(grown: tuple[Path, list[int]], encoder: OpenClipEncoder) -> None:
    folder, _ = grown
    run(folder / "p", encoder, folder / "e")
    before = files(folder / "e")
    run(folder / "p", encoder, folder / "e")
    assert files(folder / "e") == before


def test_a_resumed_run_gives_the_same_bytes(
    tmp_path: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "p", 0, 21)
    (tmp_path / "p" / "003.png").write_bytes(b"bad")
    run(tmp_path / "p", encoder, tmp_path / "whole")
    step, count = EncodeModule.predict_step, 0

    def failing(module: EncodeModule, batch: object, index: int) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyError("power cut")
        step(module, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(EncodeModule, "predict_step", failing)
        with pytest.raises(KeyError):
            run(tmp_path / "p", encoder, tmp_path / "cut")
    assert len(list((tmp_path / "cut" / PARTS).glob("*.npy"))) == 1
    run(tmp_path / "p", encoder, tmp_path / "cut")
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


@pytest.fixture
def unfinished(tmp_path: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of ten pictures (p) whose parts (in e) were stored and not yet put together."""
    draw(tmp_path / "p", 0, 10)
    with monkeypatch.context() as patch:
        patch.setattr("prefprior.data.embedding.encode.finish", lambda *a: None)
        with pytest.raises(ValueError, match="contains no embeddings"):
            run(tmp_path / "p", encoder, tmp_path / "e")
    return tmp_path


def test_a_broken_part_is_refused_by_name(unfinished: Path, encoder: OpenClipEncoder) -> None:
    part = sorted((unfinished / "e" / PARTS).glob("*.npy"))[0]
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(ValueError, match=rf"{part.name} is damaged"):
        run(unfinished / "p", encoder, unfinished / "e")


def test_a_deleted_part_is_made_again(unfinished: Path, encoder: OpenClipEncoder) -> None:
    sorted((unfinished / "e" / PARTS).glob("*.npy"))[0].unlink()
    assert len(run(unfinished / "p", encoder, unfinished / "e")) == 10


def test_another_encoder_is_refused_by_name(tmp_path: Path, encoder: OpenClipEncoder) -> None:
    draw(tmp_path / "p", 0, 4)
    run(tmp_path / "p", encoder, tmp_path / "e")
    other = OpenClipEncoder(model="world-clip")
    with torch.no_grad():
        next(p for n, p in other.model.named_parameters() if n.startswith("visual.")).add_(1)
    with pytest.raises(ValueError, match=r"contains embeddings by world-clip with the weights \w+, but this encoder"):
        run(tmp_path / "p", other, tmp_path / "e")


def test_another_precision_is_refused(tmp_path: Path, encoder: OpenClipEncoder) -> None:
    draw(tmp_path / "p", 0, 4)
    run(tmp_path / "p", encoder, tmp_path / "e")
    with pytest.raises(ValueError, match="float16 embeddings, but dtype=float32 was requested"):
        run(tmp_path / "p", encoder, tmp_path / "e", EncodeRule(dtype="float32", batch_size=4, part_size=8))


KILLED = """
    import sys
    from pathlib import Path
    import prefprior.world
    from tests.data.embedding.test_encode import run, OpenClipEncoder
    run(Path(sys.argv[1]), OpenClipEncoder(model="world-clip"), Path(sys.argv[2]))
"""


def test_a_run_killed_at_any_moment_is_resumed(tmp_path: Path, encoder: OpenClipEncoder) -> None:
    draw(tmp_path / "p", 0, 40)
    run(tmp_path / "p", encoder, tmp_path / "whole")
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "p"), str(tmp_path / "cut")]
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list((tmp_path / "cut" / PARTS).glob("*.npy")):
        time.sleep(0.005)
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    assert process.wait() in (0, -signal.SIGKILL)
    run(tmp_path / "p", encoder, tmp_path / "cut")
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_two_processes_write_the_same_bytes_as_one(tmp_path: Path) -> None:
    (tmp_path / "boards").mkdir()
    draw(tmp_path / "boards" / "a", 0, 12)
    draw(tmp_path / "boards" / "b", 12, 20)
    (tmp_path / "boards" / "b" / "broken.png").write_bytes(b"no picture")
    root = Path(__file__).parents[3]
    words = ["source=pinterest", "source.root=boards", "encoder=world", "part_size=3", "batch_size=3", "max_bad=0.5"]
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true"]
    printed = {}
    for name, more in (("one", []), ("two", two)):
        command = subprocess.Popen(
            [sys.executable, str(root / "embed.py"), *words, *more, f"embeddings.root={name}"], cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)},
            start_new_session=True,
        )  # fmt: skip
        try:
            printed[name], errors = command.communicate(timeout=480)
        except subprocess.TimeoutExpired:
            os.killpg(command.pid, signal.SIGKILL)  # its second process too, which would wait for the first for ever
            raise
        assert command.returncode == 0, errors[-2000:]
    one, other = (files(tmp_path / name / "pinterest" / "world-clip") for name in ("one", "two"))
    assert one == other
    assert printed["two"].count("folder: ") == 1
