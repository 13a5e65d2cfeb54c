"""Likes in clusters: who likes one item of a cluster likes its others, whatever the items look like."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.metrics.ranking import ranking
from prefprior.evaluation.metrics.scoring import score
from prefprior.predictor import Catalogue, Predictor, TrainingPart
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space


@dataclass
class Clusters:
    training: TrainingPart
    people: HeldOutUsers  # users who were never trained on


def make_clusters(users: int = 150, items: int = 60, clusters: int = 5, liked: int = 8, seed: int = 0) -> Clusters:
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(items, 6)).astype(np.float32)
    catalogue = Catalogue(Space.measure("toy", raw), [f"i{i}" for i in range(items)], torch.from_numpy(raw))
    own = [np.flatnonzero(np.arange(items) % clusters == cluster) for cluster in rng.integers(clusters, size=users)]
    item = np.concatenate([rng.choice(rows, liked, replace=False) for rows in own])
    table = RatingsTable(
        source="toy", scale=RatingScale(1, 1, 1, liked_only=True), users=np.array([f"u{u:03d}" for u in range(users)]),
        items=np.array(catalogue.ids), user_N=np.repeat(np.arange(users), liked).astype(np.int32),
        item_N=item.astype(np.int32), rating_N=np.ones(users * liked, dtype=np.float32),
    )  # fmt: skip
    new = table.user_N >= users // 2
    people = HeldOutUsers.halves(table.take(np.flatnonzero(new)), catalogue)
    return Clusters(TrainingPart(table.take(np.flatnonzero(~new)), catalogue), people)


def permuted(training: TrainingPart) -> TrainingPart:
    """The same users and items with as many likes each, drawn anew together."""
    table = training.ratings
    item_N = np.random.default_rng(1).permutation(table.item_N)
    return TrainingPart(replace(table, item_N=item_N), training.catalogue)


def recall(predictor: Predictor, training: TrainingPart, people: HeldOutUsers) -> float:
    """Recall@10 of a predictor that is fit on a training part."""
    predictor.fit(training, None, torch.Generator().manual_seed(0))
    found = ranking(score(predictor, people, k=10).rank_BT, people.held_liked_BT, (10,))
    return float(found["recall_10"].nanmean())
