"""FLICKR-AES: photographs rated by crowd workers, each one known by an id."""

from functools import cached_property
from pathlib import Path

import numpy as np

from prefprior.data.columns.columns import Wanted
from prefprior.data.columns.ids import shown
from prefprior.data.columns.read import read_columns
from prefprior.data.columns.values import ids, numbers
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.pictures import FolderPictures, Pictures
from prefprior.data.sources.validate import ratings_table
from prefprior.files import read_lines
from prefprior.nodes import Loadable
from prefprior.ratings import RatingScale, RatingsTable

RATINGS = "FLICKR-AES_image_labeled_by_each_worker.csv"
SCORES = "FLICKR-AES_image_score.txt"
PICTURES = "40K"
COLUMNS = Wanted(
    {"user": "worker", "item": "imagePair", "rating": "score"}, remedy="Copy the file again as it was published."
)
WORKERS, TEST_WORKERS = 210, 37
LEFT_OUT = "left out"


class FlickrAesSource(Loadable):
    """210 workers, about 40,000 photographs, 193,208 ratings of 1 to 5 (Ren et al., "Personalized Image Aesthetics",
    ICCV 2017).

    Published at https://github.com/alanspike/personalizedImageAesthetics, for research; each photograph is under the
    Creative Commons licence its author chose on Flickr. Expected in `root`: the ratings (columns ` worker`,
    ` imagePair`, ` score`), `FLICKR-AES_image_score.txt` (mean scores; only its names are compared) and the
    pictures in `40K/`.
    Its split follows the customary protocol, 173 workers to train on and 37 to test: those with the fewest ratings
    (105 to 171, second-hand), or those listed in `test_workers`, a file with one id per line.
    """

    PATHS = ("root", "test_workers")

    name = "flickr_aes"

    def __init__(
        self,
        *,
        root: str = "data/FLICKR-AES",
        test_workers: str | None = None,
        unseen_pictures: bool = False,
        duplicates: str = "last",
    ) -> None:
        """`unseen_pictures` leaves out of training what a test worker rated, so that pictures are new too; `duplicates`
        settles repeats of a worker and a picture: error, first, last or mean."""
        self.root = Path(root)
        self.test_workers = None if test_workers is None else Path(test_workers)
        self.unseen_pictures, self.duplicates = unseen_pictures, duplicates

    def ratings(self) -> RatingsTable:
        """The validated ratings, with the parts train and test."""
        return self._ratings

    @cached_property
    def _ratings(self) -> RatingsTable:
        path = self.root / RATINGS
        if not path.is_file():
            raise ValueError(
                f"there is no {path}. Download FLICKR-AES "
                "(https://github.com/alanspike/personalizedImageAesthetics) and give its folder: "
                "source.root=..."
            )
        columns, _ = read_columns(path, COLUMNS).stripped("user", "item")  # there is a space after each comma
        rating_N = numbers(columns, "rating")
        if (missing := np.flatnonzero(np.isnan(rating_N))).size:
            raise ValueError(f"{columns.some(missing)}: the score is missing. {COLUMNS.remedy}")
        user_N, users = ids(columns, "user")
        item_N, _ = ids(columns, "item")
        test_N = self._tests(user_N, users)[user_N]
        keep = np.ones(len(columns), dtype=bool)
        if self.unseen_pictures:
            keep = test_N | ~np.isin(item_N, np.unique(item_N[test_N]))
        part_N = np.where(test_N, "test", np.where(keep, "train", LEFT_OUT))
        table = ratings_table(
            self.name, RatingScale(1, 5, 4), columns, rating_N=rating_N, part_N=part_N, duplicates=self.duplicates
        )
        assert table.part_N is not None
        left = table.part_N == LEFT_OUT
        table.counts["rated by training workers, but in the test part"] = int(left.sum())
        return table.take(np.flatnonzero(~left))

    def _tests(self, user_N: np.ndarray, users: np.ndarray) -> np.ndarray:
        if self.test_workers is not None:
            listed = [line.strip() for line in read_lines(self.test_workers) if line.strip()]
            if not listed:
                raise ValueError(
                    f"{self.test_workers} lists no worker. It must have one worker id per line; without "
                    "source.test_workers=... the workers with the fewest ratings form the test part."
                )
            if strangers := sorted(set(listed) - set(users)):
                raise ValueError(
                    f"{self.test_workers} lists workers without ratings: {', '.join(map(shown, strangers[:3]))}. "
                    "It must have one worker id per line."
                )
            return np.isin(users.astype(str), listed)
        count = max(round(TEST_WORKERS / WORKERS * len(users)), 1)
        ratings_U = np.bincount(user_N, minlength=len(users))
        fewest = np.lexsort((users.astype(str), ratings_U))[:count]
        return np.isin(np.arange(len(users)), fewest)

    def pictures(self) -> Pictures:
        """The rated photographs in `40K/`; a rated picture that is missing is set aside when embedding."""
        path = self.root / SCORES
        if path.is_file():
            known = {line.split()[0] for line in read_lines(path) if line.split()}
            if known.isdisjoint(self.ratings().items):
                raise ValueError(
                    f"{path} and {self.root / RATINGS} have no pictures in common. Copy both again from FLICKR-AES."
                )
        return FolderPictures(self.root / PICTURES, ids=sorted(self.ratings().items))

    def embeddings(self) -> EmbeddingTable | None:
        """None: `python embed.py` makes them."""
        return None
