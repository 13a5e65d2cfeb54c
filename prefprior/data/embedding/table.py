"""A table of embeddings on disk: memory-mapped vectors, their ids, and a manifest that says what they are.

Shapes: N items, D dimension.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefprior.data.columns.ids import alike, fault, shown
from prefprior.files import (
    read_json,
    read_lines,
    require_file,
    write_json,
    write_text,
    written_whole,
)
from prefprior.locks import in_turn
from prefprior.predictor import Catalogue
from prefprior.space import Space

MANIFEST = "manifest.json"
FORMAT = 1
# A file is recognised by its size and a hash of evenly spread blocks: a terabyte cannot be read to open it.
_BLOCKS, _BLOCK = 64, 4096


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """Raw projections of one space, one row per item."""

    space: Space
    vectors: np.ndarray  # (N, D) float16 or float32, memory-mapped where it comes from a file
    folder: Path | None = None
    facts: dict[str, Any] = field(
        default_factory=dict
    )  # what the manifest says of the encoder and of what was set aside
    ids_file: Path | None = None
    known_ids: Sequence[str] | None = None
    read_texts: Callable[[], np.ndarray] | None = None  # raw text embeddings (N, D) of the items, where there are any
    texts_source: str = "the texts' embeddings"  # where they come from, in messages

    def texts(self) -> np.ndarray | None:
        """(N, D) of what the items' captions or prompts say, in the same CLIP; a row of zeros where there is none."""
        if self.read_texts is None:
            return None
        texts_ND = self.read_texts()
        if texts_ND.shape != self.vectors.shape:
            raise ValueError(
                f"{self.texts_source}: texts of items need a row for each and the space's dimension, "
                f"{self.vectors.shape}, got {texts_ND.shape}. Embed them with the text tower of {self.space.name}."
            )
        if not np.isfinite(texts_ND).all():
            rows = ", ".join(map(str, np.flatnonzero(~np.isfinite(texts_ND).all(1))[:5]))
            raise ValueError(
                f"{self.texts_source}: rows {rows} (counted from 0) hold NaN or infinity. Where there is no text, "
                "its row is zeros."
            )
        return texts_ND

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def ids(self) -> list[str]:
        """The id of each row; read when first asked for, since a list of a million strings is 60 MB."""
        ids = list(self.known_ids) if self.known_ids is not None else read_ids(self._ids_path())
        if len(ids) != len(self.vectors):
            where = self.ids_file or "the list of ids"
            raise ValueError(f"{where} names {len(ids)} items, but there are {len(self.vectors)} vectors")
        return ids

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each id."""
        return {item: row for row, item in enumerate(self.ids)}

    def catalogue(self) -> Catalogue:
        """The same rows as predictors take them; memory-mapped vectors stay so."""
        return Catalogue(self.space, self.ids, torch.from_numpy(self.vectors))

    @classmethod
    def of(
        cls,
        space_name: str,
        ids: Sequence[str],
        vectors_ND: np.ndarray,
        *,
        source: str = "embeddings",
        ids_source: str = "ids",
    ) -> "EmbeddingTable":
        """A table of ready-made vectors, checked; the last two name where they come from in messages."""
        check_ids(ids, ids_source)
        if len(ids) != len(vectors_ND):
            raise ValueError(
                f"{source} has {len(vectors_ND)} rows, but {ids_source} has {len(ids)} item ids. "
                "Both must have one line per item, in the same order."
            )
        check_vectors(vectors_ND, source)
        return cls(Space.measure(space_name, vectors_ND), vectors_ND, known_ids=ids)

    @classmethod
    def open(cls, folder: str | Path) -> "EmbeddingTable":
        """Maps a stored table; a missing, half-written or changed file is refused by name."""
        folder = Path(folder)
        manifest = read_manifest(folder)
        files = manifest["files"]
        for kind in ("vectors", "ids"):
            path = folder / files[kind]["name"]
            if not path.is_file():
                raise ValueError(f"{path} is missing, though {folder / MANIFEST} names it. {_again(folder)}")
            if fingerprint(path) != files[kind]["fingerprint"]:
                raise ValueError(f"{path} has changed since it was written. {_again(folder)}")
        vectors = load_vectors(folder / files["vectors"]["name"])
        space = Space.from_dict(manifest["space"])
        if vectors.shape != (manifest["count"], space.dim):
            raise ValueError(
                f"{folder / files['vectors']['name']} has the shape {vectors.shape}, but {folder / MANIFEST} says "
                f"({manifest['count']}, {space.dim}). {_again(folder)}"
            )
        facts = {key: manifest[key] for key in ("encoder", "set_aside")}
        return cls(space, vectors, folder, facts, folder / files["ids"]["name"])

    @classmethod
    def write(
        cls,
        folder: str | Path,
        space_name: str,
        ids: Sequence[str],
        vectors_ND: np.ndarray,
        *,
        encoder: dict[str, Any] | None = None,
        set_aside: int = 0,
    ) -> "EmbeddingTable":
        """Stores a table whole: readers see the old one until the manifest is renamed into place."""
        return cls.write_chunks(
            folder,
            space_name,
            ids,
            [vectors_ND],
            dim=vectors_ND.shape[1],
            dtype=str(vectors_ND.dtype),
            encoder=encoder,
            set_aside=set_aside,
        )

    @classmethod
    def write_chunks(
        cls,
        folder: str | Path,
        space_name: str,
        ids: Sequence[str],
        chunks: Iterable[np.ndarray],
        *,
        dim: int,
        dtype: str,
        encoder: dict[str, Any] | None = None,
        set_aside: int = 0,
    ) -> "EmbeddingTable":
        """`write` for a table that does not fit into memory: its rows come in chunks."""
        folder = Path(folder)
        check_ids(ids, str(folder))
        with in_turn(folder):
            version = read_manifest(folder)["version"] + 1 if (folder / MANIFEST).is_file() else 0
            vectors_path, ids_path = folder / f"vectors-{version}.npy", folder / f"ids-{version}.txt"
            header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (len(ids), dim)}
            with written_whole(vectors_path) as part, open(part, "wb") as file:
                np.lib.format.write_array_header_1_0(file, header)
                for chunk in chunks:
                    np.ascontiguousarray(chunk, dtype=dtype).tofile(file)
            write_text(ids_path, "".join(f"{item}\n" for item in ids))
            stored = load_vectors(vectors_path)
            check_vectors(stored, str(vectors_path))
            manifest = {
                "format": FORMAT,
                "version": version,
                "count": len(ids),
                "dtype": str(stored.dtype),
                "set_aside": set_aside,
                "encoder": encoder or {},
                "files": {
                    "vectors": {"name": vectors_path.name, "fingerprint": fingerprint(vectors_path)},
                    "ids": {"name": ids_path.name, "fingerprint": fingerprint(ids_path)},
                },
                "space": Space.measure(space_name, stored).to_dict(),
            }
            write_json(folder / MANIFEST, manifest)
            for old in (*folder.glob("vectors-*.npy"), *folder.glob("ids-*.txt")):
                if old not in (vectors_path, ids_path):
                    old.unlink()
            return cls.open(folder)

    def _ids_path(self) -> Path:
        assert self.ids_file is not None, "a table has either its ids or a file of them"
        return self.ids_file


def read_manifest(folder: Path) -> dict[str, Any]:
    """A table's manifest; anything else by that name is refused."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder} holds no embeddings: there is no {MANIFEST}. Make them with python embed.py")
    manifest = read_json(path)
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != FORMAT
        or not {"files", "space", "count"} <= set(manifest)
    ):
        raise ValueError(f"{path} is not a manifest of embeddings of format {FORMAT}. {_again(folder)}")
    return manifest


