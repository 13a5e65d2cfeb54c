"""The rating head: how a user would rate an item, from their own ratings and those of all users.

A Gaussian process over a user's ratings (Rasmussen & Williams 2006, ch. 2). Its mean function is the item's mean
rating. A user deviates from it by an offset, and by a taste that is similar for similar items:
    rating ~ item's mean + GP(0, offset + taste * cosine(item, item')) + noise.
A choice is an observation of the same process: what was picked is better than what was passed over beside it, on
average by `delta`, with a noise of its own. What was passed over is no rating.
It has no weights to train by gradient, and predicts from the first rating on.

Shapes: B users, K history, T targets, N items, D dimension.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Adam
from torch.special import log_ndtr

from prefprior.data.histories.sequences import Sequences
from prefprior.history import History, PreferenceBatch
from prefprior.models.observations import observations
from prefprior.models.preparation import TrainingData
from prefprior.models.rating import choice_model
from prefprior.models.rating.choice_model import Decided
from prefprior.models.rating.item_means import ItemMeans
from prefprior.models.rating.mixture import Mixture
from prefprior.models.recorded import Recorded
from prefprior.models.scale import Standardize
from prefprior.space import Space

MOST_RATINGS = 20_000_000  # learned from, those of random users: 16 bytes each
USERS, LONGEST, TARGETS = 128, 64, 32  # the sample on which the variances are fit
# What a choice observes, where the training part has no choices to learn it from: by how much what was picked is
# better, on the scale of ratings from -1 to 1, and with which variance.
DELTA, CHOICE_NOISE = 0.5, 0.5
STEPS, RATE = 60, 0.2  # of Adam on three log-variances, which start within a factor of ten
SCORES = 4  # of the mixture: the expected rating, the retriever's score, two of the collaborative head


class RatingHead(Recorded, Module):
    """Expected ratings on the scale of a history's, -1 to 1; fit once, before training.

    The retriever's and the collaborative head's scores are added with the weights that predict the ratings of
    validation users best.
    """

    log_variances: Tensor
    choice_2: Tensor
    learned: Tensor

    def __init__(self, *, space: Space, scale: Standardize) -> None:
        super().__init__()
        self.means = ItemMeans(scale)
        self.mixture = Mixture(SCORES)
        self.register_buffer("log_variances", torch.zeros(3))  # of offset, taste and noise
        self.register_buffer("choice_2", torch.tensor([DELTA, math.log(CHOICE_NOISE)]))  # delta and log-variance
        self.register_buffer("learned", torch.tensor(False))

    @property
    def has_learned(self) -> bool:
        """Whether it was fit: if all ratings are likes, there is nothing to learn."""
        return bool(self.learned)

    def prepare(self, data: TrainingData) -> None:
        """Learns from the training part, unless all of its ratings are the same, or all are choices."""
        if data.scale.scale.liked_only:
            return
        everything = data.training_sequences(MOST_RATINGS)
        users = everything.only_ratings()
        if len(users.rating_N) == 0 or np.ptp(users.rating_N) == 0:
            return
        signed_N = np.empty(len(users.rating_N), dtype=np.float32)
        for start, count in zip(users.start_U, users.count_U, strict=True):
            raw_1K = users.rating_N[None, start : start + count]
            signed_N[start : start + count] = data.scale.signed(raw_1K, raw_1K, np.ones_like(raw_1K, dtype=bool))[0]
        user_N = np.repeat(np.arange(len(users)), users.count_U)
        self.means.learn(data.catalogue.embeddings_ND, users.item_N, user_N, signed_N)
        self._learn_variances(data, users, signed_N)
        if everything.question_N is not None:
            decided = Decided.of(everything, data.catalogue.embeddings_ND, data.scale.scale, self.means)
            if decided is not None:
                _, taste, noise = self.log_variances.exp().tolist()
                self.choice_2 = choice_model.learned(decided, taste, noise)
        self.learned = torch.tensor(True)

    def posterior(self, history: History) -> "RatingPosterior":
        """The posterior of the users of these histories, solved once for any number of items."""
        with torch.autocast(history.embeddings_BKD.device.type, enabled=False):
            offset, taste, noise = self.log_variances.exp()
            x_BKD = self.means.features(history.embeddings_BKD)
            mean_BK, variance_BK = self.means(history.embeddings_BKD, x_BKD)
            x_BKD = x_BKD * history.valid_BK[..., None]
            one_BK = history.valid_BK.float()
            residual_BK = torch.where(history.valid_BK, history.ratings_BK - mean_BK, 0)
            noise_BK = noise + variance_BK
            if history.has_questions:
                seen = observations(history)
                delta, log_noise = self.choice_2
                x_BKD, one_BK = seen.weights_BOK @ x_BKD, seen.weights_BOK.sum(2)
                mean_BK = (seen.weights_BOK @ mean_BK[..., None])[..., 0]
                residual_BK = torch.where(seen.rated_BO, history.ratings_BK, delta) - mean_BK
                residual_BK = torch.where(seen.rated_BO | seen.chosen_BO, residual_BK, 0)
                variance_BK = (seen.weights_BOK.square() @ variance_BK[..., None])[..., 0]
                noise_BK = torch.where(seen.chosen_BO, log_noise.exp(), noise) + variance_BK
            kernel_BKK = taste * (x_BKD @ x_BKD.mT) + offset * (one_BK[:, :, None] * one_BK[:, None])
            weight_BK = _dual_weights(kernel_BKK, noise_BK, residual_BK)
            taste_BD = taste * (weight_BK[:, None] @ x_BKD)[:, 0]
            return RatingPosterior(self, taste_BD, offset * (weight_BK * one_BK).sum(1, keepdim=True))

    def calibrate(self, batch: PreferenceBatch, interaction_SBT: Tensor) -> None:
        """Updates the mixture with all scores of validation targets."""
        score_SBT = self.posterior(batch.history).scores(batch.target_BTD, interaction_SBT)
        self.mixture.see(score_SBT, batch.target_rating_BT, batch.target_rated_BT)

    def _learn_variances(self, data: TrainingData, users: Sequences, signed_N: np.ndarray) -> None:
        """Maximises the predictive likelihood of some ratings of each user given others, with item means that leave
        the user's own ratings out."""
        # By hash, so that data in memory and in shards give the same users.
        chosen = [user for user in np.argsort(users.hash_U, kind="stable") if users.count_U[user] > 1][:USERS]
        if not chosen:
            return
        draws = np.random.default_rng(0)
        rows_BX = np.full((len(chosen), LONGEST + TARGETS), -1)
        for rows_X, user in zip(rows_BX, chosen, strict=True):
            order = users.start_U[user] + draws.permutation(users.count_U[user])
            count = min(int(math.exp(draws.uniform(0, math.log(LONGEST + 1)))), len(order) - 1)
            rows_X[:count] = order[:count]
            targets = order[count : count + TARGETS]
            rows_X[LONGEST : LONGEST + len(targets)] = targets
        filled_BX, there_BX = rows_BX >= 0, np.maximum(rows_BX, 0)
        rated_BX = np.where(filled_BX, users.rating_N[there_BX], 0)
        # As in prediction, the history alone determines the rating scale.
        signed_BX = data.scale.signed(rated_BX, rated_BX[:, :LONGEST], filled_BX[:, :LONGEST])
        raw_BXD = data.catalogue.embeddings_ND[torch.from_numpy(users.item_N[there_BX]).long()].float()
        x_BXD, valid_BX = self.means.features(raw_BXD), torch.from_numpy(filled_BX)
        mean_BX, variance_BX = self.means(raw_BXD, x_BXD, without=torch.from_numpy(signed_N[there_BX]))
        x_BXD = x_BXD.double() * valid_BX[..., None]
        residual_BX = torch.where(valid_BX, torch.from_numpy(signed_BX).double() - mean_BX, 0)
        cosine_BXX, both_BXX = x_BXD @ x_BXD.mT, valid_BX[:, :, None] & valid_BX[:, None]
        past, target, valid_BT = slice(LONGEST), slice(LONGEST, None), valid_BX[:, LONGEST:]
        logs = torch.log(residual_BX[valid_BX].var() * torch.tensor([0.1, 0.2, 0.7])).requires_grad_()
        optimizer = Adam([logs], lr=RATE)
        for _ in range(STEPS):
            offset, taste, noise = logs.exp()
            kernel_BXX = taste * cosine_BXX + offset * both_BXX
            across_BTK = kernel_BXX[:, target, past]
            seen_BKK = kernel_BXX[:, past, past] + torch.diag_embed(noise + variance_BX[:, past].double())
            lower_BKK = torch.linalg.cholesky(seen_BKK)
            half_BKT = torch.linalg.solve_triangular(lower_BKK, across_BTK.mT, upper=False)
            half_BK1 = torch.linalg.solve_triangular(lower_BKK, residual_BX[:, past, None], upper=False)
            error_BT = residual_BX[:, target] - (half_BKT.mT @ half_BK1)[..., 0]
            variance_BT = taste + offset + noise + variance_BX[:, target] - half_BKT.square().sum(1)
            nll_BT = error_BT.square() / variance_BT + variance_BT.log()
            optimizer.zero_grad()
            nll_BT[valid_BT].mean().backward()
            optimizer.step()
        self.log_variances = logs.detach().float()


