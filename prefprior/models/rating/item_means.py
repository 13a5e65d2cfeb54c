"""Mean ratings of items: a prior mean from the embedding, updated by the item's own ratings.

An empirical Bayes model of the mean rating m of an item with n ratings and the features x:
    m ~ N(level + x a, own + noise / n),    a ~ N(0, shared I).
The variances maximise the marginal likelihood. An item without ratings keeps its prior mean.

Shapes: N ratings, I items of the catalogue, P known items, S a sample of P, D dimension; `...` any leading shape.
"""

import numpy as np
import torch
from torch import Tensor, nn

from prefprior.models.known_items import KnownItems
from prefprior.models.scale import Standardize

ROWS_AT_ONCE = 65_536
ITEMS_FOR_VARIANCES = 20_000  # enough for a handful of numbers
SHARES = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0)  # candidates of `own`, relative to the variance of item means
RATIOS = np.logspace(-3, 1, 17)  # candidates of `shared`, relative to the same variance
ROUNDS = 3  # of alternating between users' offsets and items' means


class RatedItems(KnownItems):
    """Rated items, each with the sum and the number of its ratings."""

    sum_P: Tensor
    count_P: Tensor

    def __init__(self) -> None:
        super().__init__(sum_P=(), count_P=())


class ItemMeans(nn.Module):
    """Posterior mean and variance of items' mean ratings, looked up by embedding."""

    weights_D: Tensor
    level: Tensor
    own: Tensor
    noise: Tensor

    def __init__(self, scale: Standardize) -> None:
        super().__init__()
        self.scale = scale
        self.known = RatedItems()
        self.register_buffer("weights_D", torch.zeros(scale.space.dim))
        for name, value in {"level": 0.0, "own": 0.0, "noise": 1.0}.items():
            self.register_buffer(name, torch.tensor(value))

    def features(self, raw: Tensor) -> Tensor:
        """(..., D) unit vectors in model scale; the similarity of two items is their cosine."""
        return self.scale.directions(raw)

    def learn(self, embeddings_ID: Tensor, item_N: np.ndarray, user_N: np.ndarray, rating_N: np.ndarray) -> None:
        """Fits the model to ratings that are comparable between users."""
        count_I = np.bincount(item_N, minlength=len(embeddings_ID))
        place_I, row_P = self.known.learn(embeddings_ID, torch.from_numpy(count_I > 0))
        place_N = place_I.numpy()[item_N]
        self.known.count_P = torch.from_numpy(np.bincount(place_N, minlength=len(row_P))).float()
        mean_N = np.zeros(len(rating_N))
        for _ in range(ROUNDS):
            value_N = rating_N - _offsets(user_N, rating_N - mean_N)[user_N]
            mean_P = self._fit(embeddings_ID, row_P, place_N, value_N)
            mean_N = mean_P.double().numpy()[place_N]

    def forward(self, raw: Tensor, x: Tensor, without: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Items (..., D) and their features -> mean and variance (...). `without` is one rating per item to leave out:
        the one of the user whose ratings are predicted."""
        total, count = self.known.values(raw)
        if without is not None:
            there = count > 0
            count, total = count - there.float(), total - torch.where(there, without, 0)
        return self._posterior(x @ self.weights_D + self.level, total, count)

    def _posterior(self, prior: Tensor, total: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance, from the prior mean and an item's own ratings."""
        trust = self.own * count / (self.own * count + self.noise)
        return prior + trust * (total / count.clamp(min=1) - prior), self.own * (1 - trust)

    def _fit(self, embeddings_ID: Tensor, row_P: Tensor, place_N: np.ndarray, value_N: np.ndarray) -> Tensor:
        """Fits variances and weights; returns the posterior means (P,)."""
        sum_P = torch.from_numpy(np.bincount(place_N, weights=value_N, minlength=len(row_P)))
        self.known.sum_P, count_P = sum_P.float(), self.known.count_P.double()
        mean_P = sum_P / count_P
        within = float(np.square(value_N - mean_P.numpy()[place_N]).sum()) / max(len(value_N) - len(row_P), 1)
        noise = within if within > 0 else max(float(value_N.var()), 1e-6)
        level = float(value_N.mean())
        some_S = torch.randperm(len(row_P), generator=torch.Generator().manual_seed(0))[:ITEMS_FOR_VARIANCES]
        x_SD = self.features(embeddings_ID[row_P[some_S]]).double()
        own, shared = _best_variances(x_SD, mean_P[some_S] - level, noise / count_P[some_S])
        outer_DD = torch.eye(len(self.weights_D), dtype=torch.float64) / shared
        moment_D = torch.zeros(len(self.weights_D), dtype=torch.float64)
        for part_S in torch.arange(len(row_P)).split(ROWS_AT_ONCE):
            x_SD = self.features(embeddings_ID[row_P[part_S]]).double()
            weighted_SD = x_SD / (own + noise / count_P[part_S])[:, None]
            outer_DD += weighted_SD.T @ x_SD
            moment_D += weighted_SD.T @ (mean_P[part_S] - level)
        self.weights_D = torch.linalg.solve(outer_DD, moment_D).float()
        self.level, self.own, self.noise = (torch.tensor(value).float() for value in (level, own, noise))
        parts = [self.features(embeddings_ID[rows_S]) @ self.weights_D for rows_S in row_P.split(ROWS_AT_ONCE)]
        return self._posterior(torch.cat(parts) + self.level, self.known.sum_P, self.known.count_P)[0]


def _offsets(user_N: np.ndarray, residual_N: np.ndarray) -> np.ndarray:
    """(U,) each user's mean deviation from the items' means, shrunk according to its sampling variance."""
    count_U = np.bincount(user_N)
    mean_U = np.bincount(user_N, weights=residual_N) / np.maximum(count_U, 1)
    noise = np.square(residual_N - mean_U[user_N]).sum() / max(len(user_N) - (count_U > 0).sum(), 1)
    rated = count_U > 0
    variance = max(float(np.mean(mean_U[rated] ** 2 - noise / count_U[rated])), 0.0)
    return mean_U * variance * count_U / np.maximum(variance * count_U + noise, 1e-12)


def _best_variances(x_SD: Tensor, mean_S: Tensor, error_S: Tensor) -> tuple[float, float]:
    """The variances `own` and `shared` that maximise the marginal likelihood; `error_S` is the sampling variance of
    each mean."""
    total = max(float((mean_S.square() - error_S).mean()), 1e-3 * float(mean_S.square().mean()), 1e-9)
    best = (-np.inf, total, total)
    ratios = torch.from_numpy(RATIOS)[:, None] * total
    for own in (share * total for share in SHARES):
        variance_S = own + error_S
        values_D, directions_DD = torch.linalg.eigh(x_SD.T @ (x_SD / variance_S[:, None]))
        moment_D = directions_DD.T @ (x_SD.T @ (mean_S / variance_S))
        grown_RD = 1 + ratios * values_D.clamp(min=0)
        fit_R = (ratios * moment_D.square() / grown_RD).sum(1) - grown_RD.log().sum(1)
        likelihood_R = fit_R - (mean_S.square() / variance_S + variance_S.log()).sum()
        found = int(likelihood_R.argmax())
        best = max(best, (float(likelihood_R[found]), own, float(ratios[found, 0])))
    return best[1], best[2]
