"""What is to be embedded and in which parts, worked out from the pictures and from what is stored.

The work is cut into parts whose pictures and batches are fixed beforehand; a part is stored whole or not at all. A run
that is killed and started again therefore computes the same batches, and ends with the same bytes.
"""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prefprior.data.embedding.table import MANIFEST, EmbeddingTable, check_ids, read_ids
from prefprior.data.pictures import Pictures
from prefprior.errors import require_choice
from prefprior.files import read_json

PARTS, PLAN = "parts", "plan.txt"


@dataclass(frozen=True)
class EncodeRule:
    """How the work is cut; whatever changes the numbers is part of a part's name."""

    batch_size: int = 64
    part_size: int = 1024
    dtype: str = "float16"
    workers: int = 0
    max_bad: float = 0.05

    def __post_init__(self) -> None:
        require_choice("dtype", self.dtype, ("float16", "float32"))
        if min(self.batch_size, self.part_size) < 1 or self.workers < 0:
            raise ValueError("batch_size and part_size must be at least 1, workers at least 0")
        if not 0 <= self.max_bad <= 1:
            raise ValueError(f"max_bad is a share between 0 and 1, got {self.max_bad}")


@dataclass(frozen=True)
class Part:
    """Some pictures that are embedded and stored together."""

    number: int
    items: list[str]
    path: Path  # of the vectors; beside it, .json lists what was set aside

    @property
    def bad_path(self) -> Path:
        """What could not be embedded, with the reasons."""
        return self.path.with_suffix(".json")

    def read(self) -> tuple[np.ndarray, dict[str, str]]:
        """Vectors of the good pictures in order, and the reasons of the bad ones."""
        bad: dict[str, str] = read_json(self.bad_path)
        try:
            vectors = np.load(self.path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{self.path} is broken ({error}). Delete it and run the same command again.") from error
        if len(vectors) + len(bad) != len(self.items):
            raise ValueError(
                f"{self.path} has {len(vectors)} vectors and {len(bad)} pictures set aside for {len(self.items)} "
                "pictures. Delete it and run the same command again."
            )
        return vectors, bad


@dataclass(frozen=True)
class Plan:
    """What is to be embedded, what is already there, and which pictures are duplicates of others."""

    order: list[str]  # all ids of the finished table (and those set aside), old rows first
    original_of: dict[str, str]  # of each duplicate
    parts: list[Part]
    old: EmbeddingTable | None


def work_order(pictures: Pictures, folder: Path) -> list[str]:
    """All ids: those an earlier run noted first, so that pictures added since do not shift the parts already done."""
    check_ids(pictures.ids, "the pictures")
    path = folder / PARTS / PLAN
    noted = read_ids(path) if path.is_file() else []
    there = set(noted)
    return [*noted, *(item for item in pictures.ids if item not in there)]


def make_plan(
    pictures: Pictures, work: list[str], folder: Path, identity: dict[str, object], rule: EncodeRule, precision: str
) -> Plan:
    """Compares the pictures with what is stored."""
    old = None
    if (folder / MANIFEST).is_file():
        old = EmbeddingTable.open(folder)
        if old.facts["encoder"] != identity:
            other = old.facts["encoder"]
            raise ValueError(
                f"{folder} holds embeddings made by {other.get('model')} with the weights {other.get('weights')}; this "
                f"encoder is {identity['model']} with the weights {identity['weights']}. Use that encoder, another "
                "embeddings.root, or delete the folder."
            )
        if str(old.vectors.dtype) != rule.dtype:
            raise ValueError(f"{folder} holds {old.vectors.dtype}, dtype={rule.dtype} was asked for: give the same")
    present = set(pictures.ids)
    known = old.ids if old is not None else []
    fresh = [i for i in work if i in present and (old is None or i not in old.row_of)]
    order = [*known, *fresh]
    original_of = duplicates(pictures, [i for i in known if i in present], fresh)
    distinct = [i for i in fresh if i not in original_of]
    parts = []
    for number, start in enumerate(range(0, len(distinct), rule.part_size)):
        items = distinct[start : start + rule.part_size]
        name = hashlib.sha256(
            json.dumps(
                [identity, precision, rule.dtype, rule.batch_size, [_stamp(pictures, i) for i in items]]
            ).encode()
        ).hexdigest()[:12]
        parts.append(Part(number, items, folder / PARTS / f"{number:06d}-{name}.npy"))
    return Plan(order, original_of, parts, old)


def duplicates(pictures: Pictures, known: list[str], fresh: list[str]) -> dict[str, str]:
    """Which fresh pictures are identical to an earlier one; only files of equal size are read to find out."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for item in (*known, *fresh):
        path = pictures.path(item)
        by_size[path.stat().st_size if path is not None and path.is_file() else -1].append(item)
    new, found = set(fresh), {}
    for group in by_size.values():
        if len(group) < 2 or new.isdisjoint(group):
            continue
        first: dict[str, str] = {}
        for item in group:
            original = first.setdefault(pictures.digest(item), item)
            if original != item and item in new:
                found[item] = original
    return found


def _stamp(pictures: Pictures, item: str) -> list[object]:
    path = pictures.path(item)
    if path is None or not path.is_file():
        return [item]
    state = path.stat()
    return [item, state.st_size, state.st_mtime_ns]
