"""Ties ratings to the rows of an embedding table."""

from dataclasses import replace

import numpy as np

from prefprior.data.embedding.table import EmbeddingTable
from prefprior.ratings import RatingsTable


def match(table: RatingsTable, embeddings: EmbeddingTable, missing_allowed: float) -> RatingsTable:
    """The ratings whose items have an embedding, with rows of the embedding table as item codes.

    A few missing items are counted and dropped (pictures that could not be read); many mean that the files do not
    belong together, which is an error. A question that shows a missing item is dropped as a whole.
    """
    row_of = embeddings.row_of
    row_I = np.asarray([row_of.get(str(item), -1) for item in table.items], dtype=np.int64)
    row_N = row_I[table.item_N]
    missing = int((row_N < 0).sum())
    if missing > missing_allowed * len(table):
        lacking = [str(i) for i in table.items[np.unique(table.item_N[row_N < 0])[:3]]]
        where = embeddings.folder or embeddings.ids_source
        raise ValueError(
            f"{missing} of {len(table)} ratings of {table.source} are for items without an embedding, "
            f"such as {', '.join(map(repr, lacking))}; {where} has, for example, "
            f"{', '.join(map(repr, embeddings.ids[:3]))}. Use the same ids in both, run python embed.py "
            "again if there are new pictures, or allow more ratings to be dropped with "
            f"data.missing_allowed (now {missing_allowed})."
        )
    there_N = _whole_questions(table, row_N >= 0)
    kept = table.take(np.flatnonzero(there_N))
    if len(kept) == 0:
        raise ValueError(f"{table.source} has no ratings")
    unrated = len(embeddings) - len(np.unique(row_I[row_I >= 0]))
    return replace(
        kept,
        items=np.asarray(embeddings.ids, dtype=object),
        item_N=row_I[kept.item_N].astype(np.int32),
        counts={
            **table.counts,
            "no embedding for the item": missing,
            "no embedding for another item of the question": int(((row_N >= 0) & ~there_N).sum()),
        },
        facts={**table.facts, "items without a rating": unrated},
    )


def _whole_questions(table: RatingsTable, there_N: np.ndarray) -> np.ndarray:
    """(N,) which rows are there, with all that was shown beside them."""
    if table.question_N is None:
        return there_N
    return table.over_answers(np.logical_and, there_N)