@dataclass(frozen=True, eq=False)
class RatingPosterior:
    """The posterior deviation of users from the item means: an offset, and a direction in feature space."""

    head: RatingHead
    taste_BD: Tensor
    offset_B1: Tensor

    def expected(self, raw: Tensor) -> Tensor:
        """(B, N) expected ratings of items of one catalogue (N, D) or of each user's own (B, N, D)."""
        with torch.autocast(raw.device.type, enabled=False):
            means = self.head.means
            x = means.features(raw)
            mean, _ = means(raw, x)
            personal_BN = self.taste_BD @ x.T if raw.ndim == 2 else (x @ self.taste_BD[..., None])[..., 0]
            return mean + personal_BN + self.offset_B1

    def scores(self, raw: Tensor, interaction_SBN: Tensor) -> Tensor:
        """(S, B, N) the inputs of the mixture: expected ratings, and the interaction scores of the same items."""
        return torch.cat([self.expected(raw)[None], interaction_SBN])

    def rate(self, raw: Tensor, interaction_SBN: Tensor) -> Tensor:
        """(B, N) expected ratings, mixed with the interaction scores of the same items."""
        return self.head.mixture(self.scores(raw, interaction_SBN))

    def log_liking(self, raw: Tensor, interaction_SBN: Tensor) -> Tensor:
        """(B, N) the log-probability that a rating is above 0, the threshold of a like."""
        return log_ndtr(self.rate(raw, interaction_SBN) / (0.5 * self.head.log_variances[2]).exp())


def _dual_weights(kernel_BKK: Tensor, noise_BK: Tensor, residual_BK: Tensor) -> Tensor:
    """(B, K) the dual weights: (kernel + noise)^-1 residual."""
    lower_BKK = torch.linalg.cholesky(kernel_BKK + torch.diag_embed(noise_BK))
    return torch.cholesky_solve(residual_BK[..., None], lower_BKK)[..., 0]
