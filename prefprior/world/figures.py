"""Measures how good the world's miniature CLIP and decoder are, on renders neither has seen.

Shapes: N pictures, D dim of the embedding, P columns of what is probed for.
"""

from collections.abc import Sequence

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from prefprior.world import clip
from prefprior.world.captions import TABLE, caption
from prefprior.world.factors import CATEGORICAL, CONTINUOUS, Factors, draw_factors
from prefprior.world.pictures import render
from prefprior.world.tokenizer import WorldTokenizer

UNSEEN_SEED = 990_000  # far from every training seed


def unseen(n: int, seed: int = UNSEEN_SEED) -> tuple[Factors, np.ndarray]:
    """Factors and pictures no training saw."""
    factors = draw_factors(n, torch.Generator().manual_seed(seed))
    return factors, render(factors, np.arange(n) + (seed << 32))


def ridge(x_ND: np.ndarray, y_NP: np.ndarray, penalty: float = 1e-3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A linear probe: mean of x, coefficients (D, P) and mean of y; the penalty is a share of x's variance."""
    x_mean, y_mean = x_ND.mean(0), y_NP.mean(0)
    centred = x_ND - x_mean
    gram = centred.T @ centred
    gram += penalty * np.trace(gram) / len(gram) * np.eye(len(gram))
    return x_mean, np.linalg.solve(gram, centred.T @ (y_NP - y_mean)), y_mean


def probe_r2(factors: Factors, embedding_ND: np.ndarray, train: int) -> dict[str, float]:
    """R2 on the pictures after the first `train` of a linear probe for each continuous factor; hue as cos and sin."""
    scores = {}
    for name in CONTINUOUS:
        value = factors[name][:, None]
        if name == "hue":
            value = np.concatenate([np.cos(np.deg2rad(value)), np.sin(np.deg2rad(value))], axis=1)
        x_mean, coefficients, y_mean = ridge(embedding_ND[:train], value[:train])
        predicted = (embedding_ND[train:] - x_mean) @ coefficients + y_mean
        residual = ((value[train:] - predicted) ** 2).sum()
        scores[name] = float(1 - residual / ((value[train:] - value[train:].mean(0)) ** 2).sum())
    return scores


def zero_shot(
    model: open_clip.CLIP, tokenizer: WorldTokenizer, factors: Factors, unit_ND: Tensor
) -> dict[str, float]:
    """Share of pictures whose word of each categorical factor is found from text alone, one phrase a word."""
    scores = {}
    for name in CATEGORICAL:
        prompts = F.normalize(clip.embed_texts(model, tokenizer, TABLE[name]), dim=-1)
        found = (unit_ND @ prompts.T).argmax(1).numpy()
        scores[name] = float((found == factors[name]).mean())
    return scores


def first_of(query_ND: Tensor, catalogue_ND: Tensor) -> float:
    """Share of queries whose own row of the catalogue is the nearest by cosine."""
    similarity = F.normalize(query_ND, dim=-1) @ F.normalize(catalogue_ND, dim=-1).T
    return float((similarity.argmax(1) == torch.arange(len(query_ND))).float().mean())


def clip_figures(model: open_clip.CLIP, tokenizer: WorldTokenizer, n: int = 8000, test: int = 2000) -> dict[str, float]:
    """Figures of the miniature CLIP, flat, by name; `test` of the n pictures are held out of the probe."""
    factors, pictures = unseen(n)
    unit_ND = F.normalize(clip.embed_pictures(model, pictures), dim=-1)
    held_out = factors.take(slice(n - test, n))
    r2 = probe_r2(factors, unit_ND.double().numpy(), n - test)
    words = zero_shot(model, tokenizer, held_out, unit_ND[n - test :])
    few = min(1000, test)
    texts = clip.embed_texts(model, tokenizer, [caption(held_out, i) for i in range(few)])
    return {
        "clip/probe_r2/mean": float(np.mean(list(r2.values()))),
        "clip/probe_r2/lowest": min(r2.values()),
        **{f"clip/probe_r2/{name}": score for name, score in r2.items()},
        "clip/zero_shot/mean": float(np.mean(list(words.values()))),
        "clip/zero_shot/lowest": min(words.values()),
        **{f"clip/zero_shot/{name}": score for name, score in words.items()},
        f"clip/caption_to_picture/first_of_{few}": first_of(texts, unit_ND[n - test : n - test + few]),
    }


def table(figures: dict[str, float], floors: Sequence[tuple[str, float]] = ()) -> str:
    """The figures as aligned lines; those with a floor say whether they reach it."""
    lines = []
    for name, value in figures.items():
        floor = dict(floors).get(name)
        note = "" if floor is None else f"   (at least {floor:g}: {'yes' if value >= floor else 'NO'})"
        lines.append(f"{name:44s} {value:8.3f}{note}")
    return "\n".join(lines)
