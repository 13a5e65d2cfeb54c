"""One factorisation: settings chosen on held-out interactions, item factors, fold-in of users.

Shapes: B users, K history, I items of the catalogue, P known items, Q factors, D
dimension.
"""

import torch
from torch import Tensor, nn

from prefprior.factorization.implicit_als import ImplicitAls
from prefprior.history import History
from prefprior.models.collaborative.interactions import Interactions
from prefprior.models.collaborative.item_factors import ItemFactors
from prefprior.models.scale import Standardize

MOST_TO_CHOOSE = 200_000  # interactions on which settings are compared
SETTINGS = ((0.03, 0.01), (0.03, 0.03), (0.1, 0.01), (0.1, 0.03), (0.3, 0.01))  # unobserved, strength
TRIAL_SWEEPS = 4


class Factorization(nn.Module):
    """Item factors; any user is folded in from their own history, by one solve."""

    settings_2: Tensor

    def __init__(self, scale: Standardize, dim: int, sweeps: int) -> None:
        super().__init__()
        self.dim, self.sweeps = dim, sweeps
        self.items = ItemFactors(scale, dim)
        self.register_buffer("settings_2", torch.tensor(SETTINGS[0]))  # unobserved and strength

    def learn(self, embeddings_ID: Tensor, interactions: Interactions) -> None:
        """Chooses settings on held-out interactions, then factorises all."""
        met_I = torch.zeros(len(embeddings_ID), dtype=torch.bool)
        met_I[torch.from_numpy(interactions.item_N)] = True
        place_I, row_P = self.items.learn(embeddings_ID, met_I)
        interactions = interactions.moved(place_I.numpy(), len(row_P))
        tried = [ImplicitAls(self.dim, unobserved, strength, TRIAL_SWEEPS) for unobserved, strength in SETTINGS]
        self.settings_2 = torch.tensor(interactions.first(MOST_TO_CHOOSE).best_of(tried))
        self.items.use(embeddings_ID, row_P, interactions.factors(self.als))

    @property
    def als(self) -> ImplicitAls:
        """The chosen settings."""
        unobserved, strength = self.settings_2.tolist()
        return ImplicitAls(self.dim, unobserved, strength, self.sweeps)

    def fold_in(self, history: History, counted_BK: Tensor) -> Tensor:
        """(B, Q) user factors, from those items of their histories that are counted and known."""
        als, count, parts = self.als, len(self.items.hash_P), []
        for rows in torch.arange(len(history)).split(als.rows_at_once(counted_BK.shape[1])):
            factor_bKQ, known_bK = self.items.known_factors(history.embeddings_BKD[rows])
            valid_bK = known_bK & counted_BK[rows]
            factor_bKQ = factor_bKQ * valid_bK[..., None]
            parts.append(als.solved(factor_bKQ, valid_bK.float(), valid_bK, self.items.gram_QQ, count))
        return torch.cat(parts)
