"""Embedding: each distinct picture once, bad ones listed, resumed to the byte, foreign encoders refused."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image

import prefprior.world  # noqa: F401 (registers the encoder of these tests)
from prefprior.data.embedding import encoders
from prefprior.data.embedding.encode import SET_ASIDE, EncodeModule, encode, read_set_aside
from prefprior.data.embedding.encoders import Encoder, OpenClipEncoder
from prefprior.data.embedding.plan import PARTS, EncodeRule
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.pictures import FolderPictures

RULE = EncodeRule(batch_size=4, part_size=8, max_bad=0.5)


def trainer() -> Trainer:
    return Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return OpenClipEncoder(model="world-clip")


def draw(folder: Path, first: int, last: int) -> None:
    folder.mkdir(exist_ok=True)
    for i in range(first, last):
        pixels = np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")


def run(folder: Path, encoder: OpenClipEncoder, out: Path, rule: EncodeRule = RULE) -> EmbeddingTable:
    return encode(FolderPictures(folder), encoder, out, rule, trainer())[0]


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_raw_projections_are_stored(tmp_path: Path, encoder: OpenClipEncoder) -> None:
    draw(tmp_path / "p", 0, 10)
    table = run(tmp_path / "p", encoder, tmp_path / "e", EncodeRule(batch_size=4, part_size=8, dtype="float32"))
    assert isinstance(encoder, Encoder)
    direct = encoder.encode_images([Image.open(tmp_path / "p" / name).convert("RGB") for name in table.ids])
    assert torch.from_numpy(np.array(table.vectors)).allclose(direct, atol=1e-4)
    assert table.space.name == "world-clip"
    assert not np.allclose(np.linalg.norm(table.vectors, axis=1), 1)
    assert not (tmp_path / "e" / PARTS).exists()


def test_duplicates_are_embedded_once_and_bad_pictures_listed(
    tmp_path: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "p", 0, 6)
    (tmp_path / "p" / "same.png").write_bytes((tmp_path / "p" / "002.png").read_bytes())
    (tmp_path / "p" / "004.png").write_bytes((tmp_path / "p" / "004.png").read_bytes()[:800])
    (tmp_path / "p" / "a,b.png").write_bytes(b"no, not a picture")
    seen = []
    step = EncodeModule.predict_step
    monkeypatch.setattr(EncodeModule, "predict_step", lambda s, b, i: (seen.append(b[1]), step(s, b, i))[1])
    table = run(tmp_path / "p", encoder, tmp_path / "e")
    assert sum(seen) == 7
    assert table.ids == ["000.png", "001.png", "002.png", "003.png", "005.png", "same.png"]
    assert (table.vectors[2] == table.vectors[5]).all()
    bad = read_set_aside(tmp_path / "e")
    assert set(bad) == {"004.png", "a,b.png"}
    assert bad["004.png"].startswith("truncated")
    assert table.facts["set_aside"] == 2
    with pytest.raises(ValueError, match=rf"2 of 8 pictures .* max_bad=0.1.*{SET_ASIDE}"):
        run(tmp_path / "p", encoder, tmp_path / "strict", EncodeRule(max_bad=0.1))


def test_new_pictures_are_added_without_the_old_ones(
    tmp_path: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "p", 5, 15)
    old = np.array(run(tmp_path / "p", encoder, tmp_path / "e").vectors)
    draw(tmp_path / "p", 0, 5)
    draw(tmp_path / "p", 15, 20)
    (tmp_path / "p" / "same.png").write_bytes((tmp_path / "p" / "007.png").read_bytes())
    seen = []
    step = EncodeModule.predict_step
    monkeypatch.setattr(EncodeModule, "predict_step", lambda s, b, i: (seen.append(b[1]), step(s, b, i))[1])
    table = run(tmp_path / "p", encoder, tmp_path / "e")
    assert sum(seen) == 10
    assert (table.vectors[:10] == old).all()
    assert len(table) == 21
    assert (table.vectors[table.row_of["same.png"]] == table.vectors[table.row_of["007.png"]]).all()
    before = files(tmp_path / "e")
    run(tmp_path / "p", encoder, tmp_path / "e")  # nothing to do
    assert files(tmp_path / "e") == before


def test_an_interrupted_run_ends_with_the_same_bytes(
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
        step(module, batch, index)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(EncodeModule, "predict_step", failing)
        with pytest.raises(KeyError):
            run(tmp_path / "p", encoder, tmp_path / "cut")
    assert len(list((tmp_path / "cut" / PARTS).glob("*.npy"))) == 1
    run(tmp_path / "p", encoder, tmp_path / "cut")
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_a_broken_part_is_refused_by_name(
    tmp_path: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "p", 0, 10)
    with monkeypatch.context() as patch:
        patch.setattr("prefprior.data.embedding.encode.finish", lambda *a: None)
        with pytest.raises(ValueError, match="holds no embeddings"):
            run(tmp_path / "p", encoder, tmp_path / "e")
    part = sorted((tmp_path / "e" / PARTS).glob("*.npy"))[0]
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(ValueError, match=rf"{part.name} is broken"):
        run(tmp_path / "p", encoder, tmp_path / "e")
    part.unlink()
    assert len(run(tmp_path / "p", encoder, tmp_path / "e")) == 10


def test_a_foreign_encoder_is_refused_by_name(tmp_path: Path, encoder: OpenClipEncoder) -> None:
    draw(tmp_path / "p", 0, 4)
    run(tmp_path / "p", encoder, tmp_path / "e")
    draw(tmp_path / "p", 4, 5)
    other = OpenClipEncoder(model="world-clip")
    with torch.no_grad():
        next(p for n, p in other.model.named_parameters() if n.startswith("visual.")).add_(1)
    with pytest.raises(ValueError, match=r"holds embeddings made by world-clip with the weights \w+; this encoder"):
        run(tmp_path / "p", other, tmp_path / "e")
    with pytest.raises(ValueError, match="float16, dtype=float32 was asked for"):
        run(tmp_path / "p", encoder, tmp_path / "e", EncodeRule(dtype="float32", batch_size=4, part_size=8))


def test_encoders_are_named_or_refused(tmp_path: Path) -> None:
    assert OpenClipEncoder(model="ViT-bigG-14", pretrained="laion2b_s39b_b160k").space_name == (
        "ViT-bigG-14/laion2b_s39b_b160k"
    )
    checkpoint = tmp_path / "mine.pt"
    checkpoint.touch()
    assert OpenClipEncoder(model="ViT-H-14", pretrained=str(checkpoint)).space_name == "ViT-H-14/mine"
    assert OpenClipEncoder(model="ViT-H-14", pretrained=str(checkpoint), space="x/y").space_name == "x/y"
    for arguments, message in (
        ({"model": "ViT-bigG14"}, r"did you mean ViT-bigG-14\?"),
        ({"model": "ViT-H-14", "pretrained": "laion2b"}, r"did you mean laion2b_s32b_b79k\?"),
        ({"model": "ViT-H-14"}, r"encoder.pretrained is missing"),
        ({"model": "world-clip", "pretrained": "x"}, r"leave encoder.pretrained out"),
    ):
        with pytest.raises(ValueError, match=message):
            OpenClipEncoder(**arguments)  # type: ignore[arg-type]


def test_a_registered_model_brings_its_own_weights(encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "_BUNDLED", {})
    encoders.register_encoder("RN50", lambda: encoders.LoadedClip(encoder.model, encoder.preprocess, str.split))
    registered = OpenClipEncoder(model="RN50")
    assert registered.space_name == "RN50"
    assert registered.model is encoder.model


KILLED = """
    import sys
    from pathlib import Path
    from tests.data.embedding.test_encode import run, OpenClipEncoder
    run(Path(sys.argv[1]), OpenClipEncoder(model="world-clip"), Path(sys.argv[2]))
"""


def test_sigkill_at_any_moment(tmp_path: Path, encoder: OpenClipEncoder) -> None:
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


def test_two_processes_write_the_bytes_of_one(tmp_path: Path) -> None:
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
