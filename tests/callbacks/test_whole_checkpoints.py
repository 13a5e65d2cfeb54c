"""Checkpoints are there whole, or as they were before."""

from pathlib import Path

import pytest
import torch

from prefprior.callbacks.whole_checkpoints import WholeCheckpoints


def test_a_checkpoint_that_could_not_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, path = WholeCheckpoints(), tmp_path / "last.ckpt"
    writer.save_checkpoint({"step": 1}, path)

    def full(value: object, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise RuntimeError("unexpected pos 2884736 vs 2884624")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ValueError, match=r"cannot write .*last\.ckpt.*Free some space"):
        writer.save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
