"""Arrays are written whole, and as numpy would write them."""

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from prefprior.data.npy import save_array, save_chunks

ARRAYS: dict[str, np.ndarray] = {
    "rows": np.arange(12, dtype=np.float32).reshape(4, 3),
    "half": np.ones((2, 5), np.float16),
    "empty": np.zeros((0, 3), np.float32),
    "digests": np.array([b"a", b"bc"], dtype="S32"),
    "counts": np.arange(7),
    "transposed": np.arange(6).reshape(2, 3).T,
}


@pytest.mark.parametrize("name", ARRAYS)
def test_written_arrays_are_read_back(tmp_path: Path, name: str) -> None:
    save_array(tmp_path / "a.npy", ARRAYS[name])
    read = np.load(tmp_path / "a.npy")
    assert read.dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(read, ARRAYS[name])


def test_writing_in_chunks_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = ARRAYS["rows"]
    np.save(tmp_path / "numpy.npy", rows)
    save_chunks(tmp_path / "ours.npy", [rows[:1].astype(np.float64), rows[1:]], shape=rows.shape, dtype="float32")
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may be larger than 200 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_truncated_array_is_detected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot write .*a\.npy"):
        save_array(tmp_path / "a.npy", np.arange(100))
    assert not list(tmp_path.iterdir())
