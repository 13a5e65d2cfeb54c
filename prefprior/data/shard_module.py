"""Training data that streams from shards; what `data=shards` builds."""

from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info

from prefprior.data.draws import DrawRule
from prefprior.data.loader import FixedLoader, TrainingLoader
from prefprior.data.shards import COUNTS, MANIFEST, ShardSet
from prefprior.data.sources.base import Source
from prefprior.data.stored import StoredEmbeddings
from prefprior.data.streaming import FixedShardBatches, ShardBatches
from prefprior.evaluation.predictor import Catalogue
from prefprior.space import Space


class ShardDataModule(LightningDataModule):
    """Batches as `PreferenceDataModule` makes them, without ratings or embeddings in memory.

    How the ratings are parted and scaled was settled when the shards were made.
    """

    space: Space
    shards: ShardSet

    def __init__(
        self,
        *,
        source: Source,
        embeddings: StoredEmbeddings | None = None,
        root: str = "shards",
        batch_size: int = 256,
        history_cap: int = 64,
        targets_per_user: int = 4,
        order: str = "set",
        short_histories: float = 0.5,
        epoch_batches: int | None = None,
        window: int = 4,
        workers: int = 0,
        pin_memory: bool = False,
        seed: int = 0,
    ) -> None:
        """`root` holds a folder per source and space, as `python shard.py` made them; `window` is how many shards each
        worker holds and shuffles at a time; the rest is as in `PreferenceDataModule`. A training continues to the bit
        with the same number of processes and workers."""
        super().__init__()
        self.source, self.root = source, Path(root)
        self.embeddings = embeddings or StoredEmbeddings()
        self.rule = DrawRule(history_cap, targets_per_user, order, short_histories)
        if min(batch_size, window) < 1 or (epoch_batches is not None and epoch_batches < 1):
            raise ValueError("batch_size, window and epoch_batches must be at least 1")
        self.batch_size, self.epoch_batches, self.window = batch_size, epoch_batches, window
        self.workers, self.pin_memory, self.seed = workers, pin_memory, seed
        self._drawn = 0
        self._loader: TrainingLoader | None = None
        self._ready = False

    def setup(self, stage: str | None = None) -> None:
        """Reads the manifest; once."""
        if self._ready:
            return
        folders = [path.parent for path in sorted((self.root / self.source.name).glob(f"*/{MANIFEST}"))]
        if self.embeddings.space is not None:
            folders = [folder for folder in folders if folder.name == self.embeddings.space.replace("/", "__")]
        if len(folders) != 1:
            found = ", ".join(str(folder) for folder in folders) or "none"
            raise ValueError(
                f"expected one set of shards of {self.source.name} under {self.root / self.source.name}, found {found}."
                " Make them with python shard.py source=..., or choose one with embeddings.space=..."
            )
        self.shards = ShardSet.open(folders[0])
        if "train" not in self.shards.parts:
            raise ValueError(f"{folders[0]} has no training part: make the shards again with another split")
        self.space = self.shards.space
        self._ready = True
        rank_zero_info(self.summary())

    @cached_property
    def catalogue(self) -> Catalogue:
        """The source's embeddings, memory-mapped: shards name items by their rows."""
        return self.embeddings.table(self.source).catalogue()

    def item_counts(self) -> np.ndarray:
        """How often each row of the catalogue was rated in training, (I,) int64."""
        return np.asarray(np.load(self.shards.folder / COUNTS, allow_pickle=False))

    @property
    def part_names(self) -> list[str]:
        """The parts, training first."""
        return sorted(self.shards.parts, key=lambda name: (name != "train", not name.startswith("val"), name))

    def train_dataloader(self) -> TrainingLoader:
        """The endless stream, an epoch at a time, from where a resumed training stopped."""
        rank, world = self._ranks()
        batches = ShardBatches(
            self.shards,
            self.rule,
            batch_size=self.batch_size,
            seed=self.seed,
            window=self.window,
            rank=rank,
            world=world,
            workers=self.workers,
        )
        epoch = self.epoch_batches or ceil(self.shards.ratings["train"] / (self.batch_size * self.rule.targets))
        self._loader = TrainingLoader(
            batches,
            batch_size=self.batch_size,
            epoch_batches=epoch,
            workers=self.workers,
            pin_memory=self.pin_memory,
            drawn=self._drawn,
        )
        return self._loader

    def val_dataloader(self) -> FixedLoader | list[FixedLoader]:
        """One fixed pass over all validation parts, or nothing where there is none."""
        return self.fixed_loader("val") if any(name.startswith("val") for name in self.part_names) else []

    def fixed_loader(self, name: str) -> FixedLoader:
        """The same draws of a part every time; "val" and "test" stand for all parts whose names begin so."""
        rank, world = self._ranks()
        parts = [
            part for part in self.part_names if part == name or (name in ("val", "test") and part.startswith(name))
        ]
        rule = DrawRule(self.rule.cap, self.rule.targets, self.rule.order, short=0.0)
        batches = FixedShardBatches(
            self.shards, parts, rule, batch_size=self.batch_size, seed=self.seed, rank=rank, world=world
        )
        return FixedLoader(batches, workers=0, pin_memory=self.pin_memory)

    def state_dict(self) -> dict[str, Any]:
        """How far the stream was consumed."""
        return {"drawn": self._loader.drawn if self._loader is not None else self._drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues the stream where the checkpoint was written."""
        self._drawn = int(state_dict["drawn"])
        if self._loader is not None:
            self._loader.drawn = self._drawn

    def summary(self) -> str:
        """What there is, in a few lines."""
        lines = [
            f"{self.shards.source}: shards in {self.shards.folder}, {self.space.name} ({self.space.dim} dimensions)"
        ]
        for name in self.part_names:
            shards = self.shards.parts[name]
            people = sum(shard.users for shard in shards)
            lines.append(
                f"  {name}: {self.shards.ratings[name]:,} ratings of {people:,} people in {len(shards)} shards"
            )
        return "\n".join(lines)

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)
