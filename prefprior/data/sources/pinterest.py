"""Boards: a folder of liked pictures for each user."""

from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from prefprior.data.columns.columns import Columns
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.pictures import FolderPictures, Pictures
from prefprior.data.sources.names import require_name
from prefprior.data.sources.validate import ratings_table
from prefprior.nodes import Loadable
from prefprior.ratings import RatingScale, RatingsTable


class PinterestSource(Loadable):
    """One folder per user (or board) below `root`; every picture in it, at any depth, is a like.

    For what you collected yourself: boards downloaded from Pinterest, folders of favourites. The pictures stay their
    authors'; Pinterest's terms say what may be downloaded and for what. Item ids are paths below `root`.
    """

    PATHS = ("root",)

    def __init__(self, *, root: str = "data/pinterest", name: str = "pinterest") -> None:
        """`name` tells several collections apart."""
        self.root, self.name = Path(root), require_name(name)

    def ratings(self) -> RatingsTable:
        """One like for each picture."""
        return self._ratings

    @cached_property
    def _ratings(self) -> RatingsTable:
        paths = [item for item in self.pictures().ids if "/" in item]
        if not paths:
            raise ValueError(
                f"{self.root} has pictures but no folders of pictures: put the pictures of each user into a "
                "folder named after the user."
            )
        values = {"user": pa.array([path.split("/")[0] for path in paths]), "item": pa.array(paths)}
        loose = len(self.pictures().ids) - len(paths)
        return ratings_table(
            self.name,
            RatingScale(0, 1, 1, liked_only=True),
            Columns(self.root, values, 1, place_N=[str(self.root / path) for path in paths]),
            rating_N=np.ones(len(paths)),
            counts={"outside the folders of users": loose},
        )

    def pictures(self) -> Pictures:
        """All pictures below `root`."""
        return self._pictures

    @cached_property
    def _pictures(self) -> FolderPictures:
        return FolderPictures(self.root)

    def embeddings(self) -> EmbeddingTable | None:
        """None: `python embed.py` makes them."""
        return None
