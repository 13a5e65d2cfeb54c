"""Tuning baselines: the same number of settings for each, compared on users whom no figure is reported for.

Shapes: B users.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from prefprior.baselines.search import Search, settings
from prefprior.data.held_out import HeldOutUsers
from prefprior.errors import require_choice
from prefprior.evaluation.metrics.ranking import ranking
from prefprior.evaluation.metrics.rating import NAMES, rating
from prefprior.evaluation.metrics.scoring import SampledCandidates, score
from prefprior.predictor import Predictor, TrainingPart

# At most so many users in a trial, because the whole catalogue is ranked for each.
MOST_PEOPLE = 1000


@dataclass(frozen=True)
class Trial:
    """Settings and their figure; an empty dict stands for a baseline's defaults."""

    settings: dict[str, Any]
    figure: float


@dataclass(frozen=True, eq=False)
class Tuned:
    """The best of all trials, and the predictor that it fit."""

    predictor: Predictor
    best: Trial
    trials: tuple[Trial, ...]  # the defaults first
    people: int  # how many users they were compared on

    def plain(self) -> dict[str, Any]:
        """As `tuning.json` stores it."""
        trials = [{"settings": trial.settings, "figure": trial.figure} for trial in self.trials]
        return {"settings": self.best.settings, "figure": self.best.figure, "trials": trials}

    def __str__(self) -> str:
        chosen = ", ".join(f"{name}={value}" for name, value in self.best.settings.items()) or "its defaults"
        default = self.trials[0].figure
        return f"{chosen} ({self.best.figure:.4f} of {len(self.trials)} settings; by default {default:.4f})"


class Tuner:
    """Compares settings by the mean of one or more figures, over held-out users."""

    def __init__(
        self,
        people: HeldOutUsers,
        part: str,
        *,
        budget: int,
        figures: Sequence[str] | None,
        ks: Sequence[int],
        candidates: SampledCandidates | None = None,
        seed: int = 0,
    ) -> None:
        """`figures` are metrics of ranking at `ks` or of rating, by default NDCG at the greatest k, and AUC. Those that
        the users' ratings do not define are left out. `part` names the users in messages."""
        if budget < 2:
            raise ValueError(f"tune must be at least 2 settings for each baseline, got {budget}")
        if figures is not None and not figures:
            raise ValueError("tune_for is empty: leave it out, or name figures, such as [ndcg_20]")
        known = [*ranking(torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool), tuple(ks)), *NAMES]
        self.people, self.part, self.budget = people.first(MOST_PEOPLE), part, budget
        self.figures = tuple(
            require_choice("a figure of tune_for", name, known) for name in figures or (f"ndcg_{max(ks)}", "auc")
        )
        self.ks, self.candidates, self.seed = tuple(ks), candidates, seed

    def __call__(
        self,
        make: Callable[[dict[str, Any]], Predictor],
        search: Search,
        training: tuple[TrainingPart, TrainingPart | None],
        progress: Callable[[], None] | None = None,
    ) -> Tuned:
        """Fits `make(settings)` for each setting and keeps the best; the first of equal ones."""
        trials: list[Trial] = []
        best: tuple[Trial, Predictor] | None = None
        for drawn in settings(search, self.budget, torch.Generator().manual_seed(self.seed)):
            predictor = make(drawn)
            predictor.fit(*training, torch.Generator().manual_seed(self.seed))
            trials.append(Trial(drawn, self.figure(predictor)))
            if best is None or trials[-1].figure > best[0].figure:
                best = trials[-1], predictor
            if progress is not None:
                progress()
        assert best is not None, "the defaults are always tried"
        return Tuned(best[1], best[0], tuple(trials), len(self.people))

    def figure(self, predictor: Predictor) -> float:
        """The mean of the figures, each itself a mean over users."""
        people = self.people
        scored = score(predictor, people, None, max(self.ks), candidates=self.candidates)
        found = ranking(scored.rank_BT, people.held_liked_BT, self.ks) | rating(
            scored.score_BT, people.held_rating_BT, people.held_rated_BT, people.held_liked_BT, people.held_disliked_BT,
            self.figures,
        )  # fmt: skip
        means = [float(found[name].nanmean()) for name in self.figures if not found[name].isnan().all()]
        if not means:
            raise ValueError(
                f"baselines cannot be tuned by {', '.join(self.figures)}: the ratings of the {len(people):,} users of "
                f"{self.part} define none of these figures. Choose others with tune_for=[...]"
            )
        return sum(means) / len(means)

    def __str__(self) -> str:
        by = " and ".join(self.figures)
        mean = f"the mean of {by}, as far as ratings define them," if len(self.figures) > 1 else by
        return f"by {mean} of {len(self.people):,} users of {self.part}, {self.budget} settings each"
