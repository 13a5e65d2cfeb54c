"""A causal transformer that predicts the next liked item from features, similar to SASRec (Kang & McAuley 2018).

Items are represented by their embeddings instead of learned ids, so that it can rank new items and serve new users. A
sampled softmax replaces SASRec's binary loss.

Shapes: B users, K history (oldest first inside the network), M sampled items, N catalogue, n samples, D dimension,
W width.
"""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.cosine import ROWS
from prefprior.baselines.search import LogUniform, OneOf, Search
from prefprior.baselines.top_samples import draw_best
from prefprior.history import History
from prefprior.predictor import By, Catalogue, TrainingPart
from prefprior.seeding import initialised_by
from prefprior.space import Space


class Sequential(Baseline):
    """Ranks by the inner product of the last hidden state with a learned item tower over embeddings."""

    search: ClassVar[Search] = {
        "width": OneOf((64, 128, 256)),
        "learning_rate": LogUniform(2e-4, 5e-3),
        "dropout": OneOf((0.0, 0.1, 0.3)),
    }

    def __init__(
        self,
        *,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        length: int = 64,
        steps: int = 1500,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        sampled: int = 1024,
        dropout: float = 0.1,
        pool: int = 64,
        name: str = "sequential",
    ) -> None:
        """`length` of sequences; the negatives of each step are `sampled` random items and the other targets."""
        super().__init__(name=name)
        if min(width, depth, heads, length, steps, batch_size, sampled) < 1 or width % heads or learning_rate <= 0:
            raise ValueError(
                f"baseline {name}: sizes and steps must be at least 1, width a multiple of heads, learning_rate above 0"
            )
        self.width, self.depth, self.heads, self.length = width, depth, heads, length
        self.steps, self.batch_size, self.learning_rate = steps, batch_size, learning_rate
        self.sampled, self.dropout, self.pool = sampled, dropout, pool
        self._network: _Network | None = None

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Trains next-like prediction at every position of random users' sequences."""
        super().fit(training, validation, generator)
        catalogue = self.catalogue
        item_UK, rating_UK = _sequences(training, self.length + 1)
        liked_UK = (item_UK >= 0) & (rating_UK > 0)
        usable = liked_UK[:, 1:].any(1).nonzero()[:, 0]
        if len(usable) == 0:
            raise ValueError(f"baseline {self.name}: no user of the training part has a like after the first rating")
        with initialised_by(generator):
            network = _Network(catalogue.space, self.width, self.depth, self.heads, self.length, self.dropout)
            optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=0.01)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, self.steps + 1)
            for _ in range(self.steps):
                user = usable[torch.randint(len(usable), (self.batch_size,), generator=generator)]
                item_BK, rating_BK, next_BK = item_UK[user, :-1], rating_UK[user, :-1], liked_UK[user, 1:]
                state_BKW = network(_raw(catalogue, item_BK), rating_BK)
                target = item_UK[user, 1:][next_BK]
                others = torch.randint(len(catalogue), (self.sampled,), generator=generator)
                logits = state_BKW[next_BK] @ network.items(_raw(catalogue, torch.cat([target, others]))).T
                # Positions with the same target are not negatives of each other.
                same = torch.cat([target, others])[None, :] == target[:, None]
                same.fill_diagonal_(False)
                loss = cross_entropy(logits.masked_fill(same, -torch.inf), torch.arange(len(target)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        self._network = network.eval()

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): pictures from the top of its ranking."""
        return draw_best(self.rank(history, self.catalogue), history, self.catalogue, n, self.pool, generator)

    @torch.no_grad()
    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) logits of the next liked item."""
        network = self._network
        if network is None:
            raise ValueError(f"the baseline {self.name} must be fit before it can rank or sample")
        recent = history.as_ratings().last(self.length)
        count_B = recent.valid_BK.sum(1)
        # Oldest first, as in training; the state at the last valid position attends to the whole history.
        place_BK = count_B[:, None] - 1 - torch.arange(recent.valid_BK.shape[1])
        order_BK = place_BK.clamp_min(0)
        oldest_first = recent.gather(order_BK)
        state_BKW = network(oldest_first.embeddings_BKD, oldest_first.ratings_BK)
        state_BW = state_BKW[torch.arange(len(history)), (count_B - 1).clamp_min(0)]
        state_BW = torch.where(count_B[:, None] > 0, state_BW, torch.zeros(()))
        items = [
            network.items(catalogue.embeddings_ND[start : start + ROWS].float())
            for start in range(0, len(catalogue), ROWS)
        ]
        return state_BW @ torch.cat(items).T


class _Network(nn.Module):
    """Causal transformer over rated items, and the item tower."""

    def __init__(self, space: Space, width: int, depth: int, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.space = space
        self.enter, self.rating = nn.Linear(space.dim, width), nn.Linear(1, width)
        # The interaction of embedding and rating: a like and a dislike of similar items can cancel.
        self.rated = nn.Linear(space.dim, width, bias=False)
        self.place = nn.Embedding(length, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.tower = nn.Sequential(nn.Linear(space.dim, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, raw_BKD: Tensor, rating_BK: Tensor) -> Tensor:
        """(B, K, W) states; the causal mask hides padding at the end from earlier positions."""
        length = raw_BKD.shape[1]
        features, rating = self._features(raw_BKD), rating_BK[..., None]
        x = self.enter(features) + self.rated(features * rating) + self.rating(rating) + self.place.weight[:length]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return self.norm(self.blocks(x, mask=mask, is_causal=True))

    def items(self, raw_ND: Tensor) -> Tensor:
        """(N, W) item vectors, to be multiplied with states."""
        return self.tower(self._features(raw_ND))

    def _features(self, raw: Tensor) -> Tensor:
        # Unit length times sqrt(D): entries of about unit variance, as linear layers are initialised for.
        return self.space.directions(raw) * self.space.dim**0.5


def _raw(catalogue: Catalogue, rows: Tensor) -> Tensor:
    return catalogue.embeddings_ND[rows.clamp_min(0)].float()


def _sequences(training: TrainingPart, length: int) -> tuple[Tensor, Tensor]:
    """(U, length) each user's newest items, oldest first and padded with -1 at the end, and their ratings."""
    table = training.ratings
    order = np.argsort(table.user_N, kind="stable")
    starts = np.flatnonzero(np.diff(table.user_N[order], prepend=-1))
    item = np.full((len(starts), length), -1, dtype=np.int64)
    rating = np.zeros((len(starts), length), dtype=np.float32)
    signed = table.scale.signed(table.rating_N)
    for row, own in enumerate(np.split(order, starts[1:])):
        recent = own[-length:]
        item[row, : len(recent)], rating[row, : len(recent)] = table.item_N[recent], signed[recent]
    return torch.from_numpy(item), torch.from_numpy(rating)
