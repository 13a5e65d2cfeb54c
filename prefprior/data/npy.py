"""Arrays are written as `.npy` through Python's files.

numpy's own `save` and `tofile` write through C's, and say nothing when a disk is full: what is left is a whole name on
half an array.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from prefprior.files import written_whole


def save_array(path: str | Path, array: np.ndarray) -> None:
    """Writes a whole `.npy`."""
    save_chunks(path, [array], shape=array.shape, dtype=str(array.dtype))


def save_chunks(path: str | Path, chunks: Iterable[np.ndarray], *, shape: tuple[int, ...], dtype: str) -> None:
    """Writes a whole `.npy` of rows that come in chunks."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with written_whole(path) as part, open(part, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype=dtype).data)
