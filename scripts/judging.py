"""How well a studio's checkpoints serve new visitors, and what its ratings say of pictures in general. For
scripts/loop.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from torch import Tensor

from prefprior.evaluation.protocol.bootstrap import Figure, difference, interval, weights
from prefprior.space import Space
from prefprior.studio.store.database import Database
from prefprior.studio.store.training import answered
from scripts.visitors import PLATFORM, World

OLD, ROUND = "old data alone", "round"
LOOKED_AT = 400  # random pictures a visitor, for the truth about ratings


@dataclass(frozen=True, eq=False)
class Judged:
    """What new visitors are made, each with the same number and weight."""

    utility_B: np.ndarray
    within_B: np.ndarray  # mean distance of two pictures of one person
    between: float  # mean distance of pictures of two persons

    @classmethod
    def of(cls, world: World, made: dict[str, Tensor], space: Space) -> "Judged":
        """Of embeddings, by user."""
        utility = [float(world.source.scaled_utility(user, raw_nD).mean()) for user, raw_nD in made.items()]
        direction_BnD = np.stack([space.directions(raw_nD).numpy() for raw_nD in made.values()])
        people, n, _ = direction_BnD.shape
        alike_B = np.einsum("bnd,bmd->b", direction_BnD, direction_BnD)
        mean_BD = direction_BnD.mean(1)
        others = ((mean_BD @ mean_BD.T).sum() - (mean_BD**2).sum()) / max(people * (people - 1), 1)
        return cls(np.array(utility), 1 - (alike_B - n) / (n * (n - 1)), float(1 - others))

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {"utility": self.utility_B.tolist(), "within": self.within_B.tolist(), "between": self.between}


@dataclass(frozen=True)
class Corrected:
    """The mean rating of pictures: as rated where a policy chose them, corrected by propensities, and in truth."""

    naive: Figure
    corrected: Figure
    truth: float

    def __str__(self) -> str:
        return (
            f"mean rating of a picture: as rated {_plain(self.naive)}, corrected by propensities "
            f"{_plain(self.corrected)}, truth {self.truth:.2f}"
        )


def off_policy(database: Database, world: World, rounds: Sequence[Sequence[str]]) -> Corrected:
    """From all ratings of all visitors."""
    told: dict[str, list[tuple[float, float]]] = {}
    with database.reading() as session:
        for columns in answered(session, PLATFORM):
            for person, rating, propensity in zip(
                columns["person"], columns["rating"], columns["propensity"], strict=True
            ):
                if rating is not None:
                    told.setdefault(str(person), []).append((float(rating), float(propensity)))
    rating_B = np.array([np.mean([rating for rating, _ in each]) for each in told.values()])
    weighted_B = np.array([sum(rating / p for rating, p in each) for each in told.values()])
    weight_B = np.array([sum(1 / p for _, p in each) for each in told.values()])
    drawn_RB = weights(len(told), 0)
    naive = interval(rating_B, drawn_RB)
    assert naive is not None
    ratio_R = (drawn_RB @ weighted_B) / (drawn_RB @ weight_B)
    low, high = np.quantile(ratio_R, [0.025, 0.975])
    corrected = Figure(float(weighted_B.sum() / weight_B.sum()), float(low), float(high), len(told))
    rng = np.random.default_rng(0)
    visitors = [user for some in rounds for user in some]
    shown = [[world.ids[row] for row in rng.permutation(len(world.ids))[:LOOKED_AT]] for _ in visitors]
    truths = [world.says(user, items, 2000)[1].mean() for user, items in zip(visitors, shown, strict=True)]
    return Corrected(naive, corrected, float(np.mean(truths)))


def report(found: dict[str, Judged], per_round: int, console: Console) -> None:
    """One row a checkpoint."""
    drawn_RB = weights(len(found["start"].utility_B), 0)
    table = Table(title="new visitors, the same for all")
    for column in ("checkpoint", "true utility", "minus the start", "minus old data alone", "within", "between"):
        table.add_column(column, justify="left" if column == "checkpoint" else "right")
    for name, each in found.items():
        own, others = interval(each.utility_B, drawn_RB), ("start", name.replace(ROUND, OLD))
        leads = [
            "" if other == name or (other != "start" and not name.startswith(ROUND))
            else _signed(difference(each.utility_B, found[other].utility_B, drawn_RB))
            for other in others
        ]  # fmt: skip
        assert own is not None
        half = (own.high - own.low) / 2
        table.add_row(
            name, f"{own.value:.3f} ±{half:.3f}", *leads, f"{each.within_B.mean():.3f}", f"{each.between:.3f}"
        )
    console.print(table)
    start, best = (found[name].utility_B.mean() for name in ("start", "all people"))
    rounds = [name for name in found if name.startswith(ROUND)]
    for answers, name in zip(range(per_round, (len(rounds) + 1) * per_round, per_round), rounds, strict=True):
        gain = found[name].utility_B.mean() - start
        told = f"after {name}: {gain:+.3f} from {answers:,} answers, {1000 * gain / answers:+.4f} per 1,000"
        console.print(told + (f"; {gain / (best - start):.0%} of the way to all people" if best > start else ""))


def _signed(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.value:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"


def _plain(figure: Figure) -> str:
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
