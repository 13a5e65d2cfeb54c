"""A set of shards: a folder of tars and the manifest that says what they hold and how they were made."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefprior.data.npy import save_array
from prefprior.data.scaling import PersonScale
from prefprior.fields import Fields
from prefprior.files import read_json, write_json
from prefprior.ratings import RatingScale
from prefprior.space import Space

MANIFEST, COUNTS, FORMAT = "manifest.json", "item_counts.npy", 6
AGAIN = "Make the shards again: python shard.py"


@dataclass(frozen=True)
class Shard:
    """One tar, how much it holds, and the digest it is recognised by."""

    path: Path
    users: int
    ratings: int
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path, users: int, ratings: int) -> "Shard":
        """Describes a tar that has just been written."""
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, users, ratings, path.stat().st_size, digest)

    @classmethod
    def from_fields(cls, folder: Path, fields: Fields) -> "Shard":
        """The inverse of `to_dict`, for an untrusted manifest."""
        return cls(
            path=folder / fields.file_name("name"),
            users=fields.whole("users", least=1),
            ratings=fields.whole("ratings", least=1),
            bytes=fields.whole("bytes", least=1),
            sha256=fields.digest("sha256", 64),
        )

    def to_dict(self) -> dict[str, Any]:
        """What the manifest stores."""
        return {"name": self.path.name, **{key: value for key, value in vars(self).items() if key != "path"}}

    def require_present(self) -> None:
        """Refuses a tar that is missing or of another size; its digest is compared when it is read."""
        size = self.path.stat().st_size if self.path.is_file() else None
        if size != self.bytes:
            found = "is missing" if size is None else f"has {size} bytes instead of {self.bytes}"
            raise ValueError(f"{self.path} {found}. Copy it again, or make the shards again: python shard.py")


@dataclass(frozen=True, eq=False)
class ShardSet:
    """A folder of shards: what its manifest says."""

    folder: Path
    source: str
    space: Space
    scale: PersonScale
    parts: dict[str, list[Shard]]
    settled: dict[str, Any]  # how ratings were split and scaled, by argument (`splits.by`, ...)
    training: str  # `training_digest` of the training part
    has_choices: bool = False  # of the training part
    targets: int = 0  # how many ratings and picks of the training part `item_counts` counts

    @classmethod
    def open(cls, folder: str | Path) -> "ShardSet":
        """Reads the manifest and compares the tars' sizes with it."""
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            raise ValueError(f"{folder} contains no shards: there is no {MANIFEST}. Make them with python shard.py")
        value = read_json(path, AGAIN)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ValueError(f"{path} is not a manifest of shards in format {FORMAT}. {AGAIN}")
        fields = Fields(value, path, AGAIN)
        parts = fields.fields("parts")
        found = cls(
            folder=folder,
            source=fields.text("source"),
            space=Space.from_fields(fields.fields("space")),
            scale=_scale(fields),
            parts={name: [Shard.from_fields(folder, shard) for shard in parts.objects(name)] for name in parts},
            settled=fields.plain("settled"),
            training=fields.text("training", "[0-9a-f]+-[0-9a-f]{16}", "the digest of the training part"),
            has_choices=fields.flag("has_choices"),
            targets=fields.whole("targets", least=0),
        )
        names = [shard.path.name for part in found.parts.values() for shard in part]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            parts.fail(f"{twice[0]} is listed twice, so its users would count twice")
        for part in found.parts.values():
            for shard in part:
                shard.require_present()
        return found

    def write(self, item_counts_I: np.ndarray) -> None:
        """Completes a set of shards, and removes tars that are no part of it.

        `item_counts_I`: how often each row of the catalogue was rated or picked in training.
        """
        save_array(self.folder / COUNTS, item_counts_I)
        scale = asdict(self.scale)
        value = {
            "format": FORMAT,
            "source": self.source,
            "space": self.space.to_dict(),
            "rating_scale": scale.pop("scale"),
            "person_scale": scale,
            "settled": self.settled,
            "training": self.training,
            "has_choices": self.has_choices,
            "targets": int(item_counts_I.sum()),
            "parts": {name: [shard.to_dict() for shard in part] for name, part in self.parts.items()},
        }
        write_json(self.folder / MANIFEST, value)
        named = {shard.path for part in self.parts.values() for shard in part}
        for path in self.folder.glob("*.tar"):
            if path not in named:
                path.unlink()

    def rating_count(self, part: str) -> int:
        """How many ratings a part has, histories included."""
        return sum(shard.ratings for shard in self.parts[part])

    def item_counts(self) -> np.ndarray:
        """How often each row of the catalogue was rated or picked in training, (I,) int64."""
        path = self.folder / COUNTS
        if not path.is_file():
            raise ValueError(f"{path} is missing. {AGAIN}")
        try:
            counts_I = np.asarray(np.load(path, allow_pickle=False))
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(f"{path} is not a complete .npy file ({error}). {AGAIN}") from error
        if counts_I.ndim != 1 or counts_I.dtype.kind not in "iu" or (counts_I < 0).any():
            raise ValueError(
                f"{path} contains {counts_I.dtype} of shape {counts_I.shape}, not one count per picture. {AGAIN}"
            )
        if counts_I.sum() != self.targets:
            raise ValueError(
                f"{path} counts {counts_I.sum():,} ratings, but {self.folder / MANIFEST} "
                f"{self.targets:,}: they belong to different sets of shards. {AGAIN}"
            )
        return counts_I.astype(np.int64)

    def require_settled(self, asked: dict[str, Any]) -> None:
        """Refuses to be read as if ratings had been split or scaled in another way than they were."""
        differing = [key for key in asked if self.settled.get(key) != asked[key]]
        if differing:
            made = " ".join(f"data.{key}={self.settled.get(key)}" for key in differing)
            wanted = " ".join(f"data.{key}={asked[key]}" for key in differing)
            raise ValueError(
                f"the shards in {self.folder} were made with {made}, which cannot be changed afterwards. Give "
                f"the same values, or make the shards again: python shard.py ... {wanted}"
            )


def _scale(fields: Fields) -> PersonScale:
    """The scale that makes ratings of different users comparable."""
    rating, person = fields.fields("rating_scale"), fields.fields("person_scale")
    low, high, likes_from = (rating.number(key) for key in ("low", "high", "likes_from"))
    if not low <= likes_from <= high:
        rating.fail(f"a scale needs low <= likes_from <= high, got {low:g}, {likes_from:g}, {high:g}")
    scale = RatingScale(low, high, likes_from, liked_only=rating.flag("liked_only"))
    how = person.text("how", "person|scale", "person or scale")
    weight, centre, std = (person.number(key) for key in ("weight", "centre", "std"))
    if weight <= 0 or std < 0:
        person.fail(f"weight must be above 0 and std at least 0, got {weight:g} and {std:g}")
    return PersonScale(scale, how, weight, centre, std)
