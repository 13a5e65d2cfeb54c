"""A small gallery: a few users whose histories are rows of a catalogue, a small untrained model, coloured squares."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefprior.data.pictures import ArrayPictures
from prefprior.decoders.retrieval import Retrieval
from prefprior.decoders.safety import NoSafety
from prefprior.gallery.embeddings import PersonalEmbeddings
from prefprior.gallery.figures import Figures, RealPictures
from prefprior.gallery.maker import GalleryMaker
from prefprior.gallery.settings import GallerySettings
from prefprior.gallery.users import GalleryUser
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.predictor import Catalogue
from prefprior.seeding import generator_of
from prefprior.space import Space
from tests.models.conftest import make_model

DIM, ITEMS = 8, 40
SETTINGS = GallerySettings(
    checkpoint="prior.safetensors", checkpoint_sha256="0" * 64, space="tiny", space_fingerprint="f",
    decoder="nearest of 40", sampler=Sampler(steps=2, candidates=2, diversity=0.5), n=3, history=4, command={},
)  # fmt: skip


def catalogue() -> Catalogue:
    raw = np.random.default_rng(0).normal(size=(ITEMS, DIM)).astype(np.float32)
    return Catalogue(Space.measure("tiny", raw), [f"item-{i:02d}" for i in range(ITEMS)], torch.from_numpy(raw))


def pictures() -> ArrayPictures:
    hue = np.linspace(0, 255, ITEMS).astype(np.uint8)
    pixels = np.zeros((ITEMS, 16, 16, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 2] = hue[:, None, None], 255 - hue[:, None, None]
    return ArrayPictures([f"item-{i:02d}" for i in range(ITEMS)], pixels)


class TinyUsers:
    """A few users whose histories are rows of the catalogue."""

    part = "unseen"

    def __init__(self, count: int) -> None:
        self.names = [f"Person {i}" for i in range(count)]
        self.catalogue, self.pictures = catalogue(), pictures()

    def gather(self, names: list[str]) -> list[GalleryUser]:
        return [self.user(name) for name in names]

    def user(self, name: str) -> GalleryUser:
        rows = torch.randperm(ITEMS, generator=generator_of(name))[:4]
        ratings = [1.0, 0.5, -0.5, -1.0]
        history = History.from_rows(self.catalogue.embeddings_ND, rows[None], torch.tensor([ratings]), [name])
        items = [self.catalogue.ids[int(row)] for row in rows]
        return GalleryUser(name, "test", history, items, ratings, self.pictures)


def predictor(space: Space) -> TrainedPredictor:
    objective = Denoising(schedule=LinearSchedule())
    return TrainedPredictor(model=make_model(space), objective=objective, sampler=Sampler())


def embeddings(users: TinyUsers, **changes: Any) -> PersonalEmbeddings:
    text_D = changes.pop("text_D", None)
    return PersonalEmbeddings(
        predictor=predictor(users.catalogue.space), settings=replace(SETTINGS, **changes), text_D=text_D,
        catalogue=users.catalogue,
    )  # fmt: skip


def maker(root: Path, users: TinyUsers, **changes: Any) -> GalleryMaker:
    return GalleryMaker(
        root=root,
        settings=replace(SETTINGS, **changes),
        users=users,
        embeddings=embeddings(users, **changes),
        decoder=Retrieval(catalogue=users.catalogue, pictures=users.pictures),
        safety=NoSafety(),
        figures=Figures(space=users.catalogue.space, real=RealPictures(users.catalogue, users.pictures)),
    )
