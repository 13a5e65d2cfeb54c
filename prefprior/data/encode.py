"""Embeds a source's pictures: resumable, spread over processes, each distinct picture once.

The work is cut into parts whose pictures and batches are fixed beforehand; a part is stored whole or not at all. A run
that is killed and started again therefore computes the same batches, and ends with the same bytes.
Shapes: N pictures, D dimension.
"""

import csv
import hashlib
import io
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from prefprior.choices import require_choice
from prefprior.data.embeddings import MANIFEST, EmbeddingTable, check_ids, read_ids
from prefprior.data.encoders import OpenClipEncoder
from prefprior.data.pictures import BadPictureError, Pictures
from prefprior.files import read_json, write_json, write_text, written_whole

PARTS, PLAN, SET_ASIDE = "parts", "plan.txt", "set_aside.csv"


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
    """What is to be embedded, what is already there, and which pictures are twins of others."""

    order: list[str]  # all ids of the finished table (and those set aside), old rows first
    twin_of: dict[str, str]
    parts: list[Part]
    old: EmbeddingTable | None


def encode(
    pictures: Pictures, encoder: OpenClipEncoder, folder: Path, rule: EncodeRule, trainer: Trainer
) -> tuple[EmbeddingTable, dict[str, str]]:
    """Embeds what is not yet in `folder`; returns the finished table and the reasons of the pictures set aside."""
    identity = encoder.identity()
    # Every process works the plan out for itself: they meet only once the trainer has started them all.
    order = work_order(pictures, folder)
    plan = make_plan(pictures, order, folder, identity, rule, str(trainer.precision))
    if trainer.is_global_zero:
        write_text(folder / PARTS / PLAN, "".join(f"{item}\n" for item in order))
    todo = [part for part in plan.parts if not part.path.is_file()]
    if todo:
        trainer.predict(
            EncodeModule(encoder, rule, sum(len(part.items) for part in todo), identity),
            PartLoader(todo, pictures, encoder, rule, trainer.global_rank, trainer.world_size),
            return_predictions=False,
        )
    trainer.strategy.barrier("parts")
    if trainer.is_global_zero:
        finish(plan, encoder, identity, folder, rule)
    trainer.strategy.barrier("finished")
    return EmbeddingTable.open(folder), read_set_aside(folder)


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
    twin_of = twins(pictures, [i for i in known if i in present], fresh)
    distinct = [i for i in fresh if i not in twin_of]
    parts = []
    for number, start in enumerate(range(0, len(distinct), rule.part_size)):
        items = distinct[start : start + rule.part_size]
        name = hashlib.sha256(
            json.dumps(
                [identity, precision, rule.dtype, rule.batch_size, [_stamp(pictures, i) for i in items]]
            ).encode()
        ).hexdigest()[:12]
        parts.append(Part(number, items, folder / PARTS / f"{number:06d}-{name}.npy"))
    return Plan(order, twin_of, parts, old)


def twins(pictures: Pictures, known: list[str], fresh: list[str]) -> dict[str, str]:
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


def finish(plan: Plan, encoder: OpenClipEncoder, identity: dict[str, object], folder: Path, rule: EncodeRule) -> None:
    """Puts the parts together into one table, with a list of what was set aside."""
    bad: dict[str, str] = {}
    place: dict[str, tuple[int, int]] = {}
    for part in plan.parts:
        reasons = part.read()[1]
        bad.update(reasons)
        place.update({item: (part.number, row) for row, item in enumerate(i for i in part.items if i not in reasons)})
    bad.update({item: bad[original] for item, original in plan.twin_of.items() if original in bad})
    share = len(bad) / max(len(plan.order), 1)
    write_set_aside(folder, bad)
    if share > rule.max_bad or len(bad) == len(plan.order):
        raise ValueError(
            f"{len(bad)} of {len(plan.order)} pictures could not be embedded, more than max_bad={rule.max_bad:g}; "
            f"each is listed with its reason in {folder / SET_ASIDE}. Repair them, or allow more with max_bad=..."
        )
    ids = [item for item in plan.order if item not in bad]
    known = len(plan.old) if plan.old is not None else 0
    if ids[known:]:

        def chunks() -> Iterator[np.ndarray]:
            if plan.old is not None:
                yield plan.old.vectors
            loaded: dict[int, np.ndarray] = {}
            for start in range(known, len(ids), 4096):
                rows = []
                for item in ids[start : start + 4096]:
                    original = plan.twin_of.get(item, item)
                    if original in place:
                        number, row = place[original]
                        if number not in loaded:
                            loaded[number] = np.load(plan.parts[number].path, mmap_mode="r")
                        rows.append(loaded[number][row])
                    else:
                        assert plan.old is not None
                        rows.append(plan.old.vectors[plan.old.row_of[original]])
                yield np.stack(rows)

        EmbeddingTable.write_chunks(
            folder,
            encoder.space_name,
            ids,
            chunks(),
            dim=encoder.dim,
            dtype=rule.dtype,
            encoder=identity,
            set_aside=len(bad),
        )
    shutil.rmtree(folder / PARTS)


