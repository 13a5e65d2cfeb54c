"""Embeds a source's pictures: resumable, spread over processes, each distinct picture once.

Shapes: N pictures, D dimension.
"""

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from prefprior.data.decoding import BadPictureError
from prefprior.data.embedding.contents import CONTENT, Content, content_of
from prefprior.data.embedding.encoders import OpenClipEncoder
from prefprior.data.embedding.plan import PARTS, PLAN, EncodeRule, Part, Plan, make_plan, work_order
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.npy import save_array
from prefprior.data.pictures import Pictures
from prefprior.files import write_json, write_text

SET_ASIDE = "set_aside.csv"


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
    todo = [part for part in plan.parts if not part.is_done(pictures)]
    if todo:
        module = EncodeModule(encoder, rule, sum(len(part.items) for part in todo), identity)
        batches = PartLoader(todo, pictures, encoder, rule, trainer.global_rank, trainer.world_size)
        try:
            trainer.predict(module, batches, return_predictions=False)
        finally:
            module.close()  # before anything else is said
    trainer.strategy.barrier("parts")
    if trainer.is_global_zero:
        finish(plan, pictures, encoder, identity, folder, rule)
    trainer.strategy.barrier("finished")
    return EmbeddingTable.open(folder), read_set_aside(folder)


def finish(
    plan: Plan,
    pictures: Pictures,
    encoder: OpenClipEncoder,
    identity: dict[str, object],
    folder: Path,
    rule: EncodeRule,
) -> None:
    """Puts the parts together into one table, with a list of what was set aside."""
    bad: dict[str, str] = {}
    contents: dict[str, Content] = {}
    place: dict[str, tuple[int, int]] = {}
    for part in plan.parts:
        stored = part.read()
        bad.update(stored.bad)
        contents.update(stored.contents)
        place.update(
            {item: (part.number, row) for row, item in enumerate(i for i in part.items if i not in stored.bad)}
        )
    bad.update({item: bad[original] for item, original in plan.original_of.items() if original in bad})
    share = len(bad) / max(len(plan.order), 1)
    write_set_aside(folder, bad)
    if share > rule.max_bad or len(bad) == len(plan.order):
        raise ValueError(
            f"{len(bad)} of {len(plan.order)} pictures could not be embedded, more than the allowed share "
            f"max_bad={rule.max_bad:g}. {folder / SET_ASIDE} lists each with the reason. Repair them, or "
            "raise max_bad=..."
        )
    ids = [item for item in plan.order if item not in bad]
    if plan.fresh - bad.keys() or (plan.old is not None and len(ids) < len(plan.old)):
        contents.update({item: content_of(pictures, item) for item in plan.original_of})
        EmbeddingTable.write_chunks(
            folder,
            encoder.space_name,
            ids,
            _rows(plan, ids, place),
            dim=encoder.dim,
            dtype=rule.dtype,
            encoder=identity,
            set_aside=len(bad),
            contents_N=_contents(plan, ids, contents),
        )
    shutil.rmtree(folder / PARTS)


def _rows(plan: Plan, ids: list[str], place: dict[str, tuple[int, int]]) -> Iterator[np.ndarray]:
    """The vectors of some pictures in chunks: from the parts, or from the table that there was."""
    loaded: dict[int, np.ndarray] = {}
    for start in range(0, len(ids), 4096):
        rows = []
        for item in ids[start : start + 4096]:
            original = plan.original_of.get(item, item)
            if original in place:
                number, row = place[original]
                if number not in loaded:
                    loaded[number] = np.load(plan.parts[number].path, mmap_mode="r")
                rows.append(loaded[number][row])
            else:
                assert plan.old is not None
                rows.append(plan.old.vectors[plan.old.row_of[original]])
        yield np.stack(rows)


def _contents(plan: Plan, ids: list[str], contents: dict[str, Content]) -> np.ndarray:
    """Which picture each row is of; of rows that stay, what was known."""
    known_N = None if plan.old is None else plan.old.contents_N
    found_N = np.zeros(len(ids), dtype=CONTENT)
    for row, item in enumerate(ids):
        if item in contents:
            found_N[row] = contents[item]
        elif known_N is not None and plan.old is not None:
            found_N[row] = known_N[plan.old.row_of[item]]
    return found_N


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


class Batch(NamedTuple):
    """Pictures that are embedded together."""

    part: int
    items: list[str]
    pixels: Tensor | None  # of those that could be read; None where there are none
    bad: dict[str, str]  # why the others could not be
    contents: dict[str, Content]


class PartDataset(Dataset[Batch]):
    """Batches of decoded and preprocessed pictures; a bad picture is a reason instead."""

    def __init__(self, batches: list[tuple[int, list[str]]], pictures: Pictures, encoder: OpenClipEncoder) -> None:
        self.batches, self.pictures, self.preprocess = batches, pictures, encoder.preprocess

    def __getitem__(self, index: int) -> Batch:
        part, items = self.batches[index]
        pixels, bad, contents = [], {}, {}
        for item in items:
            contents[item] = content_of(self.pictures, item)
            try:
                pixels.append(self.preprocess(self.pictures.open(item)))
            except BadPictureError as error:
                bad[item] = str(error)
        return Batch(part, items, torch.stack(pixels) if pixels else None, bad, contents)


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

    def __iter__(self) -> Iterator[tuple[Part, Batch]]:
        loader = DataLoader(
            self.dataset, sampler=range(len(self)), batch_size=None, num_workers=self.workers, collate_fn=None
        )
        for batch in loader:
            yield self.parts[batch.part], batch


class EncodeModule(LightningModule):
    """Runs the encoder under Lightning's Trainer and stores each part when its last batch is done."""

    def __init__(self, encoder: OpenClipEncoder, rule: EncodeRule, total: int, identity: dict[str, object]) -> None:
        super().__init__()
        self.network = encoder.model
        self.encoder, self.rule, self.total = encoder, rule, total
        self.done: list[np.ndarray] = []
        self.bad: dict[str, str] = {}
        self.contents: dict[str, Content] = {}
        self.bar: tqdm | None = None

    def on_predict_start(self) -> None:
        """Moves the encoder along and opens the bar: pictures per second and time left, of this rank's share."""
        self.encoder.to(self.device)
        share = -(-self.total // self.trainer.world_size)
        self.bar = tqdm(total=share, unit=" pictures", desc=self.encoder.space_name, disable=self.global_rank != 0)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leaves the batch where it is: only its pixels go to the device, when they are encoded."""
        return batch

    def predict_step(self, batch: tuple[Part, Batch], batch_idx: int) -> None:
        """Embeds one batch; with the last of a part, stores it."""
        part, read = batch
        self.bad.update(read.bad)
        self.contents.update(read.contents)
        if read.pixels is not None:
            self.done.append(self.encoder.encode_pixels(read.pixels).cpu().numpy().astype(self.rule.dtype))
        if len(self.contents) == len(part.items):
            vectors = np.concatenate(self.done) if self.done else np.zeros((0, self.encoder.dim), self.rule.dtype)
            contents = {item: f"{digest.decode()} {stamp:016x}" for item, (digest, stamp) in self.contents.items()}
            part.path.unlink(missing_ok=True)  # of pictures that have changed since: what is here is here whole
            write_json(part.facts_path, {"set_aside": self.bad, "contents": contents})
            save_array(part.path, vectors)
            self.done, self.bad, self.contents = [], {}, {}
        assert self.bar is not None
        self.bar.update(len(read.items))

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()
