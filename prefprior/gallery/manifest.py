"""What a gallery writes down: enough to make the same pictures again, and to tell what is there from what is missing.

A person's folder is complete when its `manifest.json` is there: it is written last. Manifests hold no time and no
machine, so that the same gallery made twice is the same to the byte.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prefprior.files import read_json, write_json, written_whole

FORMAT = "prefprior-gallery-1"
MANIFEST = "manifest.json"
SETTINGS = "gallery.json"
SAMPLES = "samples.parquet"
PEOPLE = "people"
PICTURES = "pictures"


def slug(name: str) -> str:
    """A folder name for any id; ids that would fall together get a hash, also where case does not count."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.")[:48]
    if plain == name:
        return plain
    return f"{plain or 'person'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def person_folder(root: Path, name: str) -> Path:
    """Where a person's part of a gallery lies."""
    return root / PEOPLE / slug(name)


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_complete(root: Path, name: str) -> bool:
    """Whether a person's pictures are all there."""
    return (person_folder(root, name) / MANIFEST).is_file()


def begin(root: Path, settings: dict[str, Any]) -> None:
    """Writes the settings that all people share, or refuses to continue a gallery made with others."""
    path = root / SETTINGS
    if not path.is_file():
        write_json(path, settings)
        return
    old = read_json(path)
    if old != settings:
        keys = sorted(key for key in {*old, *settings} if old.get(key) != settings.get(key))
        raise ValueError(
            f"{root} was begun with other settings: {', '.join(keys[:6])} differ. "
            "Give the same to continue it, or choose another run_dir."
        )


def write_samples(path: Path, columns: dict[str, list[Any]]) -> None:
    """The embeddings and scores of one person's pictures as parquet."""
    arrays = {
        name: pa.array(value, type=pa.list_(pa.float32()) if name in {"embedding", "negative"} else None)
        for name, value in columns.items()
    }
    with written_whole(path) as part:
        pq.write_table(pa.table(arrays), part)


def read_manifest(path: str | Path) -> dict[str, Any]:
    """A manifest of a person, checked for its format; a person's folder stands for the manifest inside it."""
    path = Path(path)
    path = path / MANIFEST if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"there is no manifest {path}. Each person's folder of a gallery holds one: {MANIFEST}")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{path} is not a gallery's manifest of format {FORMAT}")
    return manifest
