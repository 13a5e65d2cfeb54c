"""Vectors in .npy files: mapped, and checked for what nothing can be learned from.

Shapes: N items, D dimension, S rows of a chunk.
"""

from pathlib import Path

import numpy as np

from prefprior.files import require_file

MAGIC = b"\x93NUMPY"
# What other files begin with, and what to do about each.
OTHERS = (
    (b"PK\x03\x04", "a zip archive (.npz of numpy, .pt of torch)"),
    (b"\x80", "a pickle"),
    (b"\x89HDF", "HDF5"),
    (b"PAR1", "Parquet"),
    (b"\x1f\x8b", "a gzip archive"),
)
# Lengths and differences of vectors are computed with 32 bits: outside of these bounds they overflow, or vanish beside
# what guards a division. CLIP's projections have numbers around 1.
LEAST, MOST = 1e-6, 1e12
SAVE = "Save the table with numpy.save as float16 or float32."


def load_vectors(path: Path) -> np.ndarray:
    """Maps an (N, D) float16 or float32 .npy; opening costs no memory."""
    vectors = load_array(path)
    if vectors.ndim != 2 or vectors.dtype not in (np.float16, np.float32):
        raise ValueError(
            f"{path} contains {vectors.dtype} of shape {vectors.shape}; embeddings must be an N x D table "
            f"of float16 or float32. {SAVE}"
        )
    return vectors


def load_array(path: Path) -> np.ndarray:
    """Maps an .npy of any type and shape; one that is another file, or not whole, is named."""
    path = require_file(path)
    with open(path, "rb") as file:
        head = file.read(16)
    if not head.startswith(MAGIC):
        kind = next((kind for begin, kind in OTHERS if head.startswith(begin)), None)
        kind = "safetensors" if head[8:10] == b'{"' else kind
        told = "it is empty" if not head else f"it is {kind}" if kind else "its first bytes are those of another format"
        raise ValueError(f"{path} is not a .npy file: {told}. {SAVE}")
    try:
        # "c": writes would go to private memory, which torch asks for; nothing here writes.
        values = np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(
            f"{path} is not a complete .npy file ({error}). Is it truncated? Copy it or make it again."
        ) from error
    behind = path.stat().st_size - getattr(values, "offset", 0) - values.nbytes
    if values.size and behind:
        raise ValueError(
            f"{path} continues for {behind:,} bytes after its table of {values.shape}: it seems to be "
            "several files in one. Join tables with numpy.concatenate and save the result."
        )
    return np.asarray(values) if values.ndim == 0 else values


def check_vectors(vectors_ND: np.ndarray, source: str) -> None:
    """Refuses empty tables, rows that are not finite, and rows between which nothing can be told apart.

    In chunks: the table may be larger than memory.
    """
    if len(vectors_ND) == 0 or vectors_ND.ndim != 2 or vectors_ND.shape[1] == 0:
        raise ValueError(f"{source} is empty: its shape is {vectors_ND.shape}. It needs one row per item.")
    low_D, high_D = np.full(vectors_ND.shape[1], np.inf), np.full(vectors_ND.shape[1], -np.inf)
    smallest, smallest_row = np.inf, 0  # of the largest numbers of the rows
    for start in range(0, len(vectors_ND), 65536):
        chunk_SD = np.asarray(vectors_ND[start : start + 65536])
        for bad, what in (
            (~np.isfinite(chunk_SD).all(1), "NaN or infinity"),
            (~chunk_SD.any(1), "only zeros"),
        ):
            if bad.any():
                rows = ", ".join(str(start + r) for r in np.flatnonzero(bad)[:5])
                raise ValueError(
                    f"{source}: rows {rows} (counted from 0) contain {what}. Remove them or embed them again."
                )
        np.minimum(low_D, chunk_SD.min(0), out=low_D)
        np.maximum(high_D, chunk_SD.max(0), out=high_D)
        largest_S = np.maximum(chunk_SD.max(1), -chunk_SD.min(1))
        if largest_S.min() < smallest:
            smallest, smallest_row = float(largest_S.min()), start + int(largest_S.argmin())
    largest = float(max(abs(low_D.min()), abs(high_D.max())))
    if not LEAST <= largest <= MOST:
        raise ValueError(
            f"{source}: the largest number is {largest:.3g}; norms and distances of such vectors overflow "
            "in float32. Multiply all vectors by the same number so that the values are around 1 "
            f"(between {LEAST:g} and {MOST:g})."
        )
    if smallest < LEAST:
        raise ValueError(
            f"{source}: row {smallest_row} (counted from 0) has no number above {smallest:.3g}: its "
            "direction is lost in float32. Remove it or embed it again."
        )
    if len(vectors_ND) > 1 and float((high_D - low_D).max()) <= LEAST * largest:
        raise ValueError(f"{source}: all {len(vectors_ND)} rows are equal, so they carry no information. Embed again.")
