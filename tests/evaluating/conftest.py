"""A small table of ratings and two untrained priors, made once per test file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from prefprior import checkpoint
from prefprior.files import write_json
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.denoiser import DenoiserSize
from prefprior.models.prior.prior import Prior
from prefprior.runs import DATA
from prefprior.space import Space


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty users, each of whom likes half of sixty pictures, and two untrained priors of their space."""
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(60, 6)).astype(np.float32)
    np.save(folder / "e.npy", raw)
    (folder / "ids.txt").write_text("".join(f"p{i}\n" for i in range(60)))
    lines = ["user,item,rating"]
    for user in range(80):
        taste = rng.normal(size=6)
        lines += [f"u{user},p{i},{int(raw[i] @ taste > 0)}" for i in rng.choice(60, 24, replace=False)]
    (folder / "r.csv").write_text("\n".join(lines) + "\n")
    space = Space.measure("e", raw)
    torch.manual_seed(0)
    for name in ("one", "two"):
        size = DenoiserSize(width=16, depth=1, heads=2)
        prior = Prior(space=space, width=16, depth=1, heads=2, denoiser=size)
        source = {"ratings": "r.csv", "embeddings": "e.npy", "items": "ids.txt"}
        checkpoint.save(
            folder / "runs" / "train" / name / "prior.safetensors",
            model=PreferenceModel(prior=prior),
            objective=Denoising(schedule=CosineSchedule()),
            sampler=Sampler(steps=2),
            facts={"steps": 0},
        )
        nodes = {
            "source": {"_target_": "prefprior.data.sources.table.TableSource", **source},
            "data": {
                "_target_": "prefprior.data.datamodule.PreferenceDataModule",
                "splits": {"_target_": "prefprior.data.splits.Splits"},
            },
        }
        write_json(folder / "runs" / "train" / name / DATA, nodes)
    return folder
