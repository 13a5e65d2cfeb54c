"""A few dozen people who each like one side of a small random catalogue: a taste that is known exactly."""

from dataclasses import dataclass

import numpy as np
import torch

from prefprior.data.held_out import HeldOutUsers, first_share
from prefprior.history import History
from prefprior.predictor import By, Catalogue, TrainingPart
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space


@dataclass
class Tastes:
    catalogue: Catalogue
    training: TrainingPart
    people: HeldOutUsers
    taste: dict[str, torch.Tensor]  # the direction each person rates by


def make_tastes(users: int = 24, items: int = 200, rated: int = 30, dim: int = 8, seed: int = 0) -> Tastes:
    rng = np.random.default_rng(seed)
    raw = (rng.normal(size=(items, dim)) * rng.uniform(0.5, 2, dim) + 3).astype(np.float32)
    catalogue = Catalogue(Space.measure("toy", raw), [f"i{i}" for i in range(items)], torch.from_numpy(raw))
    directions = rng.normal(size=(users, dim)).astype(np.float32)
    scaled = catalogue.space.to_model(raw)
    item = np.concatenate([rng.choice(items, rated, replace=False) for _ in range(users)]).astype(np.int32)
    user = np.repeat(np.arange(users), rated).astype(np.int32)
    utility = (directions[user] * scaled[item]).sum(1)
    rating = np.where(utility > 0, 1.0, -1.0).astype(np.float32)
    table = RatingsTable(
        source="toy", scale=RatingScale(-1, 1, 1), users=np.array([f"u{u:02d}" for u in range(users)]),
        items=np.array(catalogue.ids), user_N=user, item_N=item, rating_N=rating,
    )  # fmt: skip
    past = first_share(table, 0.6)
    before, after = table.take(np.flatnonzero(past)), table.take(np.flatnonzero(~past))
    people = HeldOutUsers.of(before, after, catalogue)
    taste = {f"u{u:02d}": torch.from_numpy(directions[u]) for u in range(users)}
    return Tastes(catalogue, TrainingPart(before, catalogue), people, taste)


class Oracle:
    """Knows the taste: the harness must give it full marks."""

    name = "oracle"
    two_scores = False

    def __init__(self, tastes: Tastes) -> None:
        self.tastes = tastes

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Knows already."""

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> torch.Tensor:
        scaled = catalogue.space.to_model(catalogue.embeddings_ND.float())
        return torch.stack([scaled @ self.tastes.taste[user] for user in history.users])

    def sample(self, history: History, n: int, generator: torch.Generator) -> torch.Tensor:
        best = self.rank(history, self.tastes.catalogue).topk(n, dim=1).indices
        return self.tastes.catalogue.embeddings_ND[best]
