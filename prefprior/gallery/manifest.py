"""The files of a gallery: where they lie, and which of them are there.

A user's folder is complete when its `manifest.json` is there: it is written last. Manifests hold no time and no
machine, so that the same gallery made twice is the same to the byte.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prefprior.data.columns.ids import fault
from prefprior.fields import Fields
from prefprior.files import read_json, write_json, written_whole
from prefprior.gallery.settings import GallerySettings

AGAIN = "Make the gallery again: python sample.py"
# 3 had no axes and no edits; 2 had a sampler that put samples at one length; 1 called a score a fit, and held paths.
FORMAT = "prefprior-gallery-4"
MANIFEST = "manifest.json"
SETTINGS = "gallery.json"
SAMPLES = "samples.parquet"
SHEET = "contact_sheet.png"
STRIP = "strip.webp"
PEOPLE = "people"
PICTURES = "pictures"


def slug(name: str) -> str:
    """A folder name for any id; ids that would fall together get a hash, also where case does not count."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.")[:48]
    if plain == name:
        return plain
    return f"{plain or 'person'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def user_folder(root: Path, name: str) -> Path:
    """Where a user's part of a gallery lies."""
    return root / PEOPLE / slug(name)


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_complete(root: Path, name: str) -> bool:
    """Whether a user's pictures are all there."""
    return (user_folder(root, name) / MANIFEST).is_file()


def begin(root: Path, settings: GallerySettings) -> None:
    """Writes the settings that all users share, or refuses to continue a gallery made with others."""
    path, new = root / SETTINGS, {"format": FORMAT, **settings.to_dict()}
    if not path.is_file():
        write_json(path, new)
        return
    old = read_json(path)
    if not isinstance(old, dict) or old.get("format") != FORMAT:
        raise ValueError(f"the gallery in {root} was started by another version of prefprior. Choose another run_dir.")
    if old != new:
        keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        raise ValueError(
            f"the gallery in {root} was started with other settings: {', '.join(keys[:6])} differ. Give "
            "the same settings to continue it, or choose another run_dir."
        )


def write_samples(path: Path, columns: dict[str, list[Any]]) -> None:
    """The embeddings and scores of one user's pictures as parquet."""
    arrays = {
        name: pa.array(value, type=pa.list_(pa.float32()) if name in {"embedding", "negative"} else None)
        for name, value in columns.items()
    }
    with written_whole(path) as part:
        pq.write_table(pa.table(arrays), part)


def read_manifest(path: str | Path) -> dict[str, Any]:
    """A user's manifest, checked for its form; a user's folder stands for the manifest inside it."""
    path = Path(path)
    path = path / MANIFEST if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"there is no manifest {path}. The folder of each user in a gallery contains one: {MANIFEST}")
    manifest = read_json(path, AGAIN)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(found, str) and found.startswith("prefprior-gallery-") and found != FORMAT:
        raise ValueError(
            f"{path} has the manifest format {found}, this version reads {FORMAT}. Make the gallery again with "
            "python sample.py, or use the version of prefprior that made it."
        )
    if found != FORMAT:
        raise ValueError(
            f"{path} is not a gallery manifest: its format is {found!r}, not {FORMAT!r}. The folder of "
            "each user in a gallery contains one."
        )
    person = Fields(manifest, path, AGAIN).fields("person")
    if reason := fault(person.text("name")):
        person.refuse("name", f"a user id: {reason}")
    return dict(manifest)


def read_made(folder: Path) -> dict[str, Any]:
    """The manifest of a user's folder with all that pages show of it."""
    manifest = read_manifest(folder)
    fields = Fields(manifest, folder / MANIFEST, f"Delete {folder} and run the same command again.")
    person = fields.fields("person")
    for key in ("part", "taste"):
        if not isinstance(person.value(key), str):
            person.refuse(key, "text")
    own = slug(person.text("name"))
    person.text("slug", re.escape(own), f"{own!r}, the name of this user's folder")
    for key in ("summary", "counts"):
        figures = fields.fields(key)
        for name in figures:
            figures.number(name)
    if "sure" in person:
        person.text("sure")
        fields.fields("summary").number("concentration")
    for row in fields.objects("rated", least=0):
        row.number("rating")
        _file(row, "file", optional=True)
    if "original" in fields:
        _file(fields.fields("original"), "file")
    for row in fields.objects("made"):
        _file(row, "file")
        for near in row.objects("nearest", least=0) if "nearest" in row else []:
            _file(near, "file", optional=True)
    return manifest


def _file(row: Fields, key: str, *, optional: bool = False) -> None:
    if not (optional and row.value(key) is None):
        row.text(key, r"(made|pictures)/\w[\w.-]*", "a file of this gallery")