def load_vectors(path: Path) -> np.ndarray:
    """Maps an (N, D) float16 or float32 .npy; opening costs no memory."""
    path = require_file(path)
    try:
        # "c": writes would go to private memory, which torch asks for; nothing here writes.
        vectors = np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(
            f"{path} is not a whole .npy file ({error}). Was it cut short? Copy or make it again."
        ) from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype not in (np.float16, np.float32):
        found = f"{getattr(vectors, 'dtype', type(vectors))} of shape {getattr(vectors, 'shape', '?')}"
        raise ValueError(f"{path} holds {found}; embeddings are an N x D table of float16 or float32.")
    return vectors


def read_ids(path: Path) -> list[str]:
    """One id per line; a byte-order mark and Windows line ends are taken off."""
    return read_lines(path)


def check_ids(ids: Sequence[str], source: str) -> None:
    """Refuses what cannot be an id, repeated ids and ids that look alike; `source` is the file with one a line."""
    seen: dict[str, int] = {}
    for row, item in enumerate(ids, 1):
        if reason := fault(item):
            raise ValueError(
                f"{source}:{row}: {shown(item)} cannot be an item id: {reason}. Each line is the id of one row of "
                "vectors: correct it, and leave no line out."
            )
        if item in seen:
            raise ValueError(
                f"{source}:{row}: the id {shown(item)} was already in line {seen[item]}. Each item has one row: remove "
                "the other from the ids and from the vectors."
            )
        seen[item] = row
    if pair := alike(ids):
        one, two = pair
        raise ValueError(
            f"{source}:{two + 1}: the id {shown(ids[two])} looks like {shown(ids[one])} in line {one + 1}: they differ "
            "in spaces around them or in how accents are stored. Is it one item?"
        )


