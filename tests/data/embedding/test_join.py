"""prefprior/data/embedding/join.py: ratings are tied to rows of a table, or dropped and counted."""

from dataclasses import replace

import numpy as np
import pytest

from prefprior.data.embedding.join import match
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.ratings import RatingsTable
from tests.data.small import SmallSource, ratings


@pytest.fixture
def gone() -> RatingsTable:
    """Ratings whose last item has no embedding."""
    table = ratings()
    return replace(table, items=np.array([*table.items[:-1], "gone"], dtype=object))


@pytest.fixture
def embeddings() -> EmbeddingTable:
    return SmallSource(ratings()).embeddings()


def test_items_become_rows_of_the_table(embeddings: EmbeddingTable) -> None:
    table = ratings()
    backwards = replace(table, items=table.items[::-1].copy(), item_N=(49 - table.item_N).astype(np.int32))
    assert match(backwards, embeddings, 0.0).item_N.tolist() == table.item_N.tolist()


def test_a_missing_item_is_refused_with_example_ids_of_both_sides(
    gone: RatingsTable, embeddings: EmbeddingTable
) -> None:
    with pytest.raises(ValueError, match=r"without an embedding, such as 'gone'.*'i0'"):
        match(gone, embeddings, 0.0)


def test_a_few_missing_items_are_dropped_and_counted(gone: RatingsTable, embeddings: EmbeddingTable) -> None:
    lacking = int((gone.item_N == 49).sum())
    kept = match(gone, embeddings, 0.5)
    assert kept.counts["no embedding for the item"] == lacking > 0
    assert len(kept) == len(gone) - lacking


def test_items_without_a_rating_are_counted(embeddings: EmbeddingTable) -> None:
    table = ratings()
    fewer = replace(table, items=table.items[:40]).take(np.flatnonzero(table.item_N < 40))
    assert match(fewer, embeddings, 0.0).facts["items without a rating"] == 10
