"""PAMELA: ratings of generated pictures, with parts for seen and unseen users."""

from functools import cached_property
from pathlib import Path

import numpy as np

from prefprior.data.columns.columns import Columns, Wanted
from prefprior.data.columns.json_records import read_json_records
from prefprior.data.columns.values import numbers
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.pictures import FolderPictures, Pictures
from prefprior.data.sources.validate import ratings_table, scale_of
from prefprior.nodes import Loadable
from prefprior.ratings import RatingsTable

PARTS = ("train", "val_seen", "val_unseen", "test_seen", "test_unseen")
COLUMNS = Wanted(
    {"user": "participant_id", "item": "image_path", "rating": "original_score"},
    remedy="Copy the file again as it was published.",
)


class PamelaSource(Loadable):
    """Ratings in `annotations/pamela_<part>.json`, lists of records with `participant_id`, `image_path` and
    `original_score`; pictures at `image_path` below `root`.

    Published by its authors with their own terms: see the data set's page before you use or pass on its pictures.
    The five parts are kept as they are: train, val_seen, val_unseen, test_seen, test_unseen.
    """

    PATHS = ("root",)

    name = "pamela"

    def __init__(
        self,
        *,
        root: str = "data/PAMELA",
        low: float | None = None,
        high: float | None = None,
        likes_from: float | None = None,
        duplicates: str = "mean",
    ) -> None:
        """The scale is what the ratings span unless `low` and `high` state it; likes begin above its middle unless
        `likes_from` says otherwise; `duplicates` settles repeats: error, first, last or mean."""
        self.root = Path(root)
        self.low, self.high, self.likes_from, self.duplicates = low, high, likes_from, duplicates

    def ratings(self) -> RatingsTable:
        """The validated ratings."""
        return self._ratings

    @cached_property
    def _ratings(self) -> RatingsTable:
        folder = self.root / "annotations"
        found: dict[str, Columns] = {}
        for part in PARTS:
            path = folder / f"pamela_{part}.json"
            if path.exists():
                found[part] = read_json_records(path, COLUMNS)
        if "train" not in found:
            raise ValueError(f"there is no {folder / 'pamela_train.json'}. Give PAMELA's folder: source.root=...")
        columns = Columns.join(list(found.values()), folder)
        rating_N = numbers(columns, "rating")
        if (missing := np.flatnonzero(np.isnan(rating_N))).size:
            raise ValueError(f"{columns.some(missing)}: the original_score is missing. Copy the file again.")
        return ratings_table(
            self.name,
            scale_of(columns, rating_N, self.low, self.high, self.likes_from),
            columns,
            rating_N=rating_N,
            part_N=np.concatenate([np.full(len(c), part, dtype="<U12") for part, c in found.items()]),
            duplicates=self.duplicates,
        )

    def pictures(self) -> Pictures:
        """The rated pictures."""
        return FolderPictures(self.root, ids=sorted(self.ratings().items))

    def embeddings(self) -> EmbeddingTable | None:
        """None: `python embed.py` makes them."""
        return None
