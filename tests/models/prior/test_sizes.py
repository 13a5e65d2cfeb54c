"""What the headers of conf/prior say of sizes."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from prefprior.config import build, conf_folder
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.retriever.retriever import Retriever
from prefprior.models.retriever.two_tower import TwoTower
from prefprior.space import Space

STATED = [
    (path.stem, float(millions), int(dim))
    for path in sorted((conf_folder() / "prior").glob("*.yaml"))
    for millions, dim in re.findall(r"([\d.]+) M parameters at (\d+) dimensions", path.read_text())
]


@pytest.mark.parametrize(("name", "millions", "dim"), STATED)
def test_a_prior_has_as_many_parameters_as_its_file_says(name: str, millions: float, dim: int) -> None:
    folder = conf_folder() / "prior"
    node: Any = OmegaConf.load(folder / f"{name}.yaml")
    for base in (name for name in node.pop("defaults", []) if isinstance(name, str)):
        node = OmegaConf.merge(OmegaConf.load(folder / f"{base}.yaml"), node)
    space = Space("test/space", np.zeros(dim, np.float32), np.ones(dim, np.float32), 1.0)
    with torch.device("meta"):  # counted, not filled
        prior = build(node.get("prior", node), space=space)
        parts = [prior] if not prior.readouts else [prior, _retriever(space, prior)]
    assert sum(p.numel() for part in parts for p in part.parameters()) / 1e6 == pytest.approx(millions, rel=0.1)


def _retriever(space: Space, prior: PriorNetwork) -> Retriever:
    return TwoTower(space=space, scale=prior.scale, token_width=prior.width)
