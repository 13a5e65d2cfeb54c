"""Bring your own: a table of ratings, with pictures or ready-made embeddings."""

import unicodedata
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from prefprior.data.columns.columns import Wanted, absent
from prefprior.data.columns.read import read_columns
from prefprior.data.columns.values import flags, numbers, parts, probabilities, times
from prefprior.data.embedding.table import EmbeddingTable, read_ids
from prefprior.data.embedding.vectors import load_vectors
from prefprior.data.pictures import SUFFIXES, FolderPictures, Pictures
from prefprior.data.sources.names import require_name
from prefprior.data.sources.questions import question_numbers
from prefprior.data.sources.validate import ratings_table, scale_of
from prefprior.data.tar_pictures import TarPictures
from prefprior.nodes import Loadable
from prefprior.ratings import RatingScale, RatingsTable

COLUMNS = {
    name: name for name in ("user", "item", "rating", "time", "split", "shown", "propensity", "question", "picked")
}
OPTIONAL = tuple(COLUMNS)[2:]


class TableSource(Loadable):
    """Ratings in CSV, TSV, JSONL or Parquet with the columns user, item and, if known, rating, time, split, shown (1:
    somebody else chose the picture, 0: the user looked for it), propensity (of being observed, above 0), question and
    picked.

    Rows of a user with the same id in `question` were shown together for a choice: they have 1 or 0 in `picked` instead
    of a rating. Without ratings every other row is a like.

    Pictures are a folder (`pictures=FOLDER`; ids are paths below it, with or without suffix) or webdataset tars
    (`pictures=TAR`, or a folder that holds tars). Ready-made embeddings are an N x D .npy of float16 or float32 with a
    text file of N ids in row order; `texts` is another .npy of the same shape with what the same CLIP says of the
    items' captions or prompts, zeros where an item has none.
    """

    PATHS = ("ratings", "pictures", "embeddings", "items", "texts")

    def __init__(
        self,
        *,
        ratings: str,
        pictures: str | None = None,
        embeddings: str | None = None,
        items: str | None = None,
        texts: str | None = None,
        space: str | None = None,
        name: str = "table",
        columns: dict[str, str] | None = None,
        low: float | None = None,
        high: float | None = None,
        likes_from: float | None = None,
        duplicates: str = "error",
    ) -> None:
        """`columns` maps our names to the file's; `low` and `high` are the ends of the scale (default: the smallest and
        largest rating); `likes_from` is where a like begins (default: above the middle); `space` names the encoder of
        ready-made embeddings; `duplicates` settles differing repeats: error, first, last or mean."""
        self.name = require_name(name)
        if (embeddings is None) != (items is None):
            raise ValueError(
                "source.embeddings (an .npy) and source.items (its ids, one per line) must be given together"
            )
        if texts is not None and embeddings is None:
            raise ValueError("source.texts (an .npy) has one row per row of source.embeddings, which is missing")
        if embeddings is None and pictures is None:
            raise ValueError(
                "source=table needs source.pictures=FOLDER, or source.embeddings=FILE.npy source.items=FILE.txt"
            )
        unknown = sorted(set(columns or {}) - set(COLUMNS))
        if unknown:
            raise ValueError(f"source.columns maps {', '.join(COLUMNS)}, not {', '.join(unknown)}")
        self.path = Path(ratings)
        self.pictures_path = None if pictures is None else Path(pictures)
        self.vectors_path = None if embeddings is None else Path(embeddings)
        self.items_path = None if items is None else Path(items)
        self.texts_path = None if texts is None else Path(texts)
        self.space_name = space or (self.vectors_path.stem if self.vectors_path else None)
        self.columns = {**COLUMNS, **(columns or {})}
        self.low, self.high, self.likes_from, self.duplicates = low, high, likes_from, duplicates

    def ratings(self) -> RatingsTable:
        """The validated ratings."""
        return self._ratings

    @cached_property
    def _ratings(self) -> RatingsTable:
        columns = read_columns(self.path, Wanted(self.columns, optional=OPTIONAL))
        question_N = question_numbers(columns, self.columns)
        rated_N = question_N < 0
        if "rating" in columns.values and not absent(columns.values["rating"])[rated_N].all():
            rating_N = numbers(columns, "rating")
            if np.isnan(rating_N[rated_N]).any():
                rows = np.flatnonzero(np.isnan(rating_N) & rated_N)
                raise ValueError(
                    f"{columns.some(rows)}: the rating is missing, but other rows have one. Complete or remove "
                    "these rows; if all rows are likes, leave the column out."
                )
            scale = scale_of(columns, rating_N[rated_N], self.low, self.high, self.likes_from)
            if scale.liked_only and not rated_N.all():  # a choice needs two ends of a scale
                rating_N, scale = np.ones(len(columns)), RatingScale(0.0, 1.0, 1.0, liked_only=True)
        else:
            rating_N, scale = np.ones(len(columns)), RatingScale(0.0, 1.0, 1.0, liked_only=True)
        if not rated_N.all():
            rating_N = np.where(rated_N, rating_N, scale.as_chosen(numbers(columns, "picked") == 1))
        part_N = parts(columns) if "split" in columns.values else None
        time_N = times(columns) if "time" in columns.values else None
        return ratings_table(
            self.name, scale, columns, rating_N=rating_N, time_N=time_N, part_N=part_N, duplicates=self.duplicates,
            shown_N=flags(columns, "shown") if "shown" in columns.values else None,
            propensity_N=probabilities(columns, "propensity") if "propensity" in columns.values else None,
            question_N=None if rated_N.all() else question_N,
        )  # fmt: skip

    def pictures(self) -> Pictures | None:
        """The folder or the tars."""
        return self._pictures

    @cached_property
    def _pictures(self) -> Pictures | None:
        return None if self.pictures_path is None else offered_pictures(self.pictures_path, self.ratings())

    def embeddings(self) -> EmbeddingTable | None:
        """The ready-made vectors, measured and checked."""
        if self.vectors_path is None or self.items_path is None:
            return None
        assert self.space_name is not None
        table = ready_made(self.space_name, self.vectors_path, self.items_path)
        if self.texts_path is None:
            return table
        return replace(table, read_texts=partial(load_vectors, self.texts_path), texts_source=str(self.texts_path))


