"""Scoring users against a whole catalogue, with all ranking metrics, beside its floor: a bare product and topk.

    python benchmarks/scoring.py --json out.json                       # 10,000 users x 100,000 pictures x 1280
    python benchmarks/scoring.py --people 2000 --items 20000 --dim 256

The floor multiplies ready-made queries with the catalogue in chunks of the same size and keeps the best 20 of each row.
What is measured beside it also reads histories, hides what was seen, finds the exact rank of every held-out picture and
computes the metrics. Groups of users take turns, so that a busy machine is busy for both.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from side_by_side import fake_space, report

from prefprior.baselines.cosine import history_directions
from prefprior.baselines.mean import MeanOfLikes
from prefprior.data.held_out import HeldOutUsers
from prefprior.data.scaling import PersonScale
from prefprior.evaluation.metrics.ranking import ranking
from prefprior.evaluation.metrics.scoring import score
from prefprior.malloc import keep_freed_memory
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingScale

K = 20
GROUP = 1000  # users who are scored before the other side has its turn


def fake_people(args: argparse.Namespace) -> HeldOutUsers:
    """Random histories and held-out ratings over a random catalogue."""
    g = torch.Generator().manual_seed(0)
    catalogue = Catalogue(
        fake_space(args.dim), [str(i) for i in range(args.items)], torch.randn(args.items, args.dim, generator=g)
    )
    rng, each = np.random.default_rng(0), args.history + args.held
    item = torch.from_numpy(np.stack([rng.choice(args.items, each, replace=False) for _ in range(args.people)]))
    rating = torch.randint(0, 2, item.shape, generator=g) * 2.0 - 1
    past, held = slice(0, args.history), slice(args.history, None)
    return HeldOutUsers(
        users=[str(i) for i in range(args.people)],
        catalogue=catalogue,
        scale=PersonScale(RatingScale(-1, 1, 1), "scale", 1.0, 0.0, 1.0),
        item_BK=item[:, past],
        raw_BK=rating[:, past],
        question_BK=torch.zeros_like(item[:, past]),
        seen_item_BS=item[:, past],
        held_item_BT=item[:, held],
        held_rating_BT=rating[:, held],
        held_liked_BT=rating[:, held] > 0,
        held_asked_BT=torch.zeros_like(rating[:, held], dtype=torch.bool),
    )


def peak_mb() -> float:
    """The most memory this process ever had resident."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024


def main() -> None:
    """Times both, group by group, and prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--history", type=int, default=32)
    parser.add_argument("--held", type=int, default=10)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    args = parser.parse_args()
    keep_freed_memory()  # as `python evaluate.py` does
    people = fake_people(args)
    predictor = MeanOfLikes()
    predictor._catalogue = people.catalogue
    catalogue_DN = people.catalogue.embeddings_ND.T
    seconds = {"floor": 0.0, "scoreboard": 0.0}
    for start in range(0, args.people, GROUP):
        group = people.take(torch.arange(start, min(start + GROUP, args.people)))
        queries = [history_directions(people.catalogue.space, c.history()).mean(1) for c in group.chunks()]
        began = time.perf_counter()
        for query_BD in queries:
            (query_BD @ catalogue_DN).topk(K, dim=1)
        seconds["floor"] += time.perf_counter() - began
        began = time.perf_counter()
        ranking(score(predictor, group, None, K).rank_BT, group.held_liked_BT, (10, K))
        seconds["scoreboard"] += time.perf_counter() - began
    report(
        args,
        {
            "floor_seconds": seconds["floor"],
            "scoreboard_seconds": seconds["scoreboard"],
            "scoreboard_over_floor": seconds["scoreboard"] / seconds["floor"],
            "peak_mb": peak_mb(),
        },
    )


if __name__ == "__main__":
    main()
