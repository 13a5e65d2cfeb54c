"""A finished run on a small table of ratings, with an untrained prior: what `python sample.py` needs."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from prefprior import checkpoint
from prefprior.files import write_json
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.regression import Regression
from prefprior.models.prior.denoiser import DenoiserSize
from prefprior.models.prior.prior import Prior
from prefprior.models.retriever.item_identity import ItemIdentity
from prefprior.runs import DATA
from prefprior.space import Space

ITEMS, USERS, DIM = 48, 60, 16
NODES: dict[str, Any] = {
    "source": {
        "_target_": "prefprior.data.sources.table.TableSource", "ratings": "ratings.csv", "pictures": "pictures",
        "embeddings": "vectors.npy", "items": "items.txt", "space": "own",
    },
    "embeddings": {"_target_": "prefprior.data.embedding_lookup.StoredEmbeddings"},
    "data": {"_target_": "prefprior.data.datamodule.PreferenceDataModule"},
    "seed": 0,
}  # fmt: skip
QUIET = "trainer.enable_progress_bar=false"


def save_prior(
    path: Path, space: Space, data: dict[str, Any] | None = None, *, likes: bool = False, **facts: object
) -> None:
    """An untrained prior, with where its data lie beside it; of likes, with the retriever and the objective that
    `experiment=likes` has."""
    torch.manual_seed(0)
    size = DenoiserSize(width=16, depth=1)
    prior = Prior(space=space, width=16, depth=1, heads=2, readouts=3, denoiser=size)
    retriever = ItemIdentity(space=space, scale=prior.scale, token_width=16, frequencies=16) if likes else None
    model = PreferenceModel(prior=prior, retriever=retriever)
    for weight in model.parameters():
        if not weight.any():  # what starts at zero keeps an untaught prior from telling people apart
            torch.nn.init.normal_(weight, std=0.3)
    objective = Regression(answers=1) if likes else Regression()
    checkpoint.save(path, model=model, objective=objective, sampler=Sampler(candidates=2), facts={"data": data} | facts)
    if data is not None:
        write_json(path.with_name(DATA), data)


def make_run(folder: Path, *, likes: bool = False) -> Path:
    """Pictures, ratings (or likes only), embeddings and a finished training run in a folder."""
    draws = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for i in range(ITEMS):
        Image.fromarray(draws.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder / f"pictures/i{i:02d}.png")
    lines = ["user,item,rating"]
    for user in range(USERS):
        lines += [f"u{user:02d},i{i:02d},{draws.integers(1, 6)}" for i in draws.permutation(ITEMS)[:8]]
    if likes:
        lines = [line.rsplit(",", 1)[0] for line in lines]
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    vectors = draws.normal(size=(ITEMS, DIM)).astype(np.float32)
    np.save(folder / "vectors.npy", vectors)
    (folder / "items.txt").write_text("".join(f"i{i:02d}\n" for i in range(ITEMS)))
    save_prior(folder / "runs/train/one/prior.safetensors", Space.measure("own", vectors), data=NODES, likes=likes)
    return folder
