"""Tells a picture of the world in words: one phrase a factor, continuous ones on a fine scale.

What captions do not tell, the miniature CLIP has no reason to see, so every factor has a phrase and no two values of a
factor that an eye can tell share one. A caption is phrases joined by commas, in any order, some or all of them.

Shapes: N captions, F factors, W words of a phrase.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from prefprior.world.render.factors import CATEGORICAL, CONTINUOUS, NAMES, Factors, Pinned

# Hues every 30 degrees of OKLCH, starting at 0; between two neighbours both are named, so a step is 15 degrees.
HUES = ("rose", "red", "orange", "gold", "lime", "green", "jade", "cyan", "azure", "blue", "violet", "magenta")
HUE_STEPS = 2 * len(HUES)

# Nine steps for the other continuous factors: four of the low word, a middle, four of the high word.
ADVERBS = ("extremely", "very", "quite", "slightly")
STEPS = 2 * len(ADVERBS) + 1
SCALES: dict[str, tuple[str, str, str]] = {
    "spread": ("kindred", "opposed", "hues"),
    "lightness": ("dark", "bright", "lightness"),
    "saturation": ("muted", "vivid", "colour"),
    "contrast": ("faint", "bold", "contrast"),
    "size": ("small", "large", "size"),
    "softness": ("crisp", "blurred", "edges"),
    "vignette": ("open", "shaded", "corners"),
}

PHRASES: dict[str, tuple[str, ...]] = {
    "shape": CATEGORICAL["shape"],
    "number": tuple(f"{word} figures" for word in CATEGORICAL["number"]),
    "arrangement": ("in a row", "in a column", "along a diagonal", "around a circle", "scattered"),
    "background": tuple(f"{word} background" for word in ("plain", "gradient", "banded", "halo", "split")),
    "texture": tuple(f"{word} paper" for word in CATEGORICAL["texture"]),
    "inks": ("single ink", "two inks"),
    "tone": ("light figures", "dark figures"),
    "border": ("no border", "white border", "black border"),
}


def _scale(low: str, high: str, noun: str) -> tuple[str, ...]:
    """The nine phrases of a continuous factor, from its low end to its high end."""
    return (*(f"{a} {low}" for a in ADVERBS), f"medium {noun}", *(f"{a} {high}" for a in reversed(ADVERBS)))


def _hue_phrases() -> tuple[str, ...]:
    """The phrases of the hue, every 15 degrees from 0."""
    phrases = []
    for i, name in enumerate(HUES):
        phrases += [f"{name} ground", f"{name} {HUES[(i + 1) % len(HUES)]} ground"]
    return tuple(phrases)


# Every phrase of every factor, in the order of the factor's values: the one table captions and vocabulary come from.
TABLE: dict[str, tuple[str, ...]] = {
    name: _hue_phrases() if name == "hue" else _scale(*SCALES[name]) if name in SCALES else PHRASES[name]
    for name in NAMES
}
assert all(len(TABLE[name]) == len(words) for name, words in CATEGORICAL.items())


def levels(factors: Factors, name: str) -> np.ndarray:
    """Which phrase of its factor each picture has: indices into TABLE[name], (N,)."""
    if name in CATEGORICAL:
        return factors[name]
    if name == "hue":
        return np.round(factors["hue"] / 360.0 * HUE_STEPS).astype(np.int64) % HUE_STEPS
    low, high = CONTINUOUS[name]
    return np.clip(((factors[name] - low) / (high - low) * STEPS).astype(np.int64), 0, STEPS - 1)


def phrase(factors: Factors, name: str, i: int) -> str:
    """The words for one factor of picture i."""
    return TABLE[name][int(levels(factors.take([i]), name)[0])]


def caption(factors: Factors, i: int) -> str:
    """The full caption of picture i: what is shown, then how."""
    return some_phrases(factors, i, ORDER)


def some_phrases(factors: Factors, i: int, names: Sequence[str]) -> str:
    """What a caption of picture i says that tells these factors alone."""
    return ", ".join(phrase(factors, name, i) for name in names)


# The order in which a full caption reads best; any order means the same.
ORDER: tuple[str, ...] = (
    *("number", "shape", "arrangement", "size", "tone", "inks", "softness"),
    *("hue", "spread", "lightness", "saturation", "contrast"),
    *("background", "texture", "vignette", "border"),
)
assert sorted(ORDER) == sorted(NAMES)


def describe(fixed: Mapping[str, Pinned]) -> str:
    """The words for a partial description, as `Factors.from_partial` takes it; ranges and choices are told as such."""
    if not fixed:
        return "anything"
    told = []
    for name in [name for name in ORDER if name in fixed]:
        value = fixed[name]
        ends: list[float | str] = [value] if isinstance(value, (int, float, str)) else list(value)
        phrases = list(dict.fromkeys(_phrase_of(name, end) for end in ends))
        told.append((" to " if name in CONTINUOUS else " or ").join(phrases))
    return ", ".join(told)


def _phrase_of(name: str, value: float | int | str) -> str:
    """The phrase for one pinned value."""
    if isinstance(value, str):
        return TABLE[name][CATEGORICAL[name].index(value)]
    if name in CATEGORICAL:
        return TABLE[name][int(value)]
    if name == "hue":
        return TABLE[name][round(value / 360.0 * HUE_STEPS) % HUE_STEPS]
    low, high = CONTINUOUS[name]
    return TABLE[name][min(int((value - low) / (high - low) * STEPS), STEPS - 1)]
