"""Training data that streams from shards; what `data=shards` builds."""

from functools import cached_property
from math import ceil
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from prefprior.data.datamodule import PreferenceDataModule, belongs, in_order
from prefprior.data.embedding_lookup import StoredEmbeddings
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.loader import FixedLoader, TrainingLoader
from prefprior.data.scaling import PersonScale, RatingScaling
from prefprior.data.shards.manifest import MANIFEST, ShardSet, training_digest
from prefprior.data.shards.streaming import FixedShardBatches, ShardBatches
from prefprior.data.sources.source import Source
from prefprior.data.splits import Splits
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable
from prefprior.space import Space


class ShardDataModule(PreferenceDataModule):
    """Batches as `PreferenceDataModule` makes them, without ratings or embeddings in memory.

    How ratings are parted and scaled for training was settled when the shards were made. What else is asked of the data
    (a person's history, an evaluation) is read from the source, then and only then.
    """

    PATHS = ("root",)

    def __init__(
        self,
        *,
        source: Source,
        embeddings: StoredEmbeddings | None = None,
        splits: Splits | None = None,
        scaling: RatingScaling | None = None,
        root: str = "shards",
        window: int = 4,
        batch_size: int = 256,
        history_cap: int = 64,
        targets_per_user: int = 4,
        order: str = "set",
        short_histories: float = 0.5,
        epoch_batches: int | None = None,
        missing_allowed: float = 0.01,
        workers: int = 0,
        pin_memory: bool = False,
        seed: int = 0,
    ) -> None:
        """`root` holds a folder per source and space, as `python shard.py` made them; `window` is how many shards each
        worker holds and shuffles at a time; the rest is as in `PreferenceDataModule`. A training continues to the bit
        with the same number of processes and workers."""
        super().__init__(
            source=source,
            embeddings=embeddings,
            splits=splits,
            scaling=scaling,
            batch_size=batch_size,
            history_cap=history_cap,
            targets_per_user=targets_per_user,
            order=order,
            short_histories=short_histories,
            epoch_batches=epoch_batches,
            missing_allowed=missing_allowed,
            workers=workers,
            pin_memory=pin_memory,
            seed=seed,
        )
        if window < 1:
            raise ValueError(f"data.window must be at least 1, got {window}")
        self.root, self.window = Path(root), window

    def setup(self, stage: str | None = None) -> None:
        """Reads the manifest; once."""
        if "shards" not in self.__dict__:
            rank_zero_info(self.summary())

    @cached_property
    def shards(self) -> ShardSet:
        """The source's shards in the chosen space."""
        folders = [path.parent for path in sorted((self.root / self.source.name).glob(f"*/{MANIFEST}"))]
        if self.embeddings.space is not None:
            folders = [folder for folder in folders if folder.name == self.embeddings.space.replace("/", "__")]
        if len(folders) != 1:
            found = ", ".join(str(folder) for folder in folders) or "none"
            raise ValueError(
                f"expected one set of shards of {self.source.name} under {self.root / self.source.name}, found {found}."
                " Make them with python shard.py source=..., or choose one with embeddings.space=..."
            )
        shards = ShardSet.open(folders[0])
        if "train" not in shards.parts:
            raise ValueError(f"{folders[0]} has no training part: make the shards again with another split")
        shards.require_settled(self.settled())
        return shards

    @property
    def space(self) -> Space:
        """The space of the embeddings in the shards."""
        return self.shards.space

    @cached_property
    def catalogue(self) -> Catalogue:
        """All items that have an embedding; refused if the table is another than the one the shards were made with."""
        found = super().catalogue
        if found.space.fingerprint() != self.space.fingerprint():
            raise ValueError(
                f"the embeddings of {self.source.name} are not those that the shards in {self.shards.folder} were made "
                "with: their rows may stand for other pictures by now. Make the shards again: python shard.py"
            )
        return found

    @cached_property
    def scale(self) -> PersonScale:
        """The scale that was fitted when the shards were made."""
        return self.shards.scale

    @property
    def part_names(self) -> list[str]:
        """The parts, training first."""
        return in_order(self.shards.parts)

    @cached_property
    def ratings(self) -> RatingsTable:
        """The source's ratings, for what shards do not hold; refused if they were parted otherwise than the shards'."""
        table = super().ratings
        if (
            found := training_digest(table.take(np.flatnonzero(self.splits.parts(table) == "train")))
        ) != self.shards.training:
            raise ValueError(
                f"the training part of {self.source.name} is no longer that of the shards in {self.shards.folder} "
                f"({found} instead of {self.shards.training}): its files, or arguments of the source, have changed. "
                "Evaluated like this, people who were trained on could pass for strangers. Make the shards again: "
                "python shard.py"
            )
        return table

    def use_texts(self) -> None:
        """Shards hold no texts."""
        raise ValueError("prior.text=true needs the pictures' texts, which shards do not hold: use data=memory")

    def item_counts(self) -> np.ndarray:
        """How often each row of the catalogue was rated in training, (I,) int64."""
        return self.shards.item_counts()

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
        epoch = self.epoch_batches or ceil(self.shards.rating_count("train") / (self.batch_size * self.rule.targets))
        self._loader = TrainingLoader(
            batches,
            batch_size=self.batch_size,
            epoch_batches=epoch,
            workers=self.workers,
            pin_memory=self.pin_memory,
            drawn=self._drawn,
        )
        return self._loader

    def fixed_loader(self, name: str) -> FixedLoader:
        """The same draws of a part every time."""
        rank, world = self._ranks()
        parts = [part for part in self.part_names if belongs(part, name)]
        rule = DrawRule(self.rule.cap, self.rule.targets, self.rule.order, short=0.0)
        batches = FixedShardBatches(
            self.shards, parts, rule, batch_size=self.batch_size, seed=self.seed, rank=rank, world=world
        )
        return FixedLoader(batches, workers=0, pin_memory=self.pin_memory)

    def summary(self) -> str:
        """What there is, in a few lines."""
        lines = [
            f"{self.shards.source}: shards in {self.shards.folder}, {self.space.name} ({self.space.dim} dimensions)"
        ]
        for name in self.part_names:
            shards = self.shards.parts[name]
            people = sum(shard.users for shard in shards)
            lines.append(
                f"  {name}: {self.shards.rating_count(name):,} ratings of {people:,} people in {len(shards)} shards"
            )
        return "\n".join(lines)
