"""Everything training and evaluation need of the data: ratings in a space, parted, scaled and batched."""

from collections.abc import Iterable
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from prefprior.data.embedding.join import match
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.embedding_lookup import StoredEmbeddings
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.loader import FixedBatches, FixedLoader, TrainingBatches, TrainingLoader
from prefprior.data.histories.sequences import Assembler, HeldOutRatings, Sequences, build_histories
from prefprior.data.scaling import PersonScale, RatingScaling
from prefprior.data.sources.source import Source
from prefprior.data.splits import Splits
from prefprior.history import History
from prefprior.nodes import Loadable
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable
from prefprior.space import Space


def belongs(part: str, name: str) -> bool:
    """Whether a part is meant by a name: "val" and "test" stand for all parts whose names begin so."""
    return part == name or (name in ("val", "test") and part.startswith(name))


def in_order(parts: Iterable[str]) -> list[str]:
    """Training first, then validation."""
    return sorted(map(str, parts), key=lambda part: (part != "train", not part.startswith("val"), part))


class PreferenceDataModule(Loadable, LightningDataModule):
    """A source's ratings with its embeddings: `space`, `catalogue`, `ratings`, `scale` and the parts.

    Each is read when first asked for; `setup()` asks for all. Item codes of every table are rows of the catalogue.
    `scale` is fitted on the training part.
    """

    def __init__(
        self,
        *,
        source: Source,
        embeddings: StoredEmbeddings | None = None,
        splits: Splits | None = None,
        scaling: RatingScaling | None = None,
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
        """`batch_size` counts users over all processes together; `order` is "set" or "time" (targets follow the
        history); `short_histories` is the share of draws with fewer ratings than there are; an epoch has
        `epoch_batches`, or as many as it takes to have each rating as a target once; `missing_allowed` is the share of
        ratings whose picture may be missing."""
        super().__init__()
        self.source = source
        self.embeddings = embeddings or StoredEmbeddings()
        self.splits, self.scaling = splits or Splits(), scaling or RatingScaling()
        self.rule = DrawRule(history_cap, targets_per_user, order, short_histories)
        if batch_size < 1 or (epoch_batches is not None and epoch_batches < 1):
            raise ValueError(f"batch_size and epoch_batches must be at least 1, got {batch_size} and {epoch_batches}")
        self.batch_size, self.epoch_batches = batch_size, epoch_batches
        self.missing_allowed = missing_allowed
        self.workers, self.pin_memory, self.seed = workers, pin_memory, seed
        self._texts_ND: Tensor | None = None
        self._drawn = 0
        self._loader: TrainingLoader | None = None

    def setup(self, stage: str | None = None) -> None:
        """Reads, checks and parts the data; once, whichever stage asks first."""
        if "scale" not in self.__dict__:
            rank_zero_info(self.summary())
            self.scale  # noqa: B018 (fitted now, so that faults show before training begins)

    @cached_property
    def _table(self) -> EmbeddingTable:
        return self.embeddings.table(self.source)

    @property
    def space(self) -> Space:
        """The space of the embeddings."""
        return self._table.space

    @cached_property
    def catalogue(self) -> Catalogue:
        """All items that have an embedding."""
        return self._table.catalogue()

    @cached_property
    def ratings(self) -> RatingsTable:
        """The ratings of items in the catalogue."""
        return match(self.source.ratings(), self._table, self.missing_allowed)

    @cached_property
    def scale(self) -> PersonScale:
        """How ratings of different people compare, as the training part tells."""
        return self.scaling.fit(self.part("train"))

    @cached_property
    def _part_N(self) -> np.ndarray:
        return self.splits.parts(self.ratings)

    @property
    def part_names(self) -> list[str]:
        """The parts, training first."""
        return in_order(str(name) for name in np.unique(self._part_N))

    def part(self, name: str) -> RatingsTable:
        """The ratings of one part; "val" and "test" also stand for all parts whose names begin so."""
        wanted = [part for part in in_order(np.unique(self._part_N)) if belongs(part, name)]
        chosen = np.isin(self._part_N, wanted)
        if not chosen.any():
            raise ValueError(f"{self.source.name} has no part {name}; its parts are {', '.join(self.part_names)}")
        return self.ratings.take(np.flatnonzero(chosen))

    def has_part(self, name: str) -> bool:
        """Whether there is anything to be had from `part(name)`."""
        return any(belongs(part, name) for part in self.part_names)

    def users(self, name: str) -> list[str]:
        """The people with ratings in a part."""
        table = self.part(name)
        return [str(u) for u in table.users[np.unique(table.user_N)]]

    def histories(self, name: str, users: list[str], length: int) -> tuple[History, list[HeldOutRatings]]:
        """Histories of some people of a part and what is held out of them, as `build_histories` states.

        People who were trained on have their training ratings as history; for the training part itself, what follows
        the first `length` is held out.
        """
        past = None if name == "train" else self.part("train")
        return build_histories(
            self.part(name),
            self.catalogue,
            users,
            length,
            past=past,
            scale=self.scale,
            order=self.rule.order,
            seed=self.seed,
        )

    def use_texts(self) -> None:
        """From now on batches hold the texts of their targets."""
        found = self._table.texts()
        if found is None:
            raise ValueError(
                f"prior.text=true needs texts of the pictures, and {self.source.name} has none. The world has; a table "
                "has where source.texts=FILE.npy names their embeddings."
            )
        self._texts_ND = torch.from_numpy(found)

    def item_counts(self) -> np.ndarray:
        """How often each row of the catalogue was rated in training, (I,) int64."""
        return np.bincount(self.part("train").item_N, minlength=len(self.catalogue))

    def train_dataloader(self) -> TrainingLoader:
        """The endless stream, an epoch at a time, from where a resumed training stopped."""
        rank, world = self._ranks()
        table = self.part("train")
        batches = TrainingBatches(
            self._assembler(table, None), self.rule, batch_size=self.batch_size, seed=self.seed, rank=rank, world=world
        )
        epoch = self.epoch_batches or ceil(len(table) / (self.batch_size * self.rule.targets))
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
        """One fixed pass over the validation people, or nothing where there is no such part."""
        return self.fixed_loader("val") if self.has_part("val") else []

    def test_dataloader(self) -> FixedLoader:
        """One fixed pass over the test people."""
        return self.fixed_loader("test")

    def fixed_loader(self, name: str) -> FixedLoader:
        """The same draws of a part every time; histories come from the training part for people who are in it."""
        rank, world = self._ranks()
        past = None if name == "train" else self.part("train")
        # Everything a person has serves as history: validation is about people as they are, not about shortened ones.
        rule = DrawRule(self.rule.cap, self.rule.targets, self.rule.order, short=0.0)
        batches = FixedBatches(
            self._assembler(self.part(name), past),
            rule,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=rank,
            world=world,
        )
        return FixedLoader(batches, workers=self.workers, pin_memory=self.pin_memory)

    def settled(self) -> dict[str, Any]:
        """How ratings are parted and scaled, by argument: what shards hold for good."""
        return {
            f"{name}.{key}": value
            for name, part in (("splits", self.splits), ("scaling", self.scaling))
            for key, value in vars(part).items()
        }

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
        table = self.ratings
        lines = [f"{table.source}: {len(table):,} ratings in {self.space.name} ({self.space.dim} dimensions)"]
        for name in self.part_names:
            part = self.part(name)
            people, items = len(np.unique(part.user_N)), len(np.unique(part.item_N))
            lines.append(f"  {name}: {len(part):,} ratings of {people:,} people on {items:,} pictures")
        lines += [f"  set aside, {reason}: {count:,}" for reason, count in table.counts.items() if count]
        return "\n".join(lines)

    def _assembler(self, targets: RatingsTable, past: RatingsTable | None) -> Assembler:
        return Assembler(Sequences.of(targets, past), self.catalogue.embeddings_ND, self.scale, texts_ND=self._texts_ND)

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)
