"""Forty-eight schools: kinds of picture that users of the world may like, each a partial description.

A school pins the hue of the ground, the shape, whether the inks are lighter or darker than the ground, and one trait of
its own; all else is open. Every pair of hue and shape is one school, so that a user's schools can differ in
everything that matters at once.
"""

import numpy as np
import torch

from prefprior.world.render.factors import CATEGORICAL, Factors, Pinned, concatenate

HUES = ((-30.0, 30.0), (30.0, 90.0), (90.0, 150.0), (150.0, 210.0), (210.0, 270.0), (270.0, 330.0))
TRAITS: tuple[dict[str, Pinned], ...] = (
    {"background": ("halo", "split")},
    {"texture": ("smooth",)},
    {"arrangement": ("row", "diagonal")},
    {"background": ("plain", "gradient")},
    {"texture": ("lined", "checked")},
    {"arrangement": ("circle", "scatter")},
    {"background": ("bands",)},
)
SEED = 48  # of the pictures that stand for the schools


def schools() -> list[dict[str, Pinned]]:
    """The partial descriptions, in a fixed order."""
    found: list[dict[str, Pinned]] = []
    for i, hue in enumerate(HUES):
        for j, shape in enumerate(CATEGORICAL["shape"]):
            tone = CATEGORICAL["tone"][(i + j) % 2]
            # Seven traits and eight shapes have no common divisor: each shape meets every trait.
            found.append({"hue": hue, "shape": shape, "tone": tone, **TRAITS[len(found) % len(TRAITS)]})
    return found


def examples(each: int) -> tuple[Factors, np.ndarray]:
    """Factors and seeds of `each` pictures of every school, school after school."""
    generator = torch.Generator().manual_seed(SEED)
    drawn = concatenate([Factors.from_partial(pinned, each, generator) for pinned in schools()])
    return drawn, torch.randint(2**31, (len(drawn),), generator=generator).numpy()
