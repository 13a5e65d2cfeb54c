"""Renders the world's pictures: a few flat shapes on a coloured ground, in the manner of a two-ink poster.

A picture is a function of its factors and its seed alone: the batch it is drawn in changes nothing. Seeds decide what
the factors leave open (jitter, rotation, where scattered shapes lie).

Shapes: N pictures, S shapes a picture, Y X rows and columns, C colour channels.
"""

import numpy as np
import torch
from torch import Tensor

from prefprior.world.render.factors import CATEGORICAL, CONTINUOUS, NAMES, Factors, concatenate, draw_factors
from prefprior.world.render.palette import srgb

__all__ = ["CATEGORICAL", "CONTINUOUS", "NAMES", "SIDE", "Factors", "concatenate", "draw_factors", "render"]

SIDE = 64
MOST_SHAPES = 6
# Pictures drawn at once: planes of 32 x 64 x 64 floats stay in cache, which is worth a factor of two.
CHUNK = 32
BORDER = 4.0  # pixels


def render(factors: Factors, seeds: np.ndarray) -> np.ndarray:
    """Draw one 64 x 64 picture for each set of factors and seed: uint8, (N, 64, 64, 3)."""
    seeds = np.asarray(seeds, dtype=np.int64)
    if seeds.shape != (len(factors),):
        raise ValueError(f"pictures need one seed each: {len(factors)} sets of factors, seeds of shape {seeds.shape}")
    picture_NYXC = np.empty((len(factors), SIDE, SIDE, 3), dtype=np.uint8)
    # Grouping by shape family lets each group evaluate one distance function; the order is put back on writing.
    for family in range(len(CATEGORICAL["shape"])):
        members = np.flatnonzero(factors["shape"] == family)
        for start in range(0, len(members), CHUNK):
            chosen = members[start : start + CHUNK]
            picture_NYXC[chosen] = _render_family(factors.take(chosen), seeds[chosen], family).numpy()
    return picture_NYXC


def _render_family(factors: Factors, seeds: np.ndarray, family: int) -> Tensor:
    """Draw pictures that share a shape family."""
    axis = torch.arange(SIDE, dtype=torch.float32) + 0.5
    y_YX, x_YX = torch.meshgrid(axis, axis, indexing="ij")
    ground_N3C, second_N3C, ink_NSC = _colours(factors)

    # Ground: its own colours from left to right, and its second tone where the background style puts it.
    style_NYX = _background(factors["background"], factors["softness"], x_YX, y_YX)
    canvas_NCYX = _mix(_across(ground_N3C, x_YX), _across(second_N3C, x_YX), style_NYX[:, None])

    # Shapes, later ones over earlier ones.
    centre_NS2, angle_N = _layout(factors, seeds)
    radius_N = 4.6 + 3.6 * factors["size"]
    width_N = 0.8 + 1.1 * factors["softness"] * radius_N  # 0.8 px is plain antialiasing
    cos_N11, sin_N11 = _column(np.cos(angle_N)), _column(np.sin(angle_N))
    number_N = factors["number"] + 3
    for s in range(MOST_SHAPES):
        dx = x_YX - _column(centre_NS2[:, s, 0])
        dy = y_YX - _column(centre_NS2[:, s, 1])
        along, across = cos_N11 * dx + sin_N11 * dy, cos_N11 * dy - sin_N11 * dx
        distance_NYX = _DISTANCES[family](along, across, _column(radius_N))
        cover_NYX = _smoothstep(0.5 - distance_NYX / _column(width_N)) * _column(s < number_N)
        canvas_NCYX = _mix(canvas_NCYX, _plane(ink_NSC[:, s]), cover_NYX[:, None])

    # The whole sheet: texture, corners, border.
    canvas_NCYX = canvas_NCYX * (1.0 + 0.12 * _texture(factors["texture"], x_YX, y_YX))[:, None]
    corner_YX = ((x_YX - 32) ** 2 + (y_YX - 32) ** 2) / (2 * 32.0**2)
    canvas_NCYX = canvas_NCYX * (1.0 - 0.75 * _column(factors["vignette"]) * corner_YX**1.25)[:, None]
    edge_YX = torch.minimum(torch.minimum(x_YX, SIDE - x_YX), torch.minimum(y_YX, SIDE - y_YX))
    inside_YX = (edge_YX > BORDER).float()
    framed_NYX = (1.0 - inside_YX) * _column(factors["border"] != 0)
    paper = np.where((factors["border"] == 1)[:, None], [0.97, 0.95, 0.91], [0.09, 0.08, 0.11])
    canvas_NCYX = _mix(canvas_NCYX, _plane(paper), framed_NYX[:, None])
    return (canvas_NCYX.clamp(0, 1) * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1)


