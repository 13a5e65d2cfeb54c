"""The people a gallery is for: those of a data set, and someone with a folder of pictures they love.

Shapes: K history, D dimension.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL.Image import Image

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.encoders import Encoder
from prefprior.data.pictures import SUFFIXES, BadPictureError, FolderPictures, Pictures
from prefprior.errors import nearest
from prefprior.history import History
from prefprior.seeding import seed_of

# The order in which a person's part is looked for: unseen parts say more than training.
PARTS = ("test", "val", "train")


@dataclass(frozen=True, eq=False)
class Person:
    """One person: a history of one, and the names of its pictures in the same order."""

    name: str
    part: str
    history: History  # B = 1
    items: list[str]  # ids of the valid history entries
    ratings: list[float]  # in [-1, 1]
    pictures: Pictures | None  # where those ids are found


class Folk(Protocol):
    """People a gallery can be made for, gathered a few at a time."""

    names: list[str]
    part: str  # for metrics: test, val, train, all or own

    def gather(self, names: list[str]) -> list[Person]:
        """Their histories."""


class KnownFolk:
    """People of a data set."""

    def __init__(
        self,
        data: PreferenceDataModule,
        *,
        users: str | list[str],
        length: int,
        count: int | None,
        seed: int,
    ) -> None:
        """`users`: ids, "all" or "unseen"; of the latter two at most `count`, chosen by hash."""
        self.data, self.length = data, length
        self._pictures = data.source.pictures()
        parts = {part: data.users(part) for part in PARTS if data.has_part(part)}
        self._part_of = {user: part for part in reversed(PARTS) for user in parts.get(part, [])}
        trained = set(parts.get("train", []))
        if users == "unseen":
            self.names = [u for u in self._part_of if u not in trained]
            if not self.names:
                raise ValueError(
                    f"{data.source.name} has no unseen people: everyone has ratings in the training part. "
                    "Choose users=all, or some by name."
                )
        elif users == "all":
            self.names = list(self._part_of)
        else:
            wanted = [str(u) for u in (users if isinstance(users, list) else [users])]
            for user in wanted:
                if user not in self._part_of:
                    raise ValueError(
                        f"{data.source.name} has no person {user!r}: give ids, or users=all or users=unseen"
                        f"{nearest(user, self._part_of)}"
                    )
            self.names = list(dict.fromkeys(wanted))
        if users in ("unseen", "all") and count is not None:
            self.names = sorted(self.names, key=lambda u: seed_of(seed, "chosen", u))[:count]
        if users in ("unseen", "all"):
            self.names.sort()
        self.part = users if users in ("unseen", "all") else "chosen"

    def gather(self, names: list[str]) -> list[Person]:
        """Histories from the person's own part, most recent or hash-chosen as the data's order says."""
        found: dict[str, Person] = {}
        for part in PARTS:
            here = [name for name in names if self._part_of[name] == part]
            if not here:
                continue
            history, _ = self.data.histories(part, here, self.length)
            for row, name in enumerate(here):
                found[name] = self._person(name, part, history.take([row]))
        return [found[name] for name in names]

    def _person(self, name: str, part: str, history: History) -> Person:
        valid = history.valid_BK[0]
        rows = history.items_BK[0][valid].tolist()
        ids = [self.data.catalogue.ids[row] for row in rows]
        return Person(name, part, history, ids, history.ratings_BK[0][valid].tolist(), self._pictures)


class OwnPictures:
    """Pictures of a person outside any data set, by their path as given."""

    def __init__(self, paths: list[Path]) -> None:
        self._folders = {str(path): FolderPictures(path.parent, ids=[path.name]) for path in paths}
        self.ids = list(self._folders)

    def open(self, item: str) -> Image:
        """The picture in RGB."""
        return self._folders[item].open(Path(item).name)

    def path(self, item: str) -> Path | None:
        """The file itself."""
        return Path(item)

    def digest(self, item: str) -> str:
        """A hash of the file."""
        return self._folders[item].digest(Path(item).name)


@dataclass(frozen=True)
class Rated:
    """A picture somebody brings along."""

    path: Path
    rating: float  # in [-1, 1]
    age: int  # how many ratings ago; 0 is the newest


class Newcomer:
    """Someone in no data set: folders of likes and dislikes, or a file of ratings; embedded on the fly."""

    part = "own"

    def __init__(self, *, name: str, rated: list["Rated"], encoder: Encoder, space_name: str) -> None:
        """All that is rated is seen, however much that is: nothing is held out of a newcomer's history."""
        if encoder.space_name != space_name:
            raise ValueError(
                f"the checkpoint needs pictures embedded by {space_name}, but the encoder at hand is "
                f"{encoder.space_name}. Choose the encoder of the checkpoint's space."
            )
        if not rated:
            raise ValueError("there are no rated pictures: give likes=FOLDER, dislikes=FOLDER or ratings=FILE")
        self.names = [name]
        self._rated, self._encoder = rated, encoder
        self._person: Person | None = None

    def gather(self, names: list[str]) -> list[Person]:
        """The one person, encoded once."""
        if self._person is None:
            pictures = OwnPictures([rated.path for rated in self._rated])
            opened = [
                _opened(pictures, item, rated.path) for item, rated in zip(pictures.ids, self._rated, strict=True)
            ]
            ratings = [rated.rating for rated in self._rated]
            embeddings = self._encoder.encode_images(opened)
            ages = [float(rated.age) for rated in self._rated]
            history = History.of(embeddings, ratings, ages_K=ages, user=self.names[0])
            self._person = Person(self.names[0], self.part, history, pictures.ids, ratings, pictures)
        return [self._person for _ in names]


