"""What is to be embedded and in which parts, worked out from the pictures and from what is stored.

The work is cut into parts whose pictures and batches are fixed beforehand; a part is stored whole or not at all. A run
that is killed and started again therefore computes the same batches, and ends with the same bytes.
"""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prefprior.data.columns.ids import alike, shown
from prefprior.data.embedding.contents import CONTENT, Content, other_pictures
from prefprior.data.embedding.manifest import MANIFEST
from prefprior.data.embedding.table import EmbeddingTable, read_ids
from prefprior.data.pictures import Pictures
from prefprior.errors import require_choice
from prefprior.fields import Fields
from prefprior.files import read_json

PARTS, PLAN = "parts", "plan.txt"
CHANGED = ("refuse", "embed")
AGAIN = "Delete it and run the same command again."


@dataclass(frozen=True)
class EncodeRule:
    """How the work is cut; whatever changes the numbers is part of a part's name."""

    batch_size: int = 64
    part_size: int = 1024
    dtype: str = "float16"
    workers: int = 0
    max_bad: float = 0.05
    changed: str = "refuse"

    def __post_init__(self) -> None:
        require_choice("changed", self.changed, CHANGED)
        require_choice("dtype", self.dtype, ("float16", "float32"))
        if min(self.batch_size, self.part_size) < 1 or self.workers < 0:
            raise ValueError("batch_size and part_size must be at least 1, workers at least 0")
        if not 0 <= self.max_bad <= 1:
            raise ValueError(f"max_bad must be between 0 and 1, got {self.max_bad}")


@dataclass(frozen=True)
class Part:
    """Some pictures that are embedded and stored together."""

    number: int
    items: list[str]
    path: Path  # of the vectors; beside it, .json says what they are of

    @property
    def facts_path(self) -> Path:
        """What could not be embedded, with the reasons, and the contents of the rest."""
        return self.path.with_suffix(".json")

    def read(self) -> "StoredPart":
        """What is stored, refused unless it is whole."""
        fields = Fields(read_json(self.facts_path, AGAIN), self.facts_path, AGAIN)
        set_aside, contents = fields.fields("set_aside"), fields.fields("contents")
        bad = {item: set_aside.text(item) for item in set_aside}
        told = {item: _content(contents, item) for item in self.items}
        try:
            vectors = np.load(self.path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{self.path} is damaged ({error}). {AGAIN}") from error
        if vectors.ndim != 2 or len(vectors) + len(bad) != len(self.items):
            raise ValueError(
                f"{self.path} has {len(vectors)} vectors for {len(self.items)} pictures, of which {len(bad)} "
                f"were unreadable. {AGAIN}"
            )
        return StoredPart(vectors, told, bad)

    def is_done(self, pictures: Pictures) -> bool:
        """Whether it is stored, and of the pictures as they are now."""
        if not (self.path.is_file() and self.facts_path.is_file()):
            return False
        contents_N = np.asarray(list(self.read().contents.values()), dtype=CONTENT)
        return not other_pictures(pictures, self.items, contents_N)


class StoredPart(NamedTuple):
    """A part that has been embedded."""

    vectors: np.ndarray  # of the pictures that could be embedded, in order
    contents: dict[str, Content]  # of all
    bad: dict[str, str]  # why the others could not be


def _content(fields: Fields, item: str) -> Content:
    digest, stamp = fields.text(item, "(?s).+ [0-9a-f]{16}", "a digest and a stamp").rsplit(" ", 1)
    return digest.encode(), int(stamp, 16)


@dataclass(frozen=True)
class Plan:
    """What is to be embedded, what is already there, and which pictures are duplicates of others."""

    order: list[str]  # all ids of the finished table (and those set aside), old rows first
    fresh: set[str]  # which of them are embedded now
    original_of: dict[str, str]  # of each duplicate
    parts: list[Part]
    old: EmbeddingTable | None


def work_order(pictures: Pictures, folder: Path) -> list[str]:
    """All ids: those an earlier run noted first, so that pictures added since do not shift the parts already done."""
    if pair := alike(pictures.ids):
        one, other = (shown(pictures.ids[place]) for place in pair)
        raise ValueError(
            f"the picture ids {one} and {other} differ only in surrounding spaces, invisible characters or "
            "the encoding of accents. Rename one (convmv renames many)."
        )
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
                f"{folder} contains embeddings by {other.get('model')} with the weights "
                f"{other.get('weights')}, but this encoder is {identity['model']} with the weights "
                f"{identity['weights']}. Use that encoder or another embeddings.root, or delete the folder."
            )
        if str(old.vectors.dtype) != rule.dtype:
            raise ValueError(
                f"{folder} contains {old.vectors.dtype} embeddings, but dtype={rule.dtype} was requested: "
                "give the same dtype"
            )
    present = set(pictures.ids)
    changed = set() if old is None else _changed(old, pictures, [i for i in old.ids if i in present], rule)
    known = old.ids if old is not None else []
    fresh = [i for i in work if i in present and (old is None or i in changed or i not in old.row_of)]
    order = [*known, *(i for i in fresh if i not in changed)]
    original_of = duplicates(pictures, [i for i in known if i in present and i not in changed], fresh)
    distinct = [i for i in fresh if i not in original_of]
    parts = []
    for number, start in enumerate(range(0, len(distinct), rule.part_size)):
        items = distinct[start : start + rule.part_size]
        made_with = json.dumps([identity, precision, rule.dtype, rule.batch_size, items])
        name = hashlib.sha256(made_with.encode()).hexdigest()[:12]
        parts.append(Part(number, items, folder / PARTS / f"{number:06d}-{name}.npy"))
    return Plan(order, set(fresh), original_of, parts, old)


def _changed(old: EmbeddingTable, pictures: Pictures, items: list[str], rule: EncodeRule) -> set[str]:
    """Which pictures are others than those that were embedded under their ids: refused unless they may be replaced."""
    if old.contents_N is None:  # it was made elsewhere, or before contents were kept
        changed = items
    else:
        changed = other_pictures(pictures, items, old.contents_N[[old.row_of[item] for item in items]])
    if changed and rule.changed == "refuse":
        told = "cannot be verified as" if old.contents_N is None else "is no longer"
        raise ValueError(
            f"{old.folder} contains embeddings of other pictures with the same ids: {changed[0]!r} {told} "
            f"the picture that was embedded ({len(changed)} of {len(items)} pictures). Give different sets "
            "of pictures different names (source.name=..., if the source has it). To replace the old "
            "embeddings, add changed=embed."
        )
    return set(changed)


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
