"""The collaborative head: items that the same users like, by matrix factorisation, beside the retriever's score.

A retriever reads embeddings, and learns by gradient which items of its training part go together. Factorisation of the
likes finds that in closed form, in seconds, and more of it where items have many likes. Both scores are blended, with
the weights under which what validation users like is likeliest.

Shapes: B users, K history, T targets, N candidates or items, N likes in `learn`, Q factors, D dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from prefprior.errors import require_between
from prefprior.factorization.implicit_als import ImplicitAls
from prefprior.history import History, PreferenceBatch
from prefprior.models.collaborative.blend import Blend
from prefprior.models.collaborative.item_factors import ItemFactors
from prefprior.models.collaborative.likes import Likes
from prefprior.models.preparation import TrainingData
from prefprior.models.recorded import Recorded
from prefprior.models.retriever.negatives import Negatives
from prefprior.models.scale import Standardize
from prefprior.space import Space

MOST_RATINGS = 20_000_000  # factorised, of users at random
MOST_TO_CHOOSE = 1_000_000  # of them, for the choice of settings
SETTINGS = ((0.03, 0.01), (0.03, 0.03), (0.1, 0.01), (0.1, 0.03), (0.3, 0.01))  # unobserved, strength
TRIAL_SWEEPS = 6
CANDIDATES = 4096  # that a validation user's likes are compared with; all rated items where there are no more


class CollaborativeHead(Recorded, Module):
    """Factors of users and items from likes alone; users are folded in from their histories, one solve each."""

    settings_2: Tensor
    learned: Tensor

    def __init__(self, *, space: Space, scale: Standardize, dim: int = 64, sweeps: int = 12) -> None:
        """`dim` factors, found in `sweeps` between users and items."""
        require_between("collaborative.dim", dim, 1, 4096)
        require_between("collaborative.sweeps", sweeps, 1, 10_000)
        super().__init__()
        self.dim, self.sweeps = dim, sweeps
        self.items = ItemFactors(scale, dim)
        self.blend = Blend()
        self.negatives = Negatives(count=CANDIDATES)
        self.register_buffer("settings_2", torch.tensor(SETTINGS[0]))  # unobserved and strength, chosen by `prepare`
        self.register_buffer("learned", torch.tensor(False))

    @property
    def has_learned(self) -> bool:
        """Whether the training part had likes of several users."""
        return bool(self.learned)

    def prepare(self, data: TrainingData) -> None:
        """Chooses settings by likes that are held out, then factorises all."""
        likes = Likes.of(data.training_sequences(MOST_RATINGS), data.scale.scale)
        if likes.users < 2 or len(likes) == 0:
            return
        liked_I = np.zeros(len(data.catalogue), dtype=bool)
        liked_I[likes.item_N] = True
        place_M = self.items.learn(data.catalogue.embeddings_ND, torch.from_numpy(liked_I)).numpy()
        rows_M = np.flatnonzero(liked_I)
        place_I = np.full(len(liked_I), -1)
        place_I[rows_M] = place_M
        row_P = np.empty(len(self.items.hash_P), dtype=np.int64)
        row_P[place_M] = rows_M
        likes = likes.moved(place_I, len(row_P))
        self.settings_2 = torch.tensor(likes.first(MOST_TO_CHOOSE).best_of(self._tried()))
        factor_PQ = likes.factors(self._als(self.sweeps))
        self.items.use(data.catalogue.embeddings_ND, torch.from_numpy(row_P), factor_PQ)
        self.negatives.prepare(data)
        self.learned = torch.tensor(True)

    def posterior(self, history: History) -> "CollaborativeScore":
        """What histories tell of their users; once for any number of items."""
        als, parts = self._als(self.sweeps), []
        with torch.autocast(history.embeddings_BKD.device.type, enabled=False):
            for rows in torch.arange(len(history)).split(als.rows_at_once(history.valid_BK.shape[1])):
                some = history.take(rows)
                factor_bKQ, known_bK = self.items.known_factors(some.embeddings_BKD)
                valid_bK = known_bK & some.liked_BK
                factor_bKQ = factor_bKQ * valid_bK[..., None]
                count = len(self.items.hash_P)
                parts.append(als.solved(factor_bKQ, valid_bK.float(), valid_bK, self.items.gram_QQ, count))
        return CollaborativeScore(self.items, torch.cat(parts))

    def calibrate(self, batch: PreferenceBatch, score: Callable[[Tensor], Tensor], generator: torch.Generator) -> None:
        """Has the blend see a batch of validation users; `score` is the retriever's, of a catalogue (N, D)."""
        candidates = self.negatives.candidates(batch, generator)
        factor_BN = self.posterior(batch.history)(candidates.raw_ND)
        self.blend.see(score(candidates.raw_ND), factor_BN, candidates, batch)

    def _tried(self) -> list[ImplicitAls]:
        return [ImplicitAls(self.dim, unobserved, strength, TRIAL_SWEEPS) for unobserved, strength in SETTINGS]

    def _als(self, sweeps: int) -> ImplicitAls:
        unobserved, strength = self.settings_2.tolist()
        return ImplicitAls(self.dim, unobserved, strength, sweeps)


@dataclass(frozen=True, eq=False)
class CollaborativeScore:
    """Users folded in."""

    items: ItemFactors
    user_BQ: Tensor

    def __call__(self, raw: Tensor) -> Tensor:
        """(B, N) inner products with items: of one catalogue (N, D) or of their own (B, N, D)."""
        with torch.autocast(raw.device.type, enabled=False):
            return torch.einsum("bq,bnq->bn" if raw.ndim == 3 else "bq,nq->bn", self.user_BQ, self.items(raw))
