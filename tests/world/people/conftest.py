"""A population over a linear stand-in for the miniature CLIP."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from prefprior.world.people.habits import Habits
from prefprior.world.people.population import Population
from prefprior.world.people.schools import examples, schools
from prefprior.world.people.tastes import Perception, TasteModel, unit
from prefprior.world.render.factors import CATEGORICAL, CONTINUOUS, Factors, draw_factors

DIM = 64
EACH = 12


@dataclass(frozen=True, eq=False)
class Example:
    """A population, how it perceives pictures, and the raw embeddings of its catalogue."""

    people: Population
    perception: Perception
    catalogue_ND: np.ndarray


def embed(factors: Factors) -> np.ndarray:
    """A fixed random projection of the true factors."""
    columns = [np.cos(np.deg2rad(factors["hue"])), np.sin(np.deg2rad(factors["hue"]))]
    columns += [factors[name] - 0.5 for name in CONTINUOUS if name != "hue"]
    for name, words in CATEGORICAL.items():
        columns += list((np.eye(len(words))[factors[name]] - 1 / len(words)).T * 1.5)
    projection = np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, DIM)))[0][: len(columns)]
    return (np.stack(columns, 1) @ projection + 0.5).astype(np.float32)


@pytest.fixture(scope="package")
def example() -> Example:
    catalogue_ND = embed(draw_factors(1500, torch.Generator().manual_seed(3)))
    centres = unit(embed(examples(EACH)[0])).reshape(len(schools()), EACH, DIM).mean(1)
    fine = unit(embed(Factors.from_partial({"saturation": (0.7, 1.0)}, 64, torch.Generator().manual_seed(4)))).mean(0)
    perception = Perception.measure(catalogue_ND, centres, fine, views=8)
    catalogue = perception.perceive(catalogue_ND)
    people = Population(0, 200, TasteModel(), Habits(), perception.place(centres), catalogue)
    return Example(people, perception, catalogue_ND)
