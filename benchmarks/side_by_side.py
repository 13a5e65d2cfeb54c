"""What the benchmarks share: rounds in which every contender takes its turn, so that a busy machine is busy for all."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.files import write_json
from prefprior.history import History, PreferenceBatch
from prefprior.malloc import keep_freed_memory
from prefprior.models.model import PreferenceModel
from prefprior.models.module import PreferenceModule
from prefprior.models.objectives.objective import Objective
from prefprior.models.prior.denoiser import DenoiserSize
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.prior.prior import Prior
from prefprior.space import Space


def arguments(description: str | None, *, people: int, history: int, dim: int) -> argparse.ArgumentParser:
    """The options all benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=people)
    parser.add_argument("--history", type=int, default=history)
    parser.add_argument("--dim", type=int, default=dim)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--denoiser-depth", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    return parser


def interleaved(
    contenders: dict[str, Callable[[], Any]],
    rounds: int,
    *,
    warm: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each contender, over rounds in which each has one turn; `warm` turns before do not count.

    Memory is kept as training keeps it, for all of them. What has one thread may be timed by `time.process_time`.
    """
    keep_freed_memory()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(rounds + warm):
        for name, run in contenders.items():
            start = clock()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_ >= warm:
                taken[name].append(clock() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def report(args: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Prints the figures, with the machine they were taken on, and writes them where asked."""
    settings = {name: value for name, value in vars(args).items() if name != "json"}
    everything = {**figures, "settings": settings, "threads": torch.get_num_threads(), "torch": torch.__version__}
    for name, value in everything.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    if args.json is not None:
        write_json(args.json, everything)


def fake_space(dim: int) -> Space:
    """A space of random vectors: what is timed does not depend on what they mean."""
    return Space.measure("benchmark", np.random.default_rng(0).standard_normal((4 * dim, dim)).astype(np.float32))


def light_prior(args: argparse.Namespace, space: Space | None = None) -> Prior:
    """A prior of the sizes asked for, 64 dimensions a head."""
    heads = max(1, args.width // 64)
    size = DenoiserSize(width=args.width, depth=args.denoiser_depth, heads=heads)
    space = space or fake_space(args.dim)
    return Prior(space=space, width=args.width, depth=args.depth, heads=heads, denoiser=size)


def training(prior: PriorNetwork, objective: Objective) -> PreferenceModule:
    """A training of the generator alone."""
    return PreferenceModule(model=PreferenceModel(prior=prior), objective=objective, optimizer=torch.optim.AdamW)


def loss_of(module: PreferenceModule, batch: PreferenceBatch, generator: torch.Generator) -> torch.Tensor:
    """The loss of one training step, outside Lightning."""
    return torch.stack(list(module.losses(batch, generator).values())).sum()


def fake_history(people: int, length: int, dim: int) -> History:
    """Full histories of random pictures."""
    g = torch.Generator().manual_seed(0)
    return History(
        embeddings_BKD=torch.randn(people, length, dim, generator=g),
        ratings_BK=torch.rand(people, length, generator=g) * 2 - 1,
        ages_BK=torch.arange(length).float().expand(people, -1).clone(),
        valid_BK=torch.ones(people, length, dtype=torch.bool),
        items_BK=torch.randint(10**6, (people, length), generator=g),
        users=[str(i) for i in range(people)],
    )


def fake_batch(people: int, length: int, targets: int, dim: int) -> PreferenceBatch:
    """Full histories with targets."""
    g = torch.Generator().manual_seed(1)
    return PreferenceBatch(
        history=fake_history(people, length, dim),
        target_BTD=torch.randn(people, targets, dim, generator=g),
        target_rating_BT=torch.rand(people, targets, generator=g) * 2 - 1,
        target_valid_BT=torch.ones(people, targets, dtype=torch.bool),
        target_item_BT=torch.randint(10**6, (people, targets), generator=g),
        target_text_BTD=torch.zeros(people, targets, 0),
    )
