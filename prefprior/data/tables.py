"""A source's ratings and embeddings in tables, split into parts: what everything else reads of the data.

Shapes: N ratings, I items, D dimension.
"""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from prefprior.data.embedding.join import match
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.embedding_lookup import StoredEmbeddings
from prefprior.data.hashing import training_digest
from prefprior.data.histories.assembler import Assembler
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.loader import CountedBatches, FixedBatches, TrainingBatches
from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import PersonScale, RatingScaling
from prefprior.data.sources.source import Source
from prefprior.data.splits import Splits, belongs, in_order
from prefprior.history import PreferenceBatch
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable
from prefprior.space import Space


class PreferenceTables:
    """Each table is read when first asked for. Item codes of every table are rows of the catalogue."""

    def __init__(
        self,
        *,
        source: Source,
        embeddings: StoredEmbeddings,
        splits: Splits,
        scaling: RatingScaling,
        missing_allowed: float,
    ) -> None:
        """`missing_allowed` is the share of ratings whose picture may be missing."""
        self.source, self.embeddings = source, embeddings
        self.splits, self.scaling = splits, scaling
        self.missing_allowed = missing_allowed
        self._texts_ND: Tensor | None = None

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
        """How ratings of different users compare, as the training part tells."""
        return self.scaling.fit(self.part("train"))

    @cached_property
    def _part_N(self) -> np.ndarray:
        return self.splits.parts(self.ratings)

    @cached_property
    def part_names(self) -> list[str]:
        """The parts, training first."""
        return in_order(np.unique(self._part_N))

    def part(self, name: str) -> RatingsTable:
        """The ratings of one part; "val" and "test" also stand for all parts whose names begin so."""
        chosen = np.isin(self._part_N, [part for part in self.part_names if belongs(part, name)])
        if not chosen.any():
            raise ValueError(f"{self.source.name} has no part {name}; its parts are {', '.join(self.part_names)}")
        return self.ratings.take(np.flatnonzero(chosen))

    def past(self, name: str) -> RatingsTable | None:
        """What users of a part may have as history beside its own ratings: those they have in training."""
        return None if name == "train" else self.part("train")

    @cached_property
    def training_digest(self) -> str:
        """What tells this training part from any other: who rated what."""
        return training_digest(self.part("train"))

    @property
    def has_choices(self) -> bool:
        """Whether anybody in the training part chose among several items."""
        return not bool(self.part("train").rated_N.all())

    def use_texts(self) -> None:
        """From now on batches hold the texts of their targets."""
        found = self._table.texts()
        if found is None:
            raise ValueError(
                f"prior.text=true needs texts of the pictures, but {self.source.name} has none. The world has "
                "texts; a table has them if source.texts=FILE.npy gives their embeddings."
            )
        self._texts_ND = torch.from_numpy(found)

    def rating_count(self, name: str) -> int:
        """How many ratings a part has."""
        return len(self.part(name))

    def item_counts(self) -> np.ndarray:
        """How often each row of the catalogue was rated or picked in training, (I,) int64."""
        part = self.part("train")
        return np.bincount(part.item_N[~part.passed_N], minlength=len(self.catalogue))

    def sequences(self, name: str) -> Sequences:
        """The users of a part with their ratings in order."""
        return Sequences.of(self.part(name), self.past(name))

    def training_sequences(self, most: int) -> Sequences:
        """Users of the training part: all, or the first in the order of their hashes with at most `most` ratings."""
        return self.sequences("train").first_ratings(most)

    def assembler(self, name: str) -> Assembler:
        """What makes batches of the users of a part."""
        return Assembler(self.sequences(name), self.catalogue.embeddings_ND, self.scale, texts_ND=self._texts_ND)

    def training_batches(
        self, rule: DrawRule, *, batch_size: int, seed: int, rank: int, world: int, workers: int
    ) -> Dataset[PreferenceBatch]:
        """One process's batches by their place in the endless stream."""
        return TrainingBatches(self.assembler("train"), rule, batch_size=batch_size, seed=seed, rank=rank, world=world)

    def fixed_batches(
        self, name: str, rule: DrawRule, *, batch_size: int, seed: int, rank: int, world: int
    ) -> CountedBatches:
        """One process's batches of one pass over a part, with the same draws every time."""
        return FixedBatches(self.assembler(name), rule, batch_size=batch_size, seed=seed, rank=rank, world=world)

    def settled(self) -> dict[str, Any]:
        """How ratings are split and scaled, by argument: what shards hold for good."""
        return {
            f"{name}.{key}": value
            for name, part in (("splits", self.splits), ("scaling", self.scaling))
            for key, value in vars(part).items()
        }

    def summary(self) -> str:
        """What was read, in a few lines."""
        table = self.ratings
        lines = [f"{table.source}: {len(table):,} ratings in {self.space.name} ({self.space.dim} dimensions)"]
        for name in self.part_names:
            part = self.part(name)
            people, items = len(np.unique(part.user_N)), len(np.unique(part.item_N))
            lines.append(f"  {name}: {len(part):,} ratings of {people:,} users on {items:,} pictures")
        lines += [f"  set aside, {reason}: {count:,}" for reason, count in table.counts.items() if count]
        return "\n".join(lines)