def ready_made(space_name: str, vectors_path: Path, items_path: Path) -> EmbeddingTable:
    """Given embeddings: an .npy, and its ids, one per line."""
    vectors, ids = load_vectors(vectors_path), read_ids(items_path)
    return EmbeddingTable.of(space_name, ids, vectors, source=str(vectors_path), ids_source=str(items_path))


def offered_pictures(path: Path, ratings: RatingsTable) -> Pictures:
    """A folder of pictures, one tar, or a folder of tars; the ratings show whether ids have suffixes."""
    tars = [path] if path.suffix == ".tar" else sorted(path.glob("*.tar"))
    with_suffix = sum(str(item).lower().endswith(SUFFIXES) for item in ratings.items)
    pictures: Pictures = (
        TarPictures(tars) if tars else FolderPictures(path, suffix=2 * with_suffix >= len(ratings.items))
    )
    offered = set(pictures.ids)
    for item in ratings.items:
        if not str(item).isascii() and item not in offered and (stored := _other_accents(str(item), offered)):
            raise ValueError(
                f"the rated item {str(item)!r} is the picture {stored!r} of {path}, but its accents are "
                "encoded differently (NFC, NFD). Rename the pictures (convmv --nfc), or write the ratings "
                "again."
            )
    if offered.isdisjoint(ratings.items):
        raise ValueError(
            f"none of the {len(ratings.items)} rated items, such as {str(ratings.items[0])!r}, is among "
            f"the pictures of {path}, such as {pictures.ids[0]!r}. Item ids are paths relative to the "
            "folder, with or without suffix, or the names of a tar's members up to the first dot."
        )
    return pictures


def _other_accents(item: str, offered: set[str]) -> str | None:
    forms = (unicodedata.normalize(form, item) for form in ("NFC", "NFD"))
    return next((form for form in forms if form in offered), None)
