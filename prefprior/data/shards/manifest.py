"""A set of shards: a folder of tars and the manifest that says what they hold and how they were made."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefprior.data.scaling import PersonScale
from prefprior.files import read_json, write_json, written_whole
from prefprior.ratings import RatingScale
from prefprior.space import Space

MANIFEST, COUNTS, FORMAT = "manifest.json", "item_counts.npy", 4
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
    def from_dict(cls, folder: Path, value: dict[str, Any]) -> "Shard":
        """The inverse of `to_dict`."""
        name, users, ratings, size = (value[key] for key in ("name", "users", "ratings", "bytes"))
        if Path(name).name != name or not all(type(n) is int and n > 0 for n in (users, ratings, size)):
            raise ValueError(f"{value} does not describe a tar in this folder")
        return cls(folder / name, users, ratings, size, str(value["sha256"]))

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

    @classmethod
    def open(cls, folder: str | Path) -> "ShardSet":
        """Reads the manifest and compares the tars' sizes with it."""
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            raise ValueError(f"{folder} holds no shards: there is no {MANIFEST}. Make them with python shard.py")
        value = read_json(path)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ValueError(f"{path} is not a manifest of shards of format {FORMAT}. {AGAIN}")
        try:
            found = cls(
                folder=folder,
                source=str(value["source"]),
                space=Space.from_dict(value["space"]),
                scale=PersonScale(RatingScale(**value["rating_scale"]), **value["person_scale"]),
                parts={name: [Shard.from_dict(folder, s) for s in part] for name, part in value["parts"].items()},
                settled=dict(value["settled"]),
                training=str(value["training"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is not a whole manifest of shards ({error!r}). {AGAIN}") from error
        for part in found.parts.values():
            for shard in part:
                shard.require_present()
        return found

    def write(self, item_counts_I: np.ndarray) -> None:
        """Completes a set of shards, and removes tars that are no part of it.

        `item_counts_I`: how often each row of the catalogue was rated in training.
        """
        with written_whole(self.folder / COUNTS) as part, open(part, "wb") as file:
            np.save(file, item_counts_I, allow_pickle=False)
        scale = asdict(self.scale)
        value = {
            "format": FORMAT,
            "source": self.source,
            "space": self.space.to_dict(),
            "rating_scale": scale.pop("scale"),
            "person_scale": scale,
            "settled": self.settled,
            "training": self.training,
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
        """How often each row of the catalogue was rated in training, (I,) int64."""
        path = self.folder / COUNTS
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(f"{path} is missing or not a whole .npy file ({error}). {AGAIN}") from error

    def require_settled(self, asked: dict[str, Any]) -> None:
        """Refuses to be read as if ratings had been split or scaled in another way than they were."""
        differing = [key for key in asked if self.settled.get(key) != asked[key]]
        if differing:
            made = " ".join(f"data.{key}={self.settled.get(key)}" for key in differing)
            wanted = " ".join(f"data.{key}={asked[key]}" for key in differing)
            raise ValueError(
                f"the shards in {self.folder} were made with {made}, which cannot be changed any more. "
                f"Give those words, or make them again: python shard.py ... {wanted}"
            )