def write_set_aside(folder: Path, bad: dict[str, str]) -> None:
    """Lists the pictures set aside with the reasons."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("picture", "reason"), *sorted(bad.items())])
    write_text(folder / SET_ASIDE, text.getvalue())


def read_set_aside(folder: Path) -> dict[str, str]:
    """The pictures set aside with the reasons."""
    path = folder / SET_ASIDE
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
        return {row[0]: row[1] for row in rows}


class PartDataset(Dataset[tuple[int, int, Tensor | None, dict[str, str]]]):
    """Batches of decoded and preprocessed pictures; a bad picture is a reason instead."""

    def __init__(self, batches: list[tuple[int, list[str]]], pictures: Pictures, encoder: OpenClipEncoder) -> None:
        self.batches, self.pictures, self.preprocess = batches, pictures, encoder.preprocess

    def __getitem__(self, index: int) -> tuple[int, int, Tensor | None, dict[str, str]]:
        part, items = self.batches[index]
        pixels, bad = [], {}
        for item in items:
            try:
                pixels.append(self.preprocess(self.pictures.open(item)))
            except BadPictureError as error:
                bad[item] = str(error)
        return part, len(items), torch.stack(pixels) if pixels else None, bad


class PartLoader:
    """One rank's parts, batch by batch: part p belongs to rank p mod world."""

    def __init__(
        self, parts: list[Part], pictures: Pictures, encoder: OpenClipEncoder, rule: EncodeRule, rank: int, world: int
    ) -> None:
        self.parts = {part.number: part for part in parts[rank::world]}
        batches = [
            (part.number, part.items[start : start + rule.batch_size])
            for part in self.parts.values()
            for start in range(0, len(part.items), rule.batch_size)
        ]
        self.dataset, self.workers = PartDataset(batches, pictures, encoder), rule.workers

    def __len__(self) -> int:
        return len(self.dataset.batches)

    def __iter__(self) -> Iterator[tuple[Part, int, Tensor | None, dict[str, str]]]:
        loader = DataLoader(
            self.dataset, sampler=range(len(self)), batch_size=None, num_workers=self.workers, collate_fn=None
        )
        for number, count, pixels, bad in loader:
            yield self.parts[number], count, pixels, bad


class EncodeModule(LightningModule):
    """Runs the encoder under Lightning's Trainer and stores each part when its last batch is done."""

    def __init__(self, encoder: OpenClipEncoder, rule: EncodeRule, total: int, identity: dict[str, object]) -> None:
        super().__init__()
        self.network = encoder.model
        self.encoder, self.rule, self.total = encoder, rule, total
        self.done: list[np.ndarray] = []
        self.bad: dict[str, str] = {}
        self.seen = 0
        self.bar: tqdm | None = None

    def on_predict_start(self) -> None:
        """Moves the encoder along and opens the bar: pictures per second and time left, of this rank's share."""
        self.encoder.to(self.device)
        share = -(-self.total // self.trainer.world_size)
        self.bar = tqdm(total=share, unit=" pictures", desc=self.encoder.space_name, disable=self.global_rank != 0)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leaves the batch where it is: only its pixels go to the device, when they are encoded."""
        return batch

    def predict_step(self, batch: tuple[Part, int, Tensor | None, dict[str, str]], batch_idx: int) -> None:
        """Embeds one batch; with the last of a part, stores it."""
        part, count, pixels, bad = batch
        self.bad.update(bad)
        self.seen += count
        if pixels is not None:
            self.done.append(self.encoder.encode_pixels(pixels).cpu().numpy().astype(self.rule.dtype))
        if self.seen == len(part.items):
            vectors = np.concatenate(self.done) if self.done else np.zeros((0, self.encoder.dim), self.rule.dtype)
            write_json(part.bad_path, self.bad)
            with written_whole(part.path) as temporary, open(temporary, "wb") as file:
                np.save(file, vectors, allow_pickle=False)
            self.done, self.bad, self.seen = [], {}, 0
        assert self.bar is not None
        self.bar.update(count)

    def on_predict_end(self) -> None:
        """Closes the bar."""
        assert self.bar is not None
        self.bar.close()


def _stamp(pictures: Pictures, item: str) -> list[object]:
    path = pictures.path(item)
    if path is None or not path.is_file():
        return [item]
    state = path.stat()
    return [item, state.st_size, state.st_mtime_ns]
