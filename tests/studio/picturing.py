"""Albums of made pictures, and their files."""

from pathlib import Path

from prefprior.studio.store.albums import Album, Picture
from prefprior.studio.store.database import Database
from prefprior.studio.store.people import People, Profile
from prefprior.studio.store.picture_files import PictureFiles, name_of


def album(*contents: bytes, mixed_with: int | None = None) -> Album:
    pictures = tuple(Picture(name_of(each)) for each in contents)
    return Album("s", 1, "m" * 64, "decoder", 3, 0.5, None, pictures, {}, mixed_with)


def somebody(database: Database) -> Profile:
    return People(database).arrive()[0].profiles[0]


def there(files: PictureFiles) -> set[str]:
    """Names of all files."""
    return {Path(path).stem for path in files._system.find(files._root) if path.endswith(".png")}
