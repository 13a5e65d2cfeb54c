"""Colours of the world's pictures: OKLCH, so that lightness, saturation and hue mean what an eye sees.

Conversion as in Ottosson (2020), "A perceptual color space for image processing". Shapes: ... any leading shape.
"""

import numpy as np

# Chroma that full saturation stands for where the gamut allows it; beyond it yellow-green and magenta would shout.
MAX_CHROMA = 0.2


def _linear_rgb(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """OKLCH (hue in degrees) to linear RGB, possibly outside [0, 1]."""
    a = chroma * np.cos(np.deg2rad(hue))
    b = chroma * np.sin(np.deg2rad(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ],
        axis=-1,
    )


def _gamut_chroma(lightness: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """The largest chroma sRGB can show at this lightness and hue, by bisection."""
    low = np.zeros_like(lightness)
    high = np.full_like(lightness, 0.4)
    for _ in range(14):  # 0.4 / 2**14 is far below what 8 bits resolve
        middle = (low + high) / 2
        rgb = _linear_rgb(lightness, middle, hue)
        inside = ((rgb >= 0) & (rgb <= 1)).all(-1)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


def srgb(lightness: np.ndarray, saturation: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] of a lightness, a saturation (a share of the chroma there is room for) and a hue in degrees.

    Saturation is a share, not a chroma: clipped chroma would make different saturations look the same.
    """
    chroma = saturation * np.minimum(_gamut_chroma(lightness, hue), MAX_CHROMA)
    linear = np.clip(_linear_rgb(lightness, chroma, hue), 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
