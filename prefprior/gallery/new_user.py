"""A user of no data set, with pictures they like and dislike: two folders, or a table of ratings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image

from prefprior.data.columns.columns import Wanted
from prefprior.data.columns.ids import shown
from prefprior.data.columns.read import read_columns
from prefprior.data.columns.values import ids, numbers
from prefprior.data.decoding import BadPictureError, is_regular
from prefprior.data.embedding.encoders import Encoder
from prefprior.data.pictures import SUFFIXES, FolderPictures, Pictures
from prefprior.data.sources.validate import require_32_bits
from prefprior.gallery.users import GalleryUser
from prefprior.history import History


class PictureFiles:
    """Pictures of a user outside any data set, by their path as given."""

    def __init__(self, paths: list[Path]) -> None:
        self._folders = {str(path): FolderPictures(path.parent, ids=[path.name]) for path in paths}
        self.ids = list(self._folders)

    def open(self, item: str) -> Image:
        """The picture in RGB."""
        return self._folders[item].open(Path(item).name)

    def path(self, item: str) -> Path | None:
        """The file itself."""
        return Path(item)

    def stamp(self, item: str) -> str:
        """The file's size and when it was changed."""
        return self._folders[item].stamp(Path(item).name)

    def digest(self, item: str) -> str:
        """A hash of the file."""
        return self._folders[item].digest(Path(item).name)


@dataclass(frozen=True)
class RatedPicture:
    """A picture that a new user brings along."""

    path: Path
    rating: float  # in [-1, 1]
    age: int  # how many ratings ago; 0 is the newest


class NewUser:
    """A user of no data set: folders of likes and dislikes, or a file of ratings; embedded on the fly."""

    part = "own"

    def __init__(self, *, name: str, rated: list[RatedPicture], encoder: Encoder, space_name: str) -> None:
        """All that is rated is seen, however much that is: nothing is held out of a new user's history."""
        if encoder.space_name != space_name:
            raise ValueError(
                f"the checkpoint needs pictures embedded by {space_name}, but the encoder is "
                f"{encoder.space_name}. Choose the encoder of the checkpoint's space."
            )
        if not rated:
            raise ValueError("no rated pictures were given: add likes=FOLDER, dislikes=FOLDER or ratings=FILE")
        self.names = [name]
        self._rated, self._encoder = rated, encoder
        self._user: GalleryUser | None = None

    def gather(self, names: list[str]) -> list[GalleryUser]:
        """The one user, encoded once."""
        if self._user is None:
            pictures = PictureFiles([rated.path for rated in self._rated])
            opened = [
                _opened(pictures, item, rated.path) for item, rated in zip(pictures.ids, self._rated, strict=True)
            ]
            ratings = [rated.rating for rated in self._rated]
            embeddings = self._encoder.encode_images(opened)
            ages = [float(rated.age) for rated in self._rated]
            history = History.of(embeddings, ratings, ages_K=ages, user=self.names[0])
            self._user = GalleryUser(self.names[0], self.part, history, pictures.ids, ratings, pictures)
        return [self._user for _ in names]


def _opened(pictures: Pictures, item: str, path: Path) -> Image:
    try:
        return pictures.open(item)
    except BadPictureError as error:
        raise ValueError(f"{path} cannot be used ({error}). Remove or replace it.") from None


def from_folders(likes: str | None, dislikes: str | None) -> list[RatedPicture]:
    """Every picture below the two folders, loved (1) or hated (-1).

    Two folders are two lists: the first like and the first dislike are as recent as each other, as in
    `prefprior.pipeline`.
    """
    rated: list[RatedPicture] = []
    for folder, rating, key in ((likes, 1.0, "likes"), (dislikes, -1.0, "dislikes")):
        if folder is None:
            continue
        root = Path(folder)
        if not root.is_dir():
            raise ValueError(f"{key}={folder} is not a folder. Give a folder with pictures ({', '.join(SUFFIXES)}).")
        found = sorted(root / item for item in FolderPictures(root).ids)
        rated += [RatedPicture(path, rating, age) for age, path in enumerate(found)]
    given = f"likes={likes} and dislikes={dislikes}"
    if pair := _twice(rated):
        one, two = pair
        raise ValueError(
            f"{two.path} is given twice (as {one.path}): by {given}. A picture is either liked or "
            "disliked: remove it from one folder."
        )
    if pair := _contradicting(rated):
        one, two = pair
        raise ValueError(
            f"{two.path} is the same picture as {one.path}, but {given} rate it differently. A picture is "
            "either liked or disliked: remove one of the two."
        )
    return rated


def _twice(rated: list[RatedPicture]) -> tuple[RatedPicture, RatedPicture] | None:
    """A file that is there twice, by whatever path."""
    first: dict[Path, RatedPicture] = {}
    for picture in rated:
        if (other := first.setdefault(picture.path.resolve(), picture)) is not picture:
            return other, picture
    return None


def _contradicting(rated: list[RatedPicture]) -> tuple[RatedPicture, RatedPicture] | None:
    """Two copies of a picture that are rated differently."""
    pictures = PictureFiles([picture.path for picture in rated])
    first: dict[str, RatedPicture] = {}
    for picture in rated:
        if not is_regular(picture.path):
            continue  # which is told when it is opened
        other = first.setdefault(pictures.digest(str(picture.path)), picture)
        if other.rating != picture.rating:
            return other, picture
    return None


def from_file(path: str) -> list[RatedPicture]:
    """A table (CSV, TSV, JSONL or Parquet) with the columns `picture` (a path from the file's folder) and `rating` (any
    scale: its ends are -1, 1).

    Its last row is the newest, as in a log.
    """
    wanted = Wanted({"picture": "picture", "rating": "rating"}, remedy="The first line must name these two columns.")
    columns = read_columns(path, wanted)
    code_N, names = ids(columns, "picture")
    rating_N = numbers(columns, "rating")
    if (missing := np.flatnonzero(np.isnan(rating_N))).size:
        raise ValueError(f"{columns.some(missing)}: the rating is missing. Complete or remove these rows.")
    if (again := np.flatnonzero(np.bincount(code_N) > 1)).size:
        rows = np.flatnonzero(code_N == again[0])
        raise ValueError(f"{columns.some(rows)}: {shown(names[again[0]])} is rated {len(rows)} times. Keep one row.")
    low, high = float(rating_N.min()), float(rating_N.max())
    require_32_bits(columns, rating_N, low, high)
    pictures = [columns.path.parent / name for name in names]
    if gone := [row for row, picture in enumerate(pictures) if not is_regular(picture)]:
        raise ValueError(
            f"{columns.some(np.asarray(gone))}: {pictures[gone[0]]} "
            f"{'is not a file' if pictures[gone[0]].exists() else 'does not exist'}. Paths are relative "
            f"to the folder of {columns.path}: correct or remove these rows."
        )
    half = (high - low) / 2
    rated = [
        RatedPicture(picture, (float(rating) - low) / half - 1 if half else 1.0, len(pictures) - 1 - row)
        for row, (picture, rating) in enumerate(zip(pictures, rating_N, strict=True))
    ]
    for what, pair in (("the same file as", _twice(rated)), ("a copy of", _contradicting(rated))):
        if pair is not None:
            one, two = (rated.index(picture) for picture in pair)
            raise ValueError(
                f"{columns.some(np.asarray([one, two]))}: {shown(names[two])} is {what} {shown(names[one])}, "
                "so it would be rated twice. Keep one row."
            )
    return rated
