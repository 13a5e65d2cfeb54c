"""Makes people's parts of a gallery: draws, decodes, checks and writes, a fixed group of people at a time.

A group is decoded as one, and made again whole where anything of it is missing: what a picture is decoded beside never
depends on what an earlier, interrupted run had finished. Shapes: B people, n pictures, D dimension.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from prefprior.data.pictures import BadPictureError, Pictures
from prefprior.decoders.decoder import Decoder
from prefprior.decoders.retrieval import nearest_rows
from prefprior.decoders.safety import Safety, blurred_card
from prefprior.files import make_folder, write_json
from prefprior.gallery import contact_sheet as sheet
from prefprior.gallery.candidates import Drawer, Drawn
from prefprior.gallery.interpolation import directions
from prefprior.gallery.manifest import (
    FORMAT,
    MANIFEST,
    PICTURES,
    SAMPLES,
    person_folder,
    slug,
    write_samples,
)
from prefprior.gallery.users import Folk, Person
from prefprior.predictor import Catalogue
from prefprior.seeding import seed_of

THUMB = 320  # pixels: sharp at the size pages show


class Truth(Protocol):
    """A source that knows what its people like: only the built-in world is one."""

    def scaled_utility(self, user: str, embeddings_ND: torch.Tensor | np.ndarray) -> np.ndarray:
        """0 is a random picture for this person, 1 the best of the catalogue."""

    def taste_in_words(self, user: str) -> str:
        """One sentence."""


class Maker:
    """Everything that turns groups of names into folders."""

    def __init__(
        self,
        *,
        root: Path,
        settings: dict[str, Any],
        folk: Folk,
        drawer: Drawer,
        decoder: Decoder,
        safety: Safety,
        catalogue: Catalogue | None = None,
        pictures: Pictures | None = None,
        prompt: str | None = None,
        nearest: int = 3,
        truth: Truth | None = None,
        look: Callable[[list[Image.Image]], torch.Tensor] | None = None,
        interpolate: bool = False,
    ) -> None:
        """`look` embeds decoded pictures again, to measure them by; `interpolate` walks from the first to the second
        person of a group."""
        self.root, self.settings, self.folk, self.drawer = root, settings, folk, drawer
        self.decoder, self.safety, self.prompt = decoder, safety, prompt
        self.catalogue, self.pictures, self.nearest = catalogue, pictures, nearest
        self.truth, self.look, self.interpolate = truth, look, interpolate

    @property
    def names_made(self) -> list[str]:
        """Whose folders there will be."""
        return [" to ".join(self.folk.names)] if self.interpolate else self.folk.names

    def make(self, names: list[str]) -> None:
        """Makes one group."""
        people = self.folk.gather(names)
        if self.interpolate:
            drawn_people = [self.drawer.walk(people[0], people[1])]
        else:
            drawn_people = [(person, self.drawer.draw(person)) for person in people]
        pictures = self._decode(drawn_people)
        flags = self.safety.flagged([p for made in pictures for p in made])
        for person, drawn in drawn_people:
            made, withheld = pictures.pop(0), [flags.pop(0) for _ in range(len(drawn.fit_n))]
            self._write(person, drawn, made, withheld)

    def picture_seed(self, name: str, index: int) -> int:
        """The seed of one picture's own noise; a walk keeps one noise, so that only the embedding moves."""
        return seed_of(self.drawer.recipe.seed, name, "picture", 0 if self.interpolate else index)

    def _decode(self, drawn_people: list[tuple[Person, Drawn]]) -> list[list[Image.Image]]:
        embeddings = torch.cat([drawn.embeddings_nD for _, drawn in drawn_people])
        negatives = [drawn.negative_nD for _, drawn in drawn_people if drawn.negative_nD is not None]
        generators = [
            torch.Generator().manual_seed(self.picture_seed(person.name, index))
            for person, drawn in drawn_people
            for index in range(len(drawn.fit_n))
        ]
        flat = self.decoder.decode(
            embeddings,
            negative_BD=torch.cat(negatives) if negatives else None,
            prompt=self.prompt if self.decoder.takes_prompt else None,
            generators=generators,
        )
        return [[flat.pop(0) for _ in range(len(drawn.fit_n))] for _, drawn in drawn_people]

    def _write(self, person: Person, drawn: Drawn, made: list[Image.Image], withheld: list[bool]) -> None:
        folder = make_folder(person_folder(self.root, person.name))
        shown = [blurred_card(picture) if hide else picture for picture, hide in zip(made, withheld)]
        # Measured before anything is blurred: the measure is of the decoder, not of the filter.
        seen_nD = self.look(made) if self.look is not None else None
        rows = self._rows(person, drawn, seen_nD, withheld)
        for index, picture in enumerate(shown):
            rows[index] |= self._save_made(folder, index, picture)
        rated = self._rated(person)
        columns: dict[str, list[Any]] = {"person": [person.name] * len(rows)}
        for key in ("index", "seed", "fit", "better_than", "likeness", "utility", "utility_decoded", "withheld"):
            if key in rows[0]:
                columns[key] = [row[key] for row in rows]
        columns["embedding"] = drawn.embeddings_nD.numpy().tolist()
        if drawn.negative_nD is not None:
            columns["negative"] = drawn.negative_nD.numpy().tolist()
        write_samples(folder / SAMPLES, columns)
        sheet.save(sheet.strip(shown), folder / "strip.webp")
        words = self._words(person)
        shown_rated = [(picture, rating) for picture, rating in self._open_rated(person) if picture is not None]
        sheet.save(sheet.person_sheet(person.name, words, shown_rated, shown), folder / "sheet.png")
        manifest = {
            "format": FORMAT,
            "person": {"name": person.name, "slug": slug(person.name), "part": person.part, "words": words},
            "settings": self.settings,
            "rated": rated,
            "made": rows,
            "counts": {
                "candidates": drawn.candidates,
                "near_copies_avoided": drawn.near_copies,
                "withheld": sum(withheld),
            },
            "summary": _summary(rows, drawn.spread),
        }
        write_json(folder / MANIFEST, manifest)

    def _rows(
        self, person: Person, drawn: Drawn, seen_nD: torch.Tensor | None, withheld: list[bool]
    ) -> list[dict[str, Any]]:
        count = len(drawn.fit_n)
        rows: list[dict[str, Any]] = []
        for i in range(count):
            row: dict[str, Any] = {
                "index": i,
                "seed": self.picture_seed(person.name, i),
                "fit": _figure(drawn.fit_n[i]),
            }
            if drawn.better_than_n is not None:
                row["better_than"] = _figure(drawn.better_than_n[i])
            row["likeness"] = _figure(drawn.likeness_n[i])
            row["withheld"] = withheld[i]
            rows.append(row)
        if self.truth is not None and not self.interpolate:
            for name, embeddings in (("utility", drawn.embeddings_nD), ("utility_decoded", seen_nD)):
                if embeddings is not None:
                    for row, value in zip(rows, self.truth.scaled_utility(person.name, embeddings)):
                        row[name] = _figure(value)
        if seen_nD is not None:
            space = self.drawer.space
            agreement = (directions(space, seen_nD) * directions(space, drawn.embeddings_nD)).sum(-1)
            for row, value in zip(rows, agreement):
                row["decoded_cosine"] = _figure(value)
        if self.catalogue is not None and self.nearest:
            places, cosines = nearest_rows(self.catalogue, drawn.embeddings_nD, self.nearest)
            for row, place, cosine in zip(rows, places.tolist(), cosines.tolist()):
                row["nearest"] = [
                    {
                        "item": self.catalogue.ids[p],
                        "cosine": _figure(c),
                        "file": self._thumb(self.catalogue.ids[p], self.pictures),
                    }
                    for p, c in zip(place, cosine)
                ]
        return rows

    def _rated(self, person: Person) -> list[dict[str, Any]]:
        return [
            {"item": item, "rating": _figure(rating), "file": self._thumb(item, person.pictures)}
            for item, rating in zip(person.items, person.ratings)
        ]

    def _open_rated(self, person: Person) -> list[tuple[Image.Image | None, float]]:
        order = sorted(range(len(person.items)), key=lambda i: -abs(person.ratings[i]))[:16]
        return [(_open(person.pictures, person.items[i]), person.ratings[i]) for i in order]

    def _words(self, person: Person) -> str:
        if self.truth is not None and not self.interpolate:
            return self.truth.taste_in_words(person.name)
        return ""

    def _save_made(self, folder: Path, index: int, picture: Image.Image) -> dict[str, Any]:
        path = folder / "made" / f"{index:02d}.png"
        sheet.save(picture, path)
        saved = {"file": f"made/{path.name}", "width": picture.width, "height": picture.height}
        if max(picture.size) > THUMB:
            small = picture.copy()
            small.thumbnail((THUMB, THUMB))
            sheet.save(small, path.with_suffix(".webp"))
            saved["thumb"] = f"made/{path.stem}.webp"
        return saved

    def _thumb(self, item: str, pictures: Pictures | None) -> str | None:
        """A real picture's thumbnail, kept once for all people; None where the picture is not at hand."""
        name = f"{hashlib.sha256(item.encode()).hexdigest()[:20]}.webp"
        path = self.root / PICTURES / name
        if not path.is_file():
            picture = _open(pictures, item)
            if picture is None:
                return None
            picture.thumbnail((THUMB, THUMB))
            sheet.save(picture, path)
        return f"{PICTURES}/{name}"


def _open(pictures: Pictures | None, item: str) -> Image.Image | None:
    if pictures is None:
        return None
    try:
        return pictures.open(item).convert("RGB")
    except BadPictureError:  # the manifest lists it without a file, and the page says so
        return None


def _figure(value: Any) -> float:
    return round(float(value), 5)


def _summary(rows: list[dict[str, Any]], spread: float) -> dict[str, float]:
    summary = {"diversity": _figure(spread)}
    for key in ("fit", "better_than", "likeness", "utility", "utility_decoded", "decoded_cosine"):
        if key in rows[0]:
            summary[key] = _figure(np.mean([row[key] for row in rows]))
    return summary
