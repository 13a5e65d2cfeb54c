"""A table of embeddings on disk: memory-mapped vectors, their ids, and a manifest that says what they are.

Shapes: N items, D dimension.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefprior.data.columns.ids import alike, fault, shown
from prefprior.data.embedding.contents import read_contents, write_contents
from prefprior.data.embedding.manifest import MANIFEST, TableManifest, again, fingerprint
from prefprior.data.embedding.vectors import LEAST, check_vectors, load_vectors
from prefprior.data.npy import save_chunks
from prefprior.files import read_lines, write_text
from prefprior.locks import in_turn
from prefprior.predictor import Catalogue
from prefprior.space import Space


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
    contents_file: Path | None = None
    known_ids: Sequence[str] | None = None
    read_texts: Callable[[], np.ndarray] | None = None  # raw text embeddings (N, D) of the items, where there are any
    texts_source: str = "the texts' embeddings"  # where they come from, in messages
    ids_source: str = "the table of embeddings"

    def texts(self) -> np.ndarray | None:
        """(N, D) of what the items' captions or prompts say, in the same CLIP; a row of zeros where there is none."""
        if self.read_texts is None:
            return None
        texts_ND = self.read_texts()
        if texts_ND.shape != self.vectors.shape:
            raise ValueError(
                f"{self.texts_source}: text embeddings need one row per item in the dimension of the space, "
                f"{self.vectors.shape}, got {texts_ND.shape}. Embed the texts with the text tower of "
                f"{self.space.name}."
            )
        lost_N = texts_ND.any(1) & (np.abs(texts_ND).max(1) < LEAST)
        for bad_N, what in (
            (~np.isfinite(texts_ND).all(1), "NaN or infinity"),
            (lost_N, "values too small to be stored"),
        ):
            if bad_N.any():
                rows = ", ".join(map(str, np.flatnonzero(bad_N)[:5]))
                raise ValueError(
                    f"{self.texts_source}: rows {rows} (counted from 0) contain {what}. A row of zeros means that "
                    "there is no text."
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
            remedy = f" {again(self.folder)}" if self.folder else ""
            raise ValueError(f"{where} lists {len(ids)} items, but there are {len(self.vectors)} vectors.{remedy}")
        return ids

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each id."""
        return {item: row for row, item in enumerate(self.ids)}

    @cached_property
    def contents_N(self) -> np.ndarray | None:
        """Which picture each row was embedded from, where the rows are of pictures; (N,) of `contents.CONTENT`."""
        return None if self.contents_file is None else read_contents(self.contents_file, len(self))

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
                f"{source} has {len(vectors_ND)} rows, but {ids_source} has {len(ids)} item ids. Both need "
                "one line per item, in the same order."
            )
        check_vectors(vectors_ND, source)
        return cls(Space.measure(space_name, vectors_ND), vectors_ND, known_ids=ids, ids_source=ids_source)

    @classmethod
    def open(cls, folder: str | Path) -> "EmbeddingTable":
        """Maps a stored table; a missing, half-written or changed file is refused by name."""
        manifest = TableManifest.read(Path(folder))
        files = {kind: manifest.file(kind) for kind in manifest.files}
        vectors = load_vectors(files["vectors"])
        if vectors.shape != (manifest.count, manifest.space.dim):
            raise ValueError(
                f"{files['vectors']} has the shape {vectors.shape}, but {manifest.folder / MANIFEST} says "
                f"({manifest.count}, {manifest.space.dim}). {again(manifest.folder)}"
            )
        facts = {"encoder": manifest.encoder, "set_aside": manifest.set_aside}
        return cls(manifest.space, vectors, manifest.folder, facts, files["ids"], files.get("contents"))

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
        contents_N: np.ndarray | None = None,
    ) -> "EmbeddingTable":
        """`write` for a table that does not fit into memory: its rows come in chunks. `contents_N` says which picture
        each is of."""
        folder = Path(folder)
        check_ids(ids, str(folder))
        with in_turn(folder):
            version = TableManifest.read(folder).version + 1 if (folder / MANIFEST).is_file() else 0
            vectors_path, ids_path = folder / f"vectors-{version}.npy", folder / f"ids-{version}.txt"
            paths = {"vectors": vectors_path, "ids": ids_path}
            save_chunks(vectors_path, chunks, shape=(len(ids), dim), dtype=dtype)
            write_text(ids_path, "".join(f"{item}\n" for item in ids))
            stored = load_vectors(vectors_path)
            check_vectors(stored, str(vectors_path))
            kept = {vectors_path, ids_path}
            if contents_N is not None:
                paths["contents"] = folder / f"contents-{version}.npy"
                kept |= write_contents(paths["contents"], contents_N)
            TableManifest(
                folder=folder,
                version=version,
                count=len(ids),
                dtype=str(stored.dtype),
                set_aside=set_aside,
                encoder=encoder or {},
                files={kind: (path, fingerprint(path)) for kind, path in paths.items()},
                space=Space.measure(space_name, stored),
            ).write()
            for kind in ("vectors-*.npy", "ids-*.txt", "contents-*.npy", "stamps-*.npy"):
                for old in set(folder.glob(kind)) - kept:
                    old.unlink()
            return cls.open(folder)

    def _ids_path(self) -> Path:
        assert self.ids_file is not None, "a table has either its ids or a file of them"
        return self.ids_file


def read_ids(path: Path) -> list[str]:
    """One id per line; a byte-order mark and Windows line ends are taken off."""
    return read_lines(path)


def check_ids(ids: Sequence[str], source: str) -> None:
    """Refuses what cannot be an id, repeated ids and ids that look alike; `source` is the file with one a line."""
    seen: dict[str, int] = {}
    for row, item in enumerate(ids, 1):
        if reason := fault(item):
            raise ValueError(
                f"{source}:{row}: {shown(item)} is not a valid item id: {reason}. Line i must be the id of row "
                "i of the vectors: correct it, and keep the number of lines."
            )
        if item in seen:
            raise ValueError(
                f"{source}:{row}: the id {shown(item)} is already in line {seen[item]}. Each item has one "
                "row: remove one of them from the ids and from the vectors."
            )
        seen[item] = row
    if pair := alike(ids):
        one, two = pair
        raise ValueError(
            f"{source}:{two + 1}: the id {shown(ids[two])} and {shown(ids[one])} in line {one + 1} differ "
            "only in surrounding spaces, invisible characters or "
            "the encoding of accents. If they are one item, remove one."
        )