def _colours(factors: Factors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours of the ground and of its second tone, left, middle and right (N, 3, C); of the shapes (N, S, C)."""
    # The darkest colour is 0.23 and the lightest 0.91: beyond them no hue can be told.
    middle = 0.44 + 0.26 * factors["lightness"]
    half = 0.11 + 0.10 * factors["contrast"]
    towards_ink = np.where(factors["tone"] == CATEGORICAL["tone"].index("light"), 1.0, -1.0)
    # Never quite grey: the hue stays a fact of the picture.
    saturation = 0.25 + 0.75 * factors["saturation"]
    hue, spread = factors["hue"], factors["spread"]

    def ground(lightness: np.ndarray, turn: np.ndarray) -> np.ndarray:
        # The ground's hue drifts across the sheet, as far as hues are spread.
        return np.stack([srgb(lightness, saturation, hue + turn + side * 75.0 * spread) for side in (-1, 0, 1)], axis=1)

    offset = 25.0 + 105.0 * spread
    ground_N3C = ground(middle - towards_ink * half, 0.0 * offset)
    second_N3C = ground(middle - towards_ink * (half - 0.09), 0.2 * offset)
    # One ink stands on one side of the ground's hue; a second one on the other side, a little nearer in lightness.
    first_NC = srgb(middle + towards_ink * half, saturation, hue + offset)
    other_NC = srgb(middle + towards_ink * (half - 0.07), saturation, hue - offset)
    alternate_NS1 = ((factors["inks"] == 1)[:, None] & (np.arange(MOST_SHAPES) % 2 == 1))[:, :, None]
    return ground_N3C, second_N3C, np.where(alternate_NS1, other_NC[:, None], first_NC[:, None])


def _across(colour_N3C: np.ndarray, x_YX: Tensor) -> Tensor:
    """A plane (N, C, Y, X) that goes from the left colour by the middle one to the right one."""
    side_YX = (x_YX - SIDE / 2) / (SIDE / 2)
    left, centre, right = (_plane(colour_N3C[:, i]) for i in range(3))
    return centre + (left - centre) * (-side_YX).clamp(min=0) + (right - centre) * side_YX.clamp(min=0)


def _background(style_N: np.ndarray, softness_N: np.ndarray, x_YX: Tensor, y_YX: Tensor) -> Tensor:
    """Share of the ground's second tone at each pixel, by background style; its edges are as soft as the shapes'."""
    soft_N11 = _column(softness_N)
    styles = [
        torch.zeros_like(x_YX),  # plain
        1.6 * _smoothstep(y_YX / SIDE),  # gradient; past 1 so that it does not read as a faint plain ground
        _smoothstep(0.5 + (2.2 - 1.7 * soft_N11) * torch.sin(2 * np.pi * y_YX / 21.33)),  # bands, three of them
        _smoothstep(0.5 + (21.0 - torch.hypot(x_YX - 32, y_YX - 32)) / (1.2 + 14 * soft_N11)),  # halo
        _smoothstep(0.5 + (x_YX + y_YX - SIDE) / (2.4 + 28 * soft_N11)),  # split, along the diagonal
    ]
    share_NYX = torch.zeros(len(style_N), SIDE, SIDE)
    for index, style in enumerate(styles):
        chosen = torch.from_numpy(style_N == index)
        share_NYX[chosen] = style.expand(len(style_N), SIDE, SIDE)[chosen]
    return share_NYX


def _texture(texture_N: np.ndarray, x_YX: Tensor, y_YX: Tensor) -> Tensor:
    """Relief in [-1, 1] of the paper at each pixel. Coarse, so that a latent of 16 x 16 can hold it."""
    wave = 2 * np.pi / 8
    textures = [
        torch.zeros_like(x_YX),  # smooth
        torch.sin(wave * x_YX),  # lined
        2.0 * _smoothstep(0.5 + 1.2 * (torch.cos(wave * x_YX) + torch.cos(wave * y_YX) - 0.5)) - 0.6,  # dotted
        (torch.sin(wave / 2 * x_YX) * torch.sin(wave / 2 * y_YX) * 4).clamp(-1, 1),  # checked
    ]
    return torch.stack(textures)[torch.from_numpy(texture_N)]


def _layout(factors: Factors, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the shapes (N, S, 2) in pixels and the rotation (N,) all shapes of a picture share."""
    chance = _uniform(seeds, 4 + 4 * MOST_SHAPES)
    jitter_NS2 = (chance[:, 4 : 4 + 2 * MOST_SHAPES].reshape(-1, MOST_SHAPES, 2) - 0.5) * 3.0
    wander_NS2 = chance[:, 4 + 2 * MOST_SHAPES :].reshape(-1, MOST_SHAPES, 2) - 0.5
    number_N1 = (factors["number"] + 3)[:, None].astype(np.float64)
    s_1S = np.arange(MOST_SHAPES)[None].astype(np.float64)
    along_NS = np.minimum(s_1S / (number_N1 - 1), 1.0) * 2 - 1  # -1 first shape, 1 last shape
    # Many shapes in a line step aside in turn, or they would cover each other.
    aside_NS = (1 - 2 * (s_1S % 2)) * (number_N1 - 3) * 1.9
    turn_NS = 2 * np.pi * (s_1S / number_N1 + chance[:, :1])
    # Scattered shapes: cells of a 3 x 2 (or 2 x 3) board, taken in a random order, each with room to wander.
    cell_NS = np.argsort(np.argsort(chance[:, 4 : 4 + MOST_SHAPES], axis=1), axis=1)
    board = np.stack([(cell_NS % 3 - 1) * 18.0, (cell_NS // 3 - 0.5) * 27.0], -1)
    board = np.where((chance[:, 1] < 0.5)[:, None, None], board, board[..., ::-1]) + 11.0 * wander_NS2
    options = np.stack(
        [
            np.stack([22.5 * along_NS, aside_NS], -1) + jitter_NS2,  # row
            np.stack([aside_NS, 22.5 * along_NS], -1) + jitter_NS2,  # column
            np.stack([20.0 * along_NS + 0.5 * aside_NS, 20.0 * along_NS - 0.5 * aside_NS], -1) + jitter_NS2,  # diagonal
            17.5 * np.stack([np.cos(turn_NS), np.sin(turn_NS)], -1) + 0.5 * jitter_NS2,  # circle
            board,  # scatter
        ]
    )
    centre_NS2 = 32.0 + options[factors["arrangement"], np.arange(len(factors))]
    return centre_NS2, (chance[:, 2] - 0.5) * np.deg2rad(24.0)


def _uniform(seeds: np.ndarray, n: int) -> np.ndarray:
    """n numbers in [0, 1) for each seed, by the SplitMix64 hash: no state, so no picture depends on its neighbours."""
    with np.errstate(over="ignore"):
        state = seeds.astype(np.uint64)[:, None] * np.uint64(0xD1342543DE82EF95)
        state = state + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) / 2.0**53


# Signed distances, negative inside, to shapes of about the same visual weight at radius r.
def _circle(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return torch.sqrt(x * x + y * y) - r


def _square(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.9 * r


def _triangle(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return torch.maximum(0.866 * x.abs() - 0.5 * y, y) - 0.62 * r


def _star(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    # Four concave points: the astroid-like unit ball of a p-norm with p < 1.
    p = 0.55
    return ((x.abs() + 1e-3).pow(p) + (y.abs() + 1e-3).pow(p)).pow(1 / p) * 0.62 - 0.95 * r


def _ring(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return (torch.sqrt(x * x + y * y) - 0.78 * r).abs() - 0.27 * r


def _cross(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.minimum(torch.maximum(x - 0.36 * r, y - 1.1 * r), torch.maximum(y - 0.36 * r, x - 1.1 * r))


def _moon(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    whole = torch.sqrt(x * x + y * y) - 1.1 * r
    return torch.maximum(whole, 0.85 * r - torch.sqrt((x - 0.6 * r) ** 2 + (y + 0.25 * r) ** 2))


def _leaf(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    u, v = 0.7071 * (x + y), 0.7071 * (y - x)  # leaves point to the corners
    return torch.sqrt((u.abs() + 0.95 * r) ** 2 + v * v) - 1.55 * r


_DISTANCES = (_circle, _square, _triangle, _star, _ring, _cross, _moon, _leaf)
assert len(_DISTANCES) == len(CATEGORICAL["shape"])


def _smoothstep(t: Tensor) -> Tensor:
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def _mix(below: Tensor, above: Tensor, share: Tensor) -> Tensor:
    return below + (above - below) * share


def _column(value_N: np.ndarray) -> Tensor:
    """(N,) to (N, 1, 1), to be spread over pixels."""
    return torch.from_numpy(value_N.astype(np.float32))[:, None, None]


def _plane(colour_NC: np.ndarray) -> Tensor:
    """(N, C) to (N, C, 1, 1), to be spread over pixels."""
    return torch.from_numpy(colour_NC.astype(np.float32))[:, :, None, None]
