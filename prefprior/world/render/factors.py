"""What a picture of the world is made of: sixteen named factors an eye can tell, drawn or pinned.

Shapes: N pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

# name -> (low, high). Hue is an angle in degrees and wraps; the others run from their quiet end to their loud end.
CONTINUOUS: dict[str, tuple[float, float]] = {
    "hue": (0.0, 360.0),  # of the ground; the inks are placed relative to it
    "spread": (0.0, 1.0),  # how far the inks' hues stand from the ground's
    "lightness": (0.0, 1.0),  # of ground and inks together
    "saturation": (0.0, 1.0),
    "contrast": (0.0, 1.0),  # difference in lightness between ground and inks
    "size": (0.0, 1.0),
    "softness": (0.0, 1.0),  # of the shapes' edges
    "vignette": (0.0, 1.0),  # how dark the corners are
}

CATEGORICAL: dict[str, tuple[str, ...]] = {
    "shape": ("circles", "squares", "triangles", "stars", "rings", "crosses", "moons", "leaves"),
    "number": ("three", "four", "five", "six"),
    "arrangement": ("row", "column", "diagonal", "circle", "scatter"),
    "background": ("plain", "gradient", "bands", "halo", "split"),
    "texture": ("smooth", "lined", "dotted", "checked"),
    "inks": ("one", "two"),
    "tone": ("light", "dark"),  # the inks, against the ground
    "border": ("none", "white", "black"),
}

NAMES: tuple[str, ...] = (*CONTINUOUS, *CATEGORICAL)

# What a caller may pin a factor to: a number, a (low, high) range, a word, or several words.
Pinned = float | int | str | Sequence[float] | Sequence[str]


@dataclass(frozen=True, eq=False)
class Factors:
    """The factors of N pictures: continuous ones as float64, categorical ones as int64 indices into their words."""

    values: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        if set(self.values) != set(NAMES):
            wrong = sorted(set(self.values) ^ set(NAMES))
            raise ValueError(f"factors must be exactly {', '.join(NAMES)}; missing or unknown: {', '.join(wrong)}")
        if len({value.shape for value in self.values.values()}) != 1 or self.values["hue"].ndim != 1:
            raise ValueError("every factor must be an array with one value per picture, all of the same length")

    def __len__(self) -> int:
        return len(self.values["hue"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def take(self, indices: np.ndarray | Sequence[int] | slice) -> "Factors":
        """The factors of the chosen pictures."""
        return Factors({name: value[indices] for name, value in self.values.items()})

    def word(self, name: str, i: int) -> str:
        """The word of a categorical factor of picture i."""
        return CATEGORICAL[name][int(self.values[name][i])]

    @staticmethod
    def from_partial(fixed: Mapping[str, Pinned], n: int, generator: torch.Generator) -> "Factors":
        """Draw n pictures with some factors pinned: a partial description, as a taste is.

        A continuous factor is pinned to a number or to a (low, high) range (a hue range may pass 360: (340, 380));
        a categorical one to a word, its index, or several words. Every factor uses up the same random numbers whether
        pinned or not, so that pinning one leaves the others as they were.
        """
        unknown = sorted(set(fixed) - set(NAMES))
        if unknown:
            raise ValueError(f"unknown factors: {', '.join(unknown)}; known: {', '.join(NAMES)}")
        uniform = torch.rand((n, len(NAMES)), generator=generator, dtype=torch.float64).numpy()
        values: dict[str, np.ndarray] = {}
        for column, name in enumerate(NAMES):
            if name in CONTINUOUS:
                low, high = _pinned_range(name, fixed[name]) if name in fixed else CONTINUOUS[name]
                drawn = low + (high - low) * uniform[:, column]
                values[name] = drawn % 360.0 if name == "hue" else drawn
            else:
                allowed = _pinned_indices(name, fixed[name]) if name in fixed else np.arange(len(CATEGORICAL[name]))
                values[name] = allowed[(uniform[:, column] * len(allowed)).astype(np.int64)]
        return Factors(values)


def draw_factors(n: int, generator: torch.Generator) -> Factors:
    """Draw the factors of n pictures, each uniform and independent of the others."""
    return Factors.from_partial({}, n, generator)


def concatenate(parts: Sequence[Factors]) -> Factors:
    """The factors of several sets of pictures, one after the other."""
    return Factors({name: np.concatenate([part[name] for part in parts]) for name in NAMES})


def _pinned_range(name: str, value: Pinned) -> tuple[float, float]:
    """The (low, high) range a continuous factor is pinned to."""
    low, high = CONTINUOUS[name]
    pair: list[float | str] = [value, value] if isinstance(value, (int, float)) else list(value)
    ends = [float(end) for end in pair if not isinstance(end, str)]
    if len(pair) != 2 or len(ends) != 2 or ends[0] > ends[1]:
        raise ValueError(f"{name} takes a number or a (low, high) range, got {value!r}")
    start, stop = ends
    if name != "hue" and not (low <= start and stop <= high):
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value!r}")
    return start, stop


def _pinned_indices(name: str, value: Pinned) -> np.ndarray:
    """The word indices a categorical factor is pinned to."""
    words = CATEGORICAL[name]
    chosen: list[float | str] = [value] if isinstance(value, (str, int, float)) else list(value)
    indices = [words.index(v) if isinstance(v, str) and v in words else v for v in chosen]
    if not indices or any(isinstance(i, str) or int(i) != i or not 0 <= i < len(words) for i in indices):
        raise ValueError(f"{name} must be one of {', '.join(words)}, got {value!r}")
    return np.array(indices, dtype=np.int64)
