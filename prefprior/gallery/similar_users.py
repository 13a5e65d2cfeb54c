"""Who is like whom, by what was made for them: everyone's nearest others, and an order in which neighbours are alike.

Shapes: P users, D dimension, R reduced.
"""

import numpy as np

REDUCED = 32  # directions that tell users apart; more only carry noise, and an order needs P x P of them
CHUNK = 1024


def reduced(taste_PD: np.ndarray) -> np.ndarray:
    """Unit vectors in the few directions in which users differ most."""
    centred = taste_PD.astype(np.float64) - taste_PD.mean(0)
    if len(centred) > 1 and centred.shape[1] > REDUCED:
        _, vectors = np.linalg.eigh(centred.T @ centred)
        centred = centred @ vectors[:, -REDUCED:]
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return (centred / np.maximum(length, 1e-12)).astype(np.float32)


def most_alike(unit_PR: np.ndarray, count: int = 4) -> list[list[int]]:
    """Each user's nearest neighbours, nearest first."""
    people = len(unit_PR)
    count = min(count, people - 1)
    found: list[list[int]] = []
    for start in range(0, people, CHUNK):
        cosine = unit_PR[start : start + CHUNK] @ unit_PR.T
        cosine[np.arange(len(cosine)), np.arange(start, start + len(cosine))] = -np.inf
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
        found += order.tolist()
    return found


def side_by_side(unit_PR: np.ndarray) -> list[int]:
    """An order of all users in which neighbours are similar: a greedy nearest-neighbour tour."""
    people = len(unit_PR)
    if people == 0:
        return []
    left = np.ones(people, dtype=bool)
    here = int(np.argmin(unit_PR @ unit_PR.mean(0)))  # someone at the rim: a walk from the middle would end in gaps
    order = [here]
    left[here] = False
    for _ in range(people - 1):
        cosine = unit_PR @ unit_PR[here]
        cosine[~left] = -np.inf
        here = int(cosine.argmax())
        left[here] = False
        order.append(here)
    return order
