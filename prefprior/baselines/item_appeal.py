"""The general appeal of items: a mean rating or a number of ratings, shrunk towards a prediction from the embedding.

Empirical Bayes: a ridge regression on embeddings gives the prior of an item, and its training ratings update it. Items
without ratings keep the prior. The more ratings an item has, and the less embeddings explain, the more its ratings
count.

Shapes: N catalogue, M rated items, D dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammaln
from torch import Tensor

from prefprior.baselines.cosine import ROWS
from prefprior.predictor import Catalogue, TrainingPart

# Candidate shapes of the gamma prior: from uninformative embeddings to embeddings that explain everything.
SHAPES = np.logspace(-1, 2, 13)
# The least predicted count: with one near 0, an item's own ratings could not raise its estimate.
LEAST_COUNT = 0.1


@dataclass(frozen=True, eq=False)
class ItemRatings:
    """Mean and number of ratings of the rated items, and which of both is estimated."""

    row_M: np.ndarray  # catalogue rows of the items that were rated
    count_M: np.ndarray
    mean_M: np.ndarray  # of signed ratings
    noise: float  # variance of single ratings around their item's mean; 0 if all are likes
    counted: bool  # estimates the number of ratings instead of their mean

    @classmethod
    def of(cls, training: TrainingPart, *, counted: bool) -> "ItemRatings":
        """Sums up the training part."""
        table, size = training.ratings, len(training.catalogue)
        count = np.bincount(table.item_N, minlength=size).astype(np.float64)
        rating_N = table.scale.signed(table.rating_N).astype(np.float64)
        # Items without ratings may never have been shown, so their count of 0 is not evidence.
        rows = np.flatnonzero(count)
        mean = np.bincount(table.item_N, weights=rating_N, minlength=size)[rows] / count[rows]
        squares = np.bincount(table.item_N, weights=rating_N**2, minlength=size)[rows] - count[rows] * mean**2
        noise = max(float(squares.sum()), 0.0) / max(len(table) - len(rows), 1)
        return cls(rows, count[rows], mean, noise, counted)

    @property
    def target_M(self) -> np.ndarray:
        """The regression target: mean ratings or log counts (counts vary by orders of magnitude)."""
        return np.log(self.count_M) if self.counted else self.mean_M

    @property
    def weight_M(self) -> np.ndarray:
        """The weights of the regression: a mean of many ratings has a smaller variance."""
        return np.ones(len(self.row_M)) if self.counted else self.count_M

    def shrunk(self, guess_M: np.ndarray, held_M: np.ndarray) -> np.ndarray:
        """(M,) posterior means. The error of guesses is estimated on `held_M`, items that they were not fit on."""
        if self.counted:
            return self._counts(guess_M, held_M)
        error_M = held_M * (self.mean_M - guess_M) ** 2 * self.count_M
        # The squared error of a mean of c ratings is variance + noise / c. Weighted by c and summed, this is an
        # equation for the variance.
        variance = (error_M.sum() - held_M.sum() * self.noise) / max((held_M * self.count_M).sum(), 1.0)
        trust_M = self.count_M * max(variance, 0.0)
        return guess_M + trust_M / (trust_M + max(self.noise, 1e-9)) * (self.mean_M - guess_M)

    def _counts(self, guess_M: np.ndarray, held_M: np.ndarray) -> np.ndarray:
        """Log posterior means of Poisson rates with a gamma prior whose mean is the guess."""
        rate_M, count_M = np.maximum(np.exp(guess_M), LEAST_COUNT), self.count_M
        rate_M = rate_M * count_M.sum() / rate_M.sum()  # exp of a mean logarithm is below the mean
        shape = max(SHAPES, key=lambda a: (held_M * _negative_binomial(count_M, rate_M, a)).sum())
        return np.log((shape + count_M) / (shape / rate_M + 1))


class ItemAppeal:
    """The estimated mean rating, or log number of ratings, of each item of any catalogue."""

    def __init__(
        self, catalogue: Catalogue, rated: ItemRatings, strengths: Sequence[float], generator: torch.Generator
    ) -> None:
        """Weighted ridge over rated items, with the best of `strengths` on a held-out tenth of them."""
        features = catalogue.space.to_model(catalogue.embeddings_ND[torch.from_numpy(rated.row_M)].float()).double()
        y, w = torch.from_numpy(rated.target_M), torch.from_numpy(rated.weight_M)
        self._range = (float(y.min()), float(y.max()))
        held = torch.rand(len(y), generator=generator) < 0.1
        guess_M, known = torch.full_like(y, float((w * y).sum() / w.sum())), torch.ones_like(held)
        strength = strengths[0]
        if held.any() and (~held).any():
            fits = _ridge(features[~held], y[~held], w[~held], strengths)
            guesses = [(features @ a + b).clamp(*self._range) for a, b in fits]
            errors = [float((w * (guess - y) ** 2)[held].sum()) for guess in guesses]
            strength = strengths[int(np.argmin(errors))]
            guess_M, known = guesses[int(np.argmin(errors))], held
        ((weights_D, offset),) = _ridge(features, y, w, (strength,))
        self._weights_D, self._offset = weights_D.float(), offset
        shrunk_M = rated.shrunk(guess_M.numpy(), known.numpy())
        self._known = {catalogue.ids[row]: float(value) for row, value in zip(rated.row_M, shrunk_M, strict=True)}
        self._last: tuple[Catalogue, Tensor] | None = None

    def of(self, catalogue: Catalogue) -> Tensor:
        """(N,) the estimate for each item; cached."""
        if self._last is None or self._last[0] is not catalogue:
            found_N = torch.cat([self._guess(catalogue, start) for start in range(0, len(catalogue), ROWS)])
            for row, item in enumerate(catalogue.ids):
                if item in self._known:
                    found_N[row] = self._known[item]
            self._last = (catalogue, found_N)
        return self._last[1]

    def _guess(self, catalogue: Catalogue, start: int) -> Tensor:
        """Predictions from embeddings, clamped to the range of the training targets."""
        features = catalogue.space.to_model(catalogue.embeddings_ND[start : start + ROWS].float())
        return (features @ self._weights_D + self._offset).clamp(*self._range)


def _negative_binomial(count_M: np.ndarray, rate_M: np.ndarray, shape: float) -> np.ndarray:
    """(M,) log-likelihood of Poisson counts with gamma rates of this shape, up to terms independent of the shape."""
    share_M = rate_M / (rate_M + shape)
    return gammaln(count_M + shape) - gammaln(shape) + shape * np.log1p(-share_M) + count_M * np.log(share_M)


def _ridge(
    features_MD: Tensor, target_M: Tensor, weight_M: Tensor, strengths: Sequence[float]
) -> list[tuple[Tensor, float]]:
    """Weights and offset for every strength, from one decomposition."""
    weight_M = weight_M / weight_M.mean()
    center_D = (weight_M[:, None] * features_MD).mean(0)
    level = float((weight_M * target_M).mean())
    x, y = features_MD - center_D, target_M - level
    values, vectors = torch.linalg.eigh(x.T @ (weight_M[:, None] * x))
    moment = vectors.T @ (x.T @ (weight_M * y))
    fits = []
    for strength in strengths:
        weights_D = vectors @ (moment / (values.clamp_min(0) + strength * x.shape[1]))
        fits.append((weights_D, level - float(center_D @ weights_D)))
    return fits