# Lengths and differences of vectors are computed with 32 bits: outside of these bounds they overflow, or vanish beside
# what guards a division. CLIP's projections have numbers around 1.
LEAST, MOST = 1e-6, 1e12


def check_vectors(vectors_ND: np.ndarray, source: str) -> None:
    """Refuses empty tables, rows that are not finite, and rows between which nothing can be told apart.

    In chunks: the table may be larger than memory.
    """
    if len(vectors_ND) == 0 or vectors_ND.ndim != 2 or vectors_ND.shape[1] == 0:
        raise ValueError(f"{source} is empty: its shape is {vectors_ND.shape}. It needs a row for each item.")
    low_D, high_D = np.full(vectors_ND.shape[1], np.inf), np.full(vectors_ND.shape[1], -np.inf)
    for start in range(0, len(vectors_ND), 65536):
        chunk_SD = np.asarray(vectors_ND[start : start + 65536])
        for bad, what in (
            (~np.isfinite(chunk_SD).all(1), "NaN or infinity"),
            (~chunk_SD.any(1), "nothing but zeros"),
        ):
            if bad.any():
                rows = ", ".join(str(start + r) for r in np.flatnonzero(bad)[:5])
                raise ValueError(f"{source}: rows {rows} (counted from 0) hold {what}. Remove or embed them again.")
        np.minimum(low_D, chunk_SD.min(0), out=low_D)
        np.maximum(high_D, chunk_SD.max(0), out=high_D)
    largest = float(max(abs(low_D.min()), abs(high_D.max())))
    if not LEAST <= largest <= MOST:
        raise ValueError(
            f"{source}: the largest number is {largest:.3g}; lengths and differences of such vectors are lost with 32 "
            f"bits. Multiply all by one number, so that they are around 1 (between {LEAST:g} and {MOST:g})."
        )
    if len(vectors_ND) > 1 and float((high_D - low_D).max()) <= LEAST * largest:
        raise ValueError(
            f"{source}: all {len(vectors_ND)} rows are alike, so that nothing can be told from them. Embed again."
        )


def fingerprint(path: Path) -> str:
    """A hash of a file's size and of evenly spread blocks of it."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    starts = sorted({round(i * max(size - _BLOCK, 0) / (_BLOCKS - 1)) for i in range(_BLOCKS)})
    with open(path, "rb") as file:
        for start in starts:
            file.seek(start)
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:32]


def _again(folder: Path) -> str:
    return f"Delete {folder} and run the same python embed.py command again."
