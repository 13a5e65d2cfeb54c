"""A folder has one writer, and none when that one is dead."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prefprior.files import LOCK, written_whole
from prefprior.locks import in_turn, only_writer

REMEDY = "Wait for it."


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """As if another process wrote there: a lock is of an opened file, so that this one too is kept out."""
    with open(folder / LOCK, "a+") as file:
        file.write("embed.py (process 7 on there)")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_second_writer_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    with held(tmp_path):
        expected = rf"embed\.py \(process 7 on there\) is writing into {tmp_path}\. Wait for it\."
        with pytest.raises(ValueError, match=expected), only_writer(tmp_path, REMEDY):
            pass


def test_a_stale_lock_is_taken_over(tmp_path: Path) -> None:
    with held(tmp_path):
        pass
    with only_writer(tmp_path, REMEDY):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()


def test_releasing_a_lock_removes_its_file(tmp_path: Path) -> None:
    with only_writer(tmp_path / "new", REMEDY):
        pass
    assert not list((tmp_path / "new").iterdir())


def test_temporary_files_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    with written_whole(tmp_path / "deep" / "file") as part:
        part.write_text("half")
        left = tmp_path / "deep" / part.name
        kept = left.read_bytes()
    left.write_bytes(kept)
    (tmp_path / ".mine.tmp").touch()
    with only_writer(tmp_path, REMEDY):
        assert sorted(path.name for path in tmp_path.rglob("*.tmp")) == [".mine.tmp"]


def test_temporary_files_of_a_writer_in_a_subfolder_are_kept(tmp_path: Path) -> None:
    with only_writer(tmp_path / "deep", REMEDY), written_whole(tmp_path / "deep" / "file") as part:
        part.touch()
        with only_writer(tmp_path, REMEDY):
            assert part.exists()


def test_a_lock_is_reentrant(tmp_path: Path) -> None:
    with only_writer(tmp_path, REMEDY), in_turn(tmp_path):
        pass


def test_other_processes_of_a_run_share_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_RANK", "1")
    with held(tmp_path), only_writer(tmp_path, REMEDY):
        pass


def test_a_child_does_not_keep_the_lock_of_its_parent(tmp_path: Path) -> None:
    with only_writer(tmp_path, REMEDY):
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        with open(tmp_path / LOCK, "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


CHILD = """
import os, sys, time
os.environ["LOCAL_RANK"] = "1"
from prefprior.processes import end_with_parent
end_with_parent()
print("ready", flush=True)
time.sleep(60)
"""


def test_a_child_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """The parent is a shell that says so, as the first process of a run does; then it is killed."""
    (tmp_path / "child.py").write_text(CHILD)
    script = f"PREFPRIOR_PARENT=$$ {sys.executable} {tmp_path}/child.py & echo $!; wait"
    parent = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    parent.wait()
    try:
        for _ in range(200):  # looked for every second
            if not Path(f"/proc/{child}").exists():
                return
            time.sleep(0.05)
        pytest.fail("it lives on")
    finally:
        if Path(f"/proc/{child}").exists():
            os.kill(child, signal.SIGKILL)
