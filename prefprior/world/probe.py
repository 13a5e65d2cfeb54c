"""Reads the factors of a picture off its embedding, by linear probes fit on the world's catalogue.

Shapes: N pictures, D dimension, P columns of what is probed for, F factors.
"""

import numpy as np
from torch import Tensor

from prefprior.world.people.tastes import unit
from prefprior.world.render.factors import CATEGORICAL, CONTINUOUS, NAMES, Factors

MOVED = 0.5  # standard deviations of the catalogue: a factor that moves less is kept


def ridge(x_ND: np.ndarray, y_NP: np.ndarray, penalty: float = 1e-3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A linear probe: mean of x, coefficients (D, P) and mean of y; the penalty is a share of x's variance."""
    x_mean, y_mean = x_ND.mean(0), y_NP.mean(0)
    centred = x_ND - x_mean
    gram = centred.T @ centred
    gram += penalty * np.trace(gram) / len(gram) * np.eye(len(gram))
    return x_mean, np.linalg.solve(gram, centred.T @ (y_NP - y_mean)), y_mean


class FactorProbe:
    """All sixteen factors: continuous ones as numbers, the hue as an angle, categorical ones word by word.

    What it reads is in standard deviations of the catalogue.
    """

    def __init__(self, factors: Factors, embeddings_ND: np.ndarray) -> None:
        columns = factor_columns(factors)
        self.names = list(columns)
        value_NP = np.stack(list(columns.values()), axis=1)
        self._std_P = value_NP.std(0)
        self._mean_D, coefficients_DP, _ = ridge(unit(embeddings_ND), value_NP)
        self._coefficients_DP = coefficients_DP / self._std_P

    def read(self, raw_ND: Tensor | np.ndarray) -> np.ndarray:
        """(N, P) what each embedding shows of every column."""
        raw_ND = raw_ND.detach().cpu().numpy() if isinstance(raw_ND, Tensor) else raw_ND
        return (unit(raw_ND) - self._mean_D) @ self._coefficients_DP

    def shifts(self, before_ND: Tensor | np.ndarray, after_ND: Tensor | np.ndarray) -> np.ndarray:
        """(N, F) how far each factor moved, whatever the direction: the most that any of its columns did."""
        moved_NP = np.abs(self.read(after_ND) - self.read(before_ND))
        owner = np.array([name.split(":")[0] for name in self.names])
        return np.stack([moved_NP[..., owner == name].max(-1) for name in NAMES], axis=-1)

    def kept(self, before_ND: Tensor | np.ndarray, after_ND: Tensor | np.ndarray) -> np.ndarray:
        """(N,) the share of the factors that did not move."""
        return np.asarray((self.shifts(before_ND, after_ND) < MOVED).mean(-1))


def factor_columns(factors: Factors) -> dict[str, np.ndarray]:
    """What a probe is fit to, by names such as `lightness`, `hue:cos` and `shape:circles`."""
    columns: dict[str, np.ndarray] = {}
    for name in NAMES:
        if name == "hue":
            angle_N = np.deg2rad(factors[name])
            columns |= {"hue:cos": np.cos(angle_N), "hue:sin": np.sin(angle_N)}
        elif name in CONTINUOUS:
            columns[name] = factors[name]
        else:
            for place, word in enumerate(CATEGORICAL[name]):
                columns[f"{name}:{word}"] = (factors[name] == place).astype(np.float64)
    return columns
