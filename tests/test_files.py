"""Files are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from prefprior.files import make_folder, read_json, write_json, written_whole


def test_a_failed_write_keeps_the_old_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(RuntimeError), written_whole(tmp_path / "a.json") as part:
        part.write_text('{"x": ')
        raise RuntimeError("killed here")
    assert read_json(tmp_path / "a.json") == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "a.json", 1)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match=r"cannot write .*a\.json: No space left on device. Free some disk space"):
        write_json(tmp_path / "a.json", 2)
    assert read_json(tmp_path / "a.json") == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_unwritable_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot create the folder"):
        make_folder(tmp_path / "file" / "sub")


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ValueError, match=r"b\.json:1: not JSON"):
        read_json(tmp_path / "b.json")
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "c.json", {"x": float("nan")})
    assert not (tmp_path / "c.json").exists()


def test_content_and_name_are_synced_before_writing_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted(descriptor: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        done.append("renamed")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", renamed)
    write_json(tmp_path / "new" / "a.json", 1)
    assert done[0] == tmp_path.name, "the folder's own name"
    assert done[1].startswith(".a.json.")
    assert done[2:] == ["renamed", "new"]
