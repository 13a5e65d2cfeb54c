"""The data as Lightning takes them: loaders over the ratings of a source, and how far training has read them."""

from dataclasses import replace
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_only

from prefprior.data.embedding_lookup import StoredEmbeddings
from prefprior.data.histories.assembler import HeldOutRatings, build_histories
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.loader import FixedLoader, TrainingLoader
from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import PersonScale, RatingScaling
from prefprior.data.shards.stored import ShardedTables, StoredShards
from prefprior.data.sources.source import Source
from prefprior.data.splits import Splits, belongs
from prefprior.data.tables import PreferenceTables
from prefprior.history import History
from prefprior.nodes import Loadable
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable
from prefprior.space import Space

CALIBRATION_TARGETS = 64  # of each validation user: there may be few of them


class PreferenceDataModule(Loadable, LightningDataModule):
    """A source's ratings with its embeddings: `space`, `catalogue`, `ratings`, `scale`, the parts and their loaders.

    Each is read when first asked for; `setup()` asks for all that training needs.
    """

    def __init__(
        self,
        *,
        source: Source,
        embeddings: StoredEmbeddings | None = None,
        splits: Splits | None = None,
        scaling: RatingScaling | None = None,
        shards: StoredShards | None = None,
        draws: DrawRule | None = None,
        batch_size: int = 256,
        epoch_batches: int | None = None,
        missing_allowed: float = 0.01,
        workers: int = 0,
        pin_memory: bool = False,
        seed: int = 0,
    ) -> None:
        """`shards` are streamed from, where they are given; `batch_size` counts users over all processes together;
        an epoch has `epoch_batches`, or as many as it takes to have each rating as a target
        once; `missing_allowed` is the share of ratings whose picture may be missing."""
        super().__init__()
        if not isinstance(source, Source):
            raise ValueError(f"source is a {type(source).__name__}, which is not a source: choose one with source=...")
        if embeddings is not None and not callable(getattr(embeddings, "table", None)):
            raise ValueError(
                f"embeddings is a {type(embeddings).__name__}, which does not provide an embedding table: leave it out"
            )
        self.source, self.splits, self.shards = source, splits or Splits(), shards
        self.tables = PreferenceTables(
            source=source,
            embeddings=embeddings or StoredEmbeddings(),
            splits=self.splits,
            scaling=scaling or RatingScaling(),
            missing_allowed=missing_allowed,
        )
        self.draws = draws or DrawRule()
        if batch_size < 1 or (epoch_batches is not None and epoch_batches < 1):
            raise ValueError(f"batch_size and epoch_batches must be at least 1, got {batch_size} and {epoch_batches}")
        self.batch_size, self.epoch_batches = batch_size, epoch_batches
        self.workers, self.pin_memory, self.seed = workers, pin_memory, seed
        self._drawn = 0
        self._loader: TrainingLoader | None = None
        self._is_set_up = False

    @cached_property
    def stored(self) -> PreferenceTables | ShardedTables:
        """Where ratings and embeddings are read from."""
        return self.tables if self.shards is None else self.shards.open(self.tables)

    def setup(self, stage: str | None = None) -> None:
        """Reads, checks and splits the data; once, whichever stage asks first."""
        if not self._is_set_up:
            rank_zero_only(print)(self.summary())
            self.scale  # noqa: B018 (fitted now, so that faults show before training begins)
            self._is_set_up = True

    @property
    def space(self) -> Space:
        """The space of the embeddings."""
        return self.stored.space

    @property
    def catalogue(self) -> Catalogue:
        """All items that have an embedding."""
        return self.stored.catalogue

    @property
    def ratings(self) -> RatingsTable:
        """The ratings of items in the catalogue."""
        return self.stored.ratings

    @property
    def scale(self) -> PersonScale:
        """How ratings of different users compare, as the training part tells."""
        return self.stored.scale

    @property
    def part_names(self) -> list[str]:
        """The parts, training first."""
        return self.stored.part_names

    def part(self, name: str) -> RatingsTable:
        """The ratings of one part; "val" and "test" also stand for all parts whose names begin so."""
        return self.stored.part(name)

    def has_part(self, name: str) -> bool:
        """Whether there is anything to be had from `part(name)`."""
        return any(belongs(part, name) for part in self.part_names)

    def users(self, name: str) -> list[str]:
        """The users with ratings in a part."""
        table = self.part(name)
        return [str(u) for u in table.users[np.unique(table.user_N)]]

    def histories(self, name: str, users: list[str], length: int) -> tuple[History, list[HeldOutRatings]]:
        """Histories of some users of a part and what is held out of them, as `build_histories` states.

        Users who were trained on have their training ratings as history; for the training part itself, what follows
        the first `length` is held out.
        """
        return build_histories(
            self.part(name),
            self.catalogue,
            users,
            length,
            past=self.tables.past(name),
            scale=self.scale,
            order=self.draws.order,
            seed=self.seed,
        )

    @property
    def training_digest(self) -> str:
        """What tells this training part from any other: who rated what."""
        return self.stored.training_digest

    @property
    def has_choices(self) -> bool:
        """Whether anybody in the training part chose among several items."""
        return self.stored.has_choices

    def use_texts(self) -> None:
        """From now on batches hold the texts of their targets."""
        self.stored.use_texts()

    def item_counts(self) -> np.ndarray:
        """How often each row of the catalogue was rated in training, (I,) int64."""
        return self.stored.item_counts()

    def training_sequences(self, most: int) -> Sequences:
        """Users of the training part with their ratings: all of them, or so many at random that there are at most
        `most` ratings."""
        return self.stored.training_sequences(most)

    def train_dataloader(self) -> TrainingLoader:
        """The endless stream, an epoch at a time, from where a resumed training stopped."""
        rank, world = self._ranks()
        batches = self.stored.training_batches(
            self.draws, batch_size=self.batch_size, seed=self.seed, rank=rank, world=world, workers=self.workers
        )
        ratings = self.stored.rating_count("train")
        self._loader = TrainingLoader(
            batches,
            batch_size=self.batch_size,
            epoch_batches=self.epoch_batches or ceil(ratings / (self.batch_size * self.draws.targets_per_user)),
            workers=self.workers,
            pin_memory=self.pin_memory,
            drawn=self._drawn,
        )
        return self._loader

    def val_dataloader(self) -> list[FixedLoader]:
        """Two fixed passes over the validation users: draws as in training for the loss, then draws with more targets
        for what is calibrated. None where there is no such part."""
        if not self.has_part("val"):
            return []
        return [self.fixed_loader("val"), self.fixed_loader("val", targets=CALIBRATION_TARGETS)]

    def test_dataloader(self) -> FixedLoader:
        """One fixed pass over the test users."""
        return self.fixed_loader("test")

    def fixed_loader(self, name: str, targets: int | None = None) -> FixedLoader:
        """The same draws of a part every time; histories come from the training part for users who are in it.

        `targets` of a user at most; by default as many as in training."""
        rank, world = self._ranks()
        # Everything a user has serves as history: validation is about users as they are, not about shortened ones.
        rule = replace(
            self.draws,
            short_histories=0.0,
            shown_histories=0.0,
            targets_per_user=max(targets or 0, self.draws.targets_per_user),
        )
        batches = self.stored.fixed_batches(
            name, rule, batch_size=self.batch_size, seed=self.seed, rank=rank, world=world
        )
        return FixedLoader(batches, workers=self.workers, pin_memory=self.pin_memory)

    def state_dict(self) -> dict[str, Any]:
        """How far the stream was consumed: what a resumed training continues from."""
        return {"drawn": self._loader.drawn if self._loader is not None else self._drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues the stream where the checkpoint was written."""
        self._drawn = int(state_dict["drawn"])
        if self._loader is not None:
            self._loader.drawn = self._drawn

    def summary(self) -> str:
        """What was read, in a few lines."""
        return self.stored.summary()

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)
