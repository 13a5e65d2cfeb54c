"""What simulated users like: a few regions of the miniature CLIP's space each, and the exact utility of any embedding.

Everybody perceives pictures alike: by *views*, the directions of the space in which the *schools* (kinds of picture
that words can describe) differ most, and by a quality along one more direction. A user's taste has one to four
*modes*, unit vectors in the views, each near a school but a little the user's own.

    pull_k(x)   = (cos(view(x), mode_k) - threshold_k) / width + quality_share * quality(x)
    utility(x)  = max_k weight_k(step) * sigmoid(pull_k(x))

`threshold_k` is where the mode's best pictures begin, a small share of the catalogue: how many pictures please is the
same for all modes, in any space. The sigmoid saturates: past a point, more of the same is not liked more. The maximum
over modes means that what lies between two modes may please nobody. All users share `quality` in part.
`weight_k(step)` drifts slowly between 1 - 2 * drift and 1 while a user rates pictures.

Shapes: N pictures, D dimension of the space, F views, K modes of one user, S schools.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

MODE_COUNTS = (0.25, 0.35, 0.25, 0.15)  # shares of the users with one, two, three and four modes


@dataclass(frozen=True, eq=False)
class Perceived:
    """Pictures in the coordinates in which users perceive them."""

    view_NF: np.ndarray  # unit vectors
    quality_N: np.ndarray  # mean 0 and standard deviation 1 over the catalogue

    def __len__(self) -> int:
        return len(self.view_NF)

    def take(self, rows: np.ndarray) -> "Perceived":
        """Some of the pictures."""
        return Perceived(self.view_NF[rows], self.quality_N[rows])


@dataclass(frozen=True, eq=False)
class Perception:
    """How all users perceive pictures, measured once on the catalogue."""

    mean_D: np.ndarray  # of the catalogue's unit embeddings: what all pictures have in common is no difference
    axes_DF: np.ndarray  # orthonormal
    quality_D: np.ndarray
    quality_offset: float

    @classmethod
    def measure(cls, catalogue_ND: np.ndarray, schools_SD: np.ndarray, fine_D: np.ndarray, views: int) -> "Perception":
        """Views that tell the schools' centres apart, and quality along the way from the mean to `fine_D`."""
        most = min(schools_SD.shape)
        if not 1 <= views <= most:
            raise ValueError(f"views must be between 1 and {most}, the dimension that the schools span, got {views}")
        unit_ND = unit(catalogue_ND)
        mean_D = unit_ND.mean(0)
        _, _, axes_SD = np.linalg.svd(schools_SD - mean_D, full_matrices=False)
        along_N = (unit_ND - mean_D) @ unit(fine_D - mean_D)
        return cls(mean_D, axes_SD[:views].T, unit(fine_D - mean_D) / along_N.std(), float(along_N.mean()))

    def perceive(self, raw_ND: np.ndarray) -> Perceived:
        """Raw projections, of pictures or made by a predictor."""
        apart_ND = unit(raw_ND) - self.mean_D
        return Perceived(unit(apart_ND @ self.axes_DF), apart_ND @ self.quality_D)

    def place(self, centre_SD: np.ndarray) -> np.ndarray:
        """(S, F): unit vectors of the schools in the views, from the means of their unit embeddings."""
        return unit((centre_SD - self.mean_D) @ self.axes_DF)


@dataclass(frozen=True, eq=False)
class Taste:
    """One user's taste; `school_K` says in whose neighbourhood each mode lies."""

    modes_KF: np.ndarray  # unit vectors
    school_K: np.ndarray  # int
    threshold_K: np.ndarray  # the cosine to each mode at which a picture is half liked
    phase_K: np.ndarray  # where each mode's weight starts on its slow wave
    quality_share: float

    def __len__(self) -> int:
        return len(self.modes_KF)


@dataclass(frozen=True, kw_only=True)
class TasteModel:
    """How tastes are drawn, and how they turn what is perceived into utility."""

    liked_share: float = 0.015  # share of the catalogue that a mode by itself likes at least by half
    width: float = 0.06
    drift: float = 0.1
    period: float = 160.0  # ratings in one full wave of a mode's weight: slow beside a history of 16
    deviation: float = 0.3  # length of the personal deviation beside a school's unit vector
    max_mode_cosine: float = -0.2  # two modes of one user have at most this cosine, where the schools allow it
    quality_most: float = 0.6

    def draw(self, schools_SF: np.ndarray, catalogue: Perceived, rng: np.random.Generator) -> Taste:
        """A user's taste: modes far from each other, each a school with a personal deviation."""
        count = 1 + int(rng.choice(len(MODE_COUNTS), p=MODE_COUNTS))
        cosine_SS = schools_SF @ schools_SF.T
        chosen = [int(rng.integers(len(schools_SF)))]
        while len(chosen) < count:
            closest_S = cosine_SS[chosen].max(0)
            far = np.flatnonzero(closest_S <= max(self.max_mode_cosine, float(closest_S.min())))
            chosen.append(int(rng.choice(far)))
        deviation_KF = self.deviation * unit(rng.standard_normal((count, schools_SF.shape[1])))
        modes_KF = unit(schools_SF[chosen] + deviation_KF)
        return Taste(
            modes_KF=modes_KF,
            school_K=np.array(chosen),
            threshold_K=np.quantile(modes_KF @ catalogue.view_NF.T, 1 - self.liked_share, axis=1),
            phase_K=rng.uniform(0, 2 * np.pi, count),
            quality_share=float(rng.uniform(0, self.quality_most)),
        )

    def weights(self, taste: Taste, step: np.ndarray | float) -> np.ndarray:
        """(..., K): how much each mode counts after `step` ratings."""
        angle = np.asarray(step)[..., None] * (2 * np.pi / self.period) + taste.phase_K
        return 1 - self.drift * (1 - np.cos(angle))

    def utility_of_modes(self, taste: Taste, seen: Perceived, step: np.ndarray | float) -> np.ndarray:
        """(N, K): the utility of each picture were this mode the only one; `step` is one number, or one a picture."""
        cosine_NK = seen.view_NF @ taste.modes_KF.T
        pull_NK = (cosine_NK - taste.threshold_K) / self.width + taste.quality_share * seen.quality_N[:, None]
        return self.weights(taste, step) * expit(pull_NK)

    def utility(self, taste: Taste, seen: Perceived, step: np.ndarray | float) -> np.ndarray:
        """(N,): the true utility, that of the best mode."""
        return self.utility_of_modes(taste, seen, step).max(1)

    def mode_of(self, taste: Taste, seen: Perceived) -> np.ndarray:
        """(N,): the mode to which each picture is nearest."""
        return (seen.view_NF @ taste.modes_KF.T).argmax(1)


def unit(value: np.ndarray) -> np.ndarray:
    """Vectors of length 1, in float64; a zero vector stays zero."""
    value = np.asarray(value, dtype=np.float64)
    return value / np.maximum(np.linalg.norm(value, axis=-1, keepdims=True), 1e-12)
