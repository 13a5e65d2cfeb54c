"""A small studio: an untrained prior on few pictures. Its parts are made in milliseconds, in tests and in servers that
tests start."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from prefprior.data.pictures import ArrayPictures
from prefprior.decoders.retrieval import Retrieval
from prefprior.decoders.safety import NoSafety
from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.asker import Asker
from prefprior.elicitation.belief import Moves
from prefprior.elicitation.cast import Cast, Pool
from prefprior.elicitation.exploration import Exploration
from prefprior.elicitation.next_likes import Generated
from prefprior.elicitation.people import Levels
from prefprior.elicitation.policies.eubo import Eubo
from prefprior.elicitation.policies.thompson import Thompson
from prefprior.elicitation.questions import Kind
from prefprior.elicitation.tastes import Tastes
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.predictor import Catalogue
from prefprior.space import Space
from prefprior.studio.inference import Inference, Making, Sampling
from prefprior.studio.painter import Painter
from prefprior.studio.served import Offer, Parts
from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.picture_files import PictureFiles, default_of
from prefprior.studio.web.app import Rates
from tests.models.conftest import DIM, make_model

ITEMS = 240
KINDS = {"nine": Kind(9, none=True), "pair": Kind(2), "rate": Kind(1), "roam": Kind(1)}
LEVELS = Levels((1.0, 2.0, 3.0, 4.0, 5.0), (-1.0, -0.5, 0.0, 0.5, 1.0), 3)
MODEL = "m" * 64
MAKING = Making(n=4, gallery=5, candidates=2, at_once=2)
MANY = Rates(visitor=1_000_000, arrivals=1_000_000, token=1_000_000, wrong_tokens=1_000_000)


def small_catalogue() -> Catalogue:
    raw_ND = torch.randn(ITEMS, DIM, generator=torch.Generator().manual_seed(5))
    return Catalogue(Space.measure("test", raw_ND.numpy()), [f"set a/picture {i:03d}" for i in range(ITEMS)], raw_ND)


def small_pictures(catalogue: Catalogue) -> ArrayPictures:
    pixels = np.random.default_rng(0).integers(0, 255, (ITEMS, 8, 8, 3), dtype=np.uint8)
    large = [np.asarray(Image.fromarray(each).resize((64, 64))) for each in pixels]
    return ArrayPictures(catalogue.ids, np.stack(large))


def small_cast(catalogue: Catalogue) -> Cast:
    predictor = TrainedPredictor(
        model=make_model(catalogue.space, "two_tower"),
        objective=Denoising(schedule=CosineSchedule()),
        sampler=Sampler(steps=2),
    )
    predictor.model.lengths.learn(catalogue.embeddings_ND)
    stranger = History.of(torch.zeros(0, DIM), [], ages_K=[], user="")
    reference_RD = catalogue.embeddings_ND[:50]
    tastes = Tastes.imagine(Generated(predictor), stranger, reference_RD, 40, 3, torch.Generator().manual_seed(0))
    return Cast(tastes, AnswerModel(), Moves(below=8, tastes=16, rounds=1), LEVELS, catalogue)


def small_pool(cast: Cast) -> Pool:
    return cast.pool(torch.arange(200))


def small_inference(cast: Cast, pool: Pool) -> Inference:
    return Inference(
        model=MODEL, cast=cast, pool=pool,
        askers={
            page: Asker(policy=Thompson() if kind.is_rating else Eubo(), kind=kind) for page, kind in KINDS.items()
        },
        exploration=Exploration(0.2),
    )  # fmt: skip


def small_studio(
    database: Database, inference: Inference, catalogue: Catalogue, pictures: ArrayPictures
) -> Studio:  # fmt: skip
    parts, files = small_parts(inference, catalogue, pictures), small_files(database)
    return Studio(database=database, files=files, parts=parts, making=MAKING)


def small_files(database: Database) -> PictureFiles:
    """Beside SQLite's file, and in memory for PostgreSQL."""
    return PictureFiles(database, default_of(database, Path()) if database.is_sqlite else "memory://studio")


def small_parts(inference: Inference, catalogue: Catalogue, pictures: ArrayPictures) -> Parts:
    return Parts(
        inference=inference,
        sampling=Sampling(catalogue=catalogue, certainty=None, making=MAKING),
        painter=Painter(decoder=Retrieval(catalogue=catalogue, pictures=pictures), safety=NoSafety()),
        offer=Offer(KINDS, LEVELS.raw),
        pictures=pictures,
    )
