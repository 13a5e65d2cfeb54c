"""Small ratings and embeddings that tests share."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.history import PreferenceBatch
from prefprior.ratings import RatingScale, RatingsTable


def ratings(
    users: int = 20,
    items: int = 50,
    each: int = 12,
    seed: int = 0,
    *,
    liked_only: bool = False,
    pairs: bool = False,
    origins: bool = False,
) -> RatingsTable:
    """Random ratings of 1-5 in time order; one user in five has a single one. `origins`: how they came about is known:
    the better a picture was rated, the likelier it was rated at all."""
    random = np.random.default_rng(seed)
    count = [1 if u % 5 == 4 else each for u in range(users)]
    user = np.repeat(np.arange(users), count).astype(np.int32)
    item = np.concatenate([random.choice(items, n, replace=False) for n in count]).astype(np.int32)
    rating = random.integers(1, 6, len(user)).astype(np.float32)
    return RatingsTable(
        source="small",
        scale=RatingScale(1, 5, 4, liked_only=liked_only),
        users=np.array([f"u{u}" for u in range(users)], dtype=object),
        items=np.array([f"i{i}" for i in range(items)], dtype=object),
        user_N=user,
        item_N=item,
        rating_N=rating,
        time_N=np.arange(len(user), dtype=np.float64),
        question_N=np.concatenate([np.arange(n) // 2 if n > 1 else [-1] for n in count]) if pairs else None,
        shown_N=item % 3 == 0 if origins else None,
        propensity_N=rating / 10 if origins else None,
    )


class SmallSource:
    """A source of given ratings with an embedding per item whose first number is the item's row."""

    name = "small"

    def __init__(self, table: RatingsTable, dim: int = 8) -> None:
        self.table = table
        self.ids = [str(i) for i in table.items]
        self.vectors = np.random.default_rng(1).normal(size=(len(table.items), dim)).astype(np.float32)
        self.vectors[:, 0] = np.arange(len(table.items))

    def ratings(self) -> RatingsTable:
        return self.table

    def pictures(self) -> None:
        return None

    def embeddings(self) -> EmbeddingTable:
        return EmbeddingTable.of("small-space", self.ids, self.vectors)


def module(table: RatingsTable | None = None, **arguments: object) -> PreferenceDataModule:
    """A data module that has been set up."""
    data = PreferenceDataModule(source=SmallSource(table or ratings()), **arguments)
    data.setup()
    return data


def same(one: PreferenceBatch, other: PreferenceBatch) -> bool:
    """Whether two batches are equal to the bit."""
    if one.history.users != other.history.users:
        return False
    return all(
        torch.equal(getattr(a, f.name), getattr(b, f.name))
        for a, b in ((one, other), (one.history, other.history))
        for f in fields(a)
        if isinstance(getattr(a, f.name), torch.Tensor)
    )


def csv(path: Path, *rows: str, header: str = "user,item,rating") -> Path:
    """A file of rows."""
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path
