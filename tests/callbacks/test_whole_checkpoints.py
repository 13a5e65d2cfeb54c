"""Checkpoints are there whole, or as they were before."""

from pathlib import Path

import pytest
import torch

from prefprior.callbacks.whole_checkpoints import WholeCheckpoints


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, path = WholeCheckpoints(), tmp_path / "last.ckpt"
    writer.save_checkpoint({"step": 1}, path)

    def full(value: object, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise RuntimeError("unexpected pos 2884736 vs 2884624")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ValueError, match=r"cannot write .*last\.ckpt.*Free some disk space"):
        writer.save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_one_changed_bit_is_detected(tmp_path: Path) -> None:
    writer, path = WholeCheckpoints(), tmp_path / "last.ckpt"
    weights = torch.randn(1000)
    writer.save_checkpoint({"weights": weights}, path)
    data = bytearray(path.read_bytes())
    data[data.index(weights.numpy().tobytes()) + 500] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged .* delete the file and give the same command"):
        writer.load_checkpoint(path)


def test_half_a_checkpoint_is_refused(tmp_path: Path) -> None:
    writer, path = WholeCheckpoints(), tmp_path / "last.ckpt"
    writer.save_checkpoint({"step": 1}, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged"):
        writer.load_checkpoint(path)


def test_a_written_checkpoint_is_read(tmp_path: Path) -> None:
    WholeCheckpoints().save_checkpoint({"step": 1}, tmp_path / "last.ckpt")
    assert WholeCheckpoints().load_checkpoint(tmp_path / "last.ckpt", weights_only=True) == {"step": 1}
