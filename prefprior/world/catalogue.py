"""The world's catalogue: pictures, drawn when asked for, and their embeddings by its CLIP, made once and kept.

Shapes: N pictures of the catalogue, M reference pictures, S schools, D dimension.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from prefprior.data.embedding.manifest import MANIFEST, TableManifest
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.locks import in_turn
from prefprior.world import clip
from prefprior.world.people.schools import examples, schools
from prefprior.world.people.tastes import unit
from prefprior.world.render.captions import ORDER, some_phrases
from prefprior.world.render.factors import Factors, Pinned, draw_factors
from prefprior.world.render.pictures import render

EXAMPLES = 24  # pictures that stand for a school
FINE: dict[str, Pinned] = {"saturation": (0.7, 1.0), "contrast": (0.6, 1.0), "softness": (0.0, 0.3)}
FINE_EXAMPLES = 384
TOLD = 4  # factors that a picture's caption tells at most


class WorldPictures:
    """Procedural pictures by id; nothing is stored."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.factors = draw_factors(count, generator)
        self.seeds = torch.randint(2**31, (count,), generator=generator).numpy()
        self.ids = [f"picture-{row:05d}" for row in range(count)]
        self._row_of = {name: row for row, name in enumerate(self.ids)}

    def open(self, item: str) -> Image.Image:
        """Draws one picture."""
        if item not in self._row_of:
            raise ValueError(f"the world has no picture {item}; it has {self.ids[0]} to {self.ids[-1]}")
        row = [self._row_of[item]]
        return Image.fromarray(render(self.factors.take(row), self.seeds[row])[0])

    def path(self, item: str) -> Path | None:
        """No picture of the world is a file."""
        return None

    def stamp(self, item: str) -> str:
        """None: only its pixels say what it is."""
        return ""

    def digest(self, item: str) -> str:
        """A hash of the pixels."""
        return hashlib.sha256(self.open(item).tobytes()).hexdigest()


class References(NamedTuple):
    """What users' tastes are measured by: means of unit embeddings."""

    schools_SD: np.ndarray
    fine_D: np.ndarray  # of pictures that are well made: vivid, bold and crisp


def catalogue_table(pictures: WorldPictures, folder: Path) -> EmbeddingTable:
    """The catalogue's embeddings, made where they are missing or were made of something else."""
    return _kept(folder, pictures.ids, pictures.factors, pictures.seeds)


def caption_table(pictures: WorldPictures) -> np.ndarray:
    """(N, D) raw text embeddings, one caption for each picture: of a few of its factors, as prompts are."""
    model, _, tokenizer = clip.load()
    rng = np.random.default_rng(len(pictures.ids))
    told = [rng.choice(ORDER, size=rng.integers(1, TOLD + 1), replace=False) for _ in pictures.ids]
    return clip.embed_texts(
        model, tokenizer, [some_phrases(pictures.factors, i, list(names)) for i, names in enumerate(told)]
    ).numpy()


def references(folder: Path) -> References:
    """The schools' centres and the direction of quality, from pictures outside the catalogue."""
    drawn, seeds = examples(EXAMPLES)
    count = len(schools())
    ids = [f"school-{s:02d}-{e:02d}" for s in range(count) for e in range(EXAMPLES)]
    school_MD = unit(_kept(folder / "schools", ids, drawn, seeds).vectors)
    generator = torch.Generator().manual_seed(len(FINE))
    drawn = Factors.from_partial(FINE, FINE_EXAMPLES, generator)
    seeds = torch.randint(2**31, (FINE_EXAMPLES,), generator=generator).numpy()
    fine_MD = unit(_kept(folder / "fine", [f"fine-{e:03d}" for e in range(FINE_EXAMPLES)], drawn, seeds).vectors)
    return References(school_MD.reshape(count, EXAMPLES, -1).mean(1), fine_MD.mean(0))


def _kept(folder: Path, ids: list[str], factors: Factors, seeds: np.ndarray) -> EmbeddingTable:
    """Embeddings of pictures, read from `folder` if they are of the same pictures and weights."""
    probe = render(factors.take(slice(0, 4)), seeds[:4])  # a renderer that draws otherwise shows here
    origin = {
        "name": clip.MODEL_NAME,
        "weights": hashlib.sha256(clip.WEIGHTS.read_bytes()).hexdigest() if clip.WEIGHTS.is_file() else "missing",
        "pictures": hashlib.sha256(probe.tobytes() + seeds.tobytes()).hexdigest(),
    }
    if not _is_of(folder, origin):
        with in_turn(folder):  # processes that need the same at the same time: the first makes it for all
            if not _is_of(folder, origin):
                model, _, _ = clip.load()
                raw_ND = clip.embed_pictures(model, render(factors, seeds)).numpy()
                return EmbeddingTable.write(folder, clip.MODEL_NAME, ids, raw_ND, encoder=origin)
    return EmbeddingTable.open(folder)


def _is_of(folder: Path, origin: dict[str, str]) -> bool:
    return (folder / MANIFEST).is_file() and TableManifest.read(folder).encoder == origin
