"""A diffusion prior conditioned on the user's id, similar to REBECA (Patron et al. 2025, arXiv:2502.03966).

It represents users by id instead of by their ratings; unseen users get the unknown-user condition. The comparison shows
what a history encoder is worth.

Shapes: B users, U trained users, n samples, N catalogue, D dimension, W width.
"""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.cosine import CosineRanker
from prefprior.baselines.search import LogUniform, OneOf, Search
from prefprior.history import History
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.diffusion.solvers import Euler
from prefprior.models.prior.layers import ScalarFeatures
from prefprior.predictor import By, Catalogue, TrainingPart
from prefprior.seeding import initialised_by

# REBECA drops the user and the rating with this probability each, for guidance.
DROP = 0.15


class UserDiffusion(Baseline):
    """A small MLP denoiser given a learned user vector and the rating; ranks by the nearest sample."""

    search: ClassVar[Search] = {"guidance": OneOf((1.0, 2.0, 4.0)), "learning_rate": LogUniform(2e-4, 5e-3)}

    def __init__(
        self,
        *,
        width: int = 256,
        depth: int = 3,
        steps: int = 2000,
        batch_size: int = 512,
        learning_rate: float = 1e-3,
        guidance: float = 2.0,
        sampling_steps: int = 25,
        ranking_samples: int = 16,
        name: str = "user_diffusion",
    ) -> None:
        """`guidance` is the scale (1: none); `rank` compares the catalogue with `ranking_samples` samples."""
        super().__init__(name=name)
        if min(width, depth, steps, batch_size, sampling_steps, ranking_samples) < 1 or learning_rate <= 0:
            raise ValueError(f"baseline {name}: sizes and steps must be at least 1 and learning_rate above 0")
        self.width, self.depth = width, depth
        self.steps, self.batch_size, self.learning_rate = steps, batch_size, learning_rate
        self.guidance, self.sampling_steps, self.ranking_samples = guidance, sampling_steps, ranking_samples
        self._schedule, self._cosine = CosineSchedule(), CosineRanker()
        self._row: dict[str, int] = {}
        self._network: _Network | None = None

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Trains the denoiser on embeddings of rated pictures, given the user and the rating."""
        super().fit(training, validation, generator)
        table = training.ratings
        codes, user_N = np.unique(table.user_N, return_inverse=True)
        self._row = {str(table.users[code]): row for row, code in enumerate(codes)}
        user, item = torch.from_numpy(user_N), torch.from_numpy(table.item_N.astype(np.int64))
        rating = torch.from_numpy(table.scale.signed(table.rating_N))
        with initialised_by(generator):
            network = _Network(self.catalogue.space.dim, len(codes), self.width, self.depth)
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate)
        one_cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, self.steps + 1)
        for _ in range(self.steps):
            row = torch.randint(len(item), (self.batch_size,), generator=generator)
            clean = self.catalogue.space.to_model(self.catalogue.embeddings_ND[item[row]].float())
            first, last = self._schedule.first, self._schedule.last
            time = torch.rand(len(row), generator=generator) * (last - first) + first
            noise = torch.randn(clean.shape, generator=generator)
            dropped = torch.rand((2, len(row)), generator=generator) < DROP
            user_M = torch.where(dropped[0], len(codes), user[row])
            guess = network(self._schedule.noisy(clean, noise, time), time, user_M, rating[row], dropped[1])
            loss = (guess - clean).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            one_cycle.step()
        self._network = network.eval()

    @torch.no_grad()
    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): samples at the highest rating, conditioned on each user's id (unknown user for new ids)."""
        network = self._network
        if network is None:
            raise ValueError(f"the baseline {self.name} must be fit before it can rank or sample")
        unknown = len(self._row)
        user_Bn = torch.tensor([self._row.get(user, unknown) for user in history.users])[:, None].expand(-1, n)
        loved, known = torch.ones(user_Bn.shape), torch.zeros(user_Bn.shape, dtype=torch.bool)

        def denoise(noisy: Tensor, time: Tensor) -> Tensor:
            time_Bn = time.expand(user_Bn.shape)
            given = network(noisy, time_Bn, user_Bn, loved, known)
            null = network(noisy, time_Bn, torch.full_like(user_Bn, unknown), loved, ~known)
            return null + self.guidance * (given - null)

        noise = torch.randn((*user_Bn.shape, self.catalogue.space.dim), generator=generator)
        return self.catalogue.space.from_model(Euler()(denoise, self._schedule, noise, self.sampling_steps))

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) cosine to the nearest of a few samples."""
        made_BnD = catalogue.space.directions(
            self.sample(history, self.ranking_samples, torch.Generator().manual_seed(0))
        )
        return torch.stack([self._cosine(made_nD, catalogue).amax(0) for made_nD in made_BnD])


class _Network(nn.Module):
    """Predicts the clean embedding from the noisy one, the time, the user and the rating."""

    def __init__(self, dim: int, users: int, width: int, depth: int) -> None:
        super().__init__()
        self.enter = nn.Linear(dim, width)
        self.user = nn.Embedding(users + 1, width)  # the last row is the unknown user
        self.time, self.rating = ScalarFeatures(width), ScalarFeatures(width, 16)
        self.unrated_W = nn.Parameter(torch.zeros(width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.layers = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(depth))
        self.leave = nn.Linear(width, dim)

    def forward(self, noisy: Tensor, time: Tensor, user: Tensor, rating: Tensor, unrated: Tensor) -> Tensor:
        rated = torch.where(unrated[..., None], self.unrated_W, self.rating(rating))
        condition = self.user(user) + self.time(time) + rated  # ... W
        x = self.enter(noisy)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + silu(layer(torch.cat([norm(x), condition], dim=-1)))
        return self.leave(x)