def _opened(pictures: Pictures, item: str, path: Path) -> Image:
    try:
        return pictures.open(item)
    except BadPictureError as error:
        raise ValueError(f"{path} cannot be used ({error}). Take it out, or replace it.") from None


def from_folders(likes: str | None, dislikes: str | None) -> list[Rated]:
    """Every picture below the two folders, loved (1) or hated (-1).

    Two folders are two lists: the first like and the first dislike are as recent as each other, as in
    `prefprior.pipeline`.
    """
    rated: list[Rated] = []
    for folder, rating, key in ((likes, 1.0, "likes"), (dislikes, -1.0, "dislikes")):
        if folder is None:
            continue
        root = Path(folder)
        if not root.is_dir():
            raise ValueError(f"{key}={folder} is not a folder. Put pictures ({', '.join(SUFFIXES)}) into one.")
        found = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        if not found:
            raise ValueError(f"{key}={folder} holds no pictures ({', '.join(SUFFIXES)})")
        rated += [Rated(path, rating, age) for age, path in enumerate(found)]
    return rated


def from_file(path: str) -> list[Rated]:
    """A CSV with the columns `picture` (a path from the file's folder) and `rating` (any scale: its ends are -1, 1).

    Its last row is the newest, as in a log.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"there is no file ratings={path}. It is a CSV with the columns picture and rating.")
    rows = list(_rows(file))
    low, high = min(r for _, r in rows), max(r for _, r in rows)
    scale = (high - low) / 2
    return [
        Rated(picture, (rating - low) / scale - 1 if scale else 1.0, len(rows) - 1 - row)
        for row, (picture, rating) in enumerate(rows)
    ]


def _rows(file: Path) -> Iterator[tuple[Path, float]]:
    with open(file, newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if not {"picture", "rating"} <= set(reader.fieldnames or []):
            raise ValueError(
                f"{file}:1: the first line must name the columns picture and rating, but has "
                f"{', '.join(reader.fieldnames or []) or 'nothing'}"
            )
        empty = True
        for row in reader:
            empty = False
            picture = file.parent / (row["picture"] or "")
            try:
                rating = float(row["rating"])
            except (TypeError, ValueError):
                rating = np.nan
            if not picture.is_file() or not np.isfinite(rating):
                what = f"rating {row['rating']!r} is no number" if picture.is_file() else f"there is no file {picture}"
                raise ValueError(f"{file}:{reader.line_num}: {what}")
            yield picture, rating
        if empty:
            raise ValueError(f"{file} holds no ratings")
