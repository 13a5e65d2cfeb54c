"""Writes a user's folder: pictures, thumbnails, contact sheet, samples and, last, the manifest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from prefprior.data.decoding import BadPictureError
from prefprior.data.pictures import Pictures
from prefprior.files import make_folder, write_json
from prefprior.gallery import contact_sheet
from prefprior.gallery.embeddings import UserEmbeddings
from prefprior.gallery.figures import RealPictures, Row, rounded, summary
from prefprior.gallery.manifest import (
    FORMAT,
    MANIFEST,
    PICTURES,
    SAMPLES,
    SHEET,
    STRIP,
    slug,
    user_folder,
    write_samples,
)
from prefprior.gallery.settings import GallerySettings
from prefprior.gallery.users import GalleryUser

THUMB = 320  # pixels: sharp at the size pages show
ON_SHEET = 16  # rated pictures on a contact sheet: those with the strongest ratings
ORIGINAL = "original"  # the name of the picture that is edited, beside those made of it
COLUMNS = ("index", "seed", "score", "better_than", "likeness", "utility", "utility_decoded", "withheld")


@dataclass(frozen=True, eq=False)
class MadePictures:
    """What was made for one user, as it is shown."""

    pictures: list[Image.Image]  # withheld ones are blurred
    withheld: list[bool]
    seeds: list[int]
    rows: list[Row]  # figures
    taste: str  # in words, where it is known


class UserFolders:
    """The folders of a gallery's users."""

    def __init__(
        self,
        *,
        root: Path,
        settings: GallerySettings,
        real: RealPictures | None,
        original: Image.Image | None = None,
    ) -> None:
        """`original` is the picture that is edited, if one is."""
        self.root, self.settings, self.real, self.original = root, settings, real, original

    def write(self, user: GalleryUser, embeddings: UserEmbeddings, made: MadePictures) -> None:
        """Everything of one user."""
        folder = make_folder(user_folder(self.root, user.name))
        rows = [self._row(folder, made, index) for index in range(len(made.rows))]
        rated = [
            {"item": item, "rating": rounded(rating), "file": self._thumb(item, user.pictures)}
            for item, rating in zip(user.items, user.ratings)
        ]
        write_samples(folder / SAMPLES, _columns(user.name, rows, embeddings))
        contact_sheet.save(contact_sheet.strip(made.pictures), folder / STRIP)
        sheet = contact_sheet.user_sheet(user.name, made.taste, _strongest(user), made.pictures, original=self.original)
        contact_sheet.save(sheet, folder / SHEET)
        person = {"name": user.name, "slug": slug(user.name), "part": user.part, "taste": made.taste}
        figures = summary(rows, embeddings.diversity)
        if embeddings.concentration is not None and embeddings.sure is not None:
            person["sure"], figures["concentration"] = embeddings.sure, rounded(embeddings.concentration)
        manifest = {
            "format": FORMAT,
            "person": person,
            "settings": self.settings.to_dict(),
            "rated": rated,
            "made": rows,
            "counts": {
                "candidates": embeddings.candidates,
                "near_copies_avoided": embeddings.near_copies,
                "withheld": sum(made.withheld),
            },
            "summary": figures,
        }
        if self.original is not None:
            manifest["original"] = _save_made(folder, ORIGINAL, self.original)
        write_json(folder / MANIFEST, manifest)

    def _row(self, folder: Path, made: MadePictures, index: int) -> Row:
        row = {"index": index, "seed": made.seeds[index], **made.rows[index], "withheld": made.withheld[index]}
        pictures = None if self.real is None else self.real.pictures
        if "nearest" in row:
            row["nearest"] = [near | {"file": self._thumb(near["item"], pictures)} for near in row["nearest"]]
        return row | _save_made(folder, index, made.pictures[index])

    def _thumb(self, item: str, pictures: Pictures | None) -> str | None:
        """A real picture's thumbnail, kept once for all users; None where the picture is not at hand."""
        name = f"{hashlib.sha256(item.encode()).hexdigest()[:20]}.webp"
        path = self.root / PICTURES / name
        if not path.is_file():
            picture = _open(pictures, item)
            if picture is None:
                return None
            picture.thumbnail((THUMB, THUMB))
            contact_sheet.save(picture, path)
        return f"{PICTURES}/{name}"


def _columns(name: str, rows: list[Row], embeddings: UserEmbeddings) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"person": [name] * len(rows)}
    columns |= {key: [row[key] for row in rows] for key in (*COLUMNS, *embeddings.columns) if key in rows[0]}
    columns["embedding"] = embeddings.raw_nD.numpy().tolist()
    if embeddings.negative_nD is not None:
        columns["negative"] = embeddings.negative_nD.numpy().tolist()
    return columns


def _save_made(folder: Path, index: int | str, picture: Image.Image) -> dict[str, Any]:
    path = folder / "made" / (f"{index:02d}.png" if isinstance(index, int) else f"{index}.png")
    contact_sheet.save(picture, path)
    saved = {"file": f"made/{path.name}", "width": picture.width, "height": picture.height}
    if max(picture.size) > THUMB:
        small = picture.copy()
        small.thumbnail((THUMB, THUMB))
        contact_sheet.save(small, path.with_suffix(".webp"))
        saved["thumb"] = f"made/{path.stem}.webp"
    return saved


def _strongest(user: GalleryUser) -> list[tuple[Image.Image, float]]:
    order = sorted(range(len(user.items)), key=lambda i: -abs(user.ratings[i]))[:ON_SHEET]
    opened = [(_open(user.pictures, user.items[i]), user.ratings[i]) for i in order]
    return [(picture, rating) for picture, rating in opened if picture is not None]


def _open(pictures: Pictures | None, item: str) -> Image.Image | None:
    if pictures is None:
        return None
    try:
        return pictures.open(item).convert("RGB")
    except BadPictureError:  # the manifest lists it without a file, and the page says so
        return None
