"""Tables whose training draws come from shards: neither ratings nor embeddings are in memory."""

from functools import cached_property
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from prefprior.data.hashing import training_digest
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.loader import CountedBatches
from prefprior.data.histories.sequences import Sequences
from prefprior.data.shards.manifest import AGAIN, MANIFEST, ShardSet
from prefprior.data.shards.streaming import FixedShardBatches, ShardBatches
from prefprior.data.shards.tars import read_ratings
from prefprior.data.splits import belongs, in_order
from prefprior.data.tables import PreferenceTables
from prefprior.history import PreferenceBatch
from prefprior.nodes import Loadable
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable


class StoredShards(Loadable):
    """Shards that `python shard.py` made, in a folder per source and space."""

    PATHS = ("root",)

    def __init__(self, *, root: str = "shards", window: int = 4) -> None:
        """`window` is how many shards each worker holds and shuffles at a time. A training continues to the bit with
        the same number of processes and workers."""
        if window < 1:
            raise ValueError(f"data.shards.window must be at least 1, got {window}")
        self.root, self.window = Path(root), window

    def open(self, tables: PreferenceTables) -> "ShardedTables":
        """The source's shards in the chosen space, refused if its ratings were split or scaled otherwise."""
        source, space = tables.source, tables.embeddings.space
        folders = [path.parent for path in sorted((self.root / source.name).glob(f"*/{MANIFEST}"))]
        if space is not None:
            folders = [folder for folder in folders if folder.name == space.replace("/", "__")]
        if len(folders) != 1:
            found = ", ".join(str(folder) for folder in folders) or "none"
            raise ValueError(
                f"expected one set of shards of {source.name} under {self.root / source.name}, found {found}."
                " Make them with python shard.py source=..., or choose one with embeddings.space=..."
            )
        shards = ShardSet.open(folders[0])
        if "train" not in shards.parts:
            raise ValueError(f"{folders[0]} has no training part: make the shards again with another split")
        shards.require_settled(tables.settled())
        return ShardedTables(tables, shards, self.window)


class ShardedTables:
    """What `PreferenceTables` offers. How ratings are split and scaled was settled when the shards were made.

    What else is asked of the data (a user's history, an evaluation) is read from the source, then and only then.
    """

    def __init__(self, tables: PreferenceTables, shards: ShardSet, window: int) -> None:
        self.tables, self.shards, self.window = tables, shards, window
        self.space, self.scale, self.part_names = shards.space, shards.scale, in_order(shards.parts)
        self.rating_count, self.item_counts = shards.rating_count, shards.item_counts
        self.training_digest, self.has_choices = shards.training, shards.has_choices

    @cached_property
    def catalogue(self) -> Catalogue:
        """All items that have an embedding; refused if the table is another than the one the shards were made with."""
        found = self.tables.catalogue
        if found.space.fingerprint() != self.space.fingerprint():
            raise ValueError(
                f"the embeddings of {self.tables.source.name} are not those from which the shards in "
                f"{self.shards.folder} were made, so rows may refer to other pictures. {AGAIN}"
            )
        return found

    @cached_property
    def ratings(self) -> RatingsTable:
        """The source's ratings, for what shards do not hold; refused if they are split otherwise than the shards'."""
        found = training_digest(self.tables.part("train"))
        if found != self.shards.training:
            raise ValueError(
                f"the training part of {self.tables.source.name} is not that of the shards in "
                f"{self.shards.folder} ({found} instead of {self.shards.training}): its files or the "
                "arguments of the source have changed. Users of the training part could be evaluated as "
                f"unseen ones. {AGAIN}"
            )
        return self.tables.ratings

    def part(self, name: str) -> RatingsTable:
        """The ratings of one part; "val" and "test" also stand for all parts whose names begin so."""
        self.ratings  # noqa: B018 (checked before any of it is used)
        return self.tables.part(name)

    def use_texts(self) -> None:
        """Shards hold no texts."""
        raise ValueError(
            "prior.text=true needs the texts of the pictures, but shards do not store them: use data=memory"
        )

    def training_sequences(self, most: int) -> Sequences:
        """Users of the training part: all, or those of the first shards with at most `most` ratings. Users went to
        shards in the order of hashes."""
        train = self.shards.parts["train"]
        ends = np.cumsum([shard.ratings for shard in train])
        count = max(1, int(np.searchsorted(ends, most, side="right")))
        return read_ratings(train[:count], self.space.dim)

    def training_batches(
        self, rule: DrawRule, *, batch_size: int, seed: int, rank: int, world: int, workers: int
    ) -> Dataset[PreferenceBatch]:
        """One process's batches by their place in the endless stream."""
        return ShardBatches(
            self.shards,
            rule,
            batch_size=batch_size,
            seed=seed,
            window=self.window,
            rank=rank,
            world=world,
            workers=workers,
        )

    def fixed_batches(
        self, name: str, rule: DrawRule, *, batch_size: int, seed: int, rank: int, world: int
    ) -> CountedBatches:
        """One process's batches of one pass over a part, with the same draws every time."""
        parts = [part for part in self.part_names if belongs(part, name)]
        return FixedShardBatches(self.shards, parts, rule, batch_size=batch_size, seed=seed, rank=rank, world=world)

    def summary(self) -> str:
        """What there is, in a few lines."""
        shards, space = self.shards, self.space
        lines = [f"{shards.source}: shards in {shards.folder}, {space.name} ({space.dim} dimensions)"]
        for name in self.part_names:
            users = sum(shard.users for shard in shards.parts[name])
            lines.append(
                f"  {name}: {shards.rating_count(name):,} ratings of {users:,} users in "
                f"{len(shards.parts[name])} shards"
            )
        return "\n".join(lines)
