"""The protocol of personalised aesthetics: k random ratings of an unseen user are the history, all others held out.

A mean over repeated draws for each user, then over users. Users who were trained on have their training ratings as
history instead, and no draw. Only the score by rating counts, and only on what a user rated: nothing is ranked.

Shapes: B users, T held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.held_out import HeldOutUsers, drawn
from prefprior.errors import require_choice
from prefprior.evaluation.metrics.rating import rating
from prefprior.evaluation.metrics.scoring import score_by_rating
from prefprior.evaluation.protocol.results import Condition, Outcome
from prefprior.evaluation.protocol.split import held_part
from prefprior.predictor import Predictor
from prefprior.ratings import RatingsTable

FIGURES = ("spearman", "pearson", "pairwise")
SPREAD = "_sd_of_draws"  # of the mean over users, from draw to draw
SEEN, UNSEEN = "seen", "unseen"


@dataclass(frozen=True, eq=False)
class Task:
    """What predictors are asked: the same users in each of the draws, with their histories."""

    part: str
    condition: Condition
    draws: list[HeldOutUsers]
    everybody: list[str]  # of the part's tasks, each with a place: figures of all are compared user by user
    left_out: int = 0  # users with too few ratings


class FewShot:
    """Histories of k random ratings, drawn several times."""

    def __init__(
        self,
        *,
        parts: Sequence[str] = (UNSEEN,),
        shots: Sequence[int] = (10, 100),
        repetitions: int = 10,
        figures: Sequence[str] = ("spearman", "pairwise"),
        leave_out: bool = False,
        seed: int = 0,
    ) -> None:
        """`parts` by their names, or the `unseen` or `seen` users of the part that is kept for evaluation; `shots` may
        be 0; with `leave_out`, users with too few ratings for a number of shots are left out of it and counted."""
        if not parts or not shots or min(shots) < 0 or len(set(shots)) < len(shots):
            raise ValueError(
                f"protocol.parts and protocol.shots must not be empty, and shots different numbers of at least 0; got "
                f"{list(parts)} and {list(shots)}"
            )
        if repetitions < 1:
            raise ValueError(f"protocol.repetitions must be at least 1, got {repetitions}")
        self.parts, self.shots, self.repetitions = tuple(parts), tuple(sorted(shots)), repetitions
        self.figures = tuple(require_choice("a figure of protocol.figures", name, FIGURES) for name in figures)
        self.leave_out, self.seed = leave_out, seed

    def tasks(self, data: PreferenceDataModule, cap: int) -> list[Task]:
        """All that is asked, of each part in turn; training ratings are capped at the `cap` newest."""
        if data.scale.scale.liked_only:
            raise ValueError(
                f"all ratings of {data.source.name} are likes, and protocol=... compares scores with graded ratings. "
                "Leave it out: the scoreboard measures likes by recall"
            )
        if max(self.shots) > cap:
            raise ValueError(
                f"protocol.shots has {max(self.shots)}, more than history_cap={cap}: raise history_cap too"
            )
        return [task for part in self.parts for task in self._of_part(data, part, cap)]

    def run(self, predictor: Predictor, task: Task) -> Outcome:
        """One predictor's figures: by user, the mean over the draws in which ratings define them."""
        people = task.draws[0]
        outcome = Outcome(predictor.name, task.condition, task.everybody, len(people), people.users)
        each = [self._measured(score_by_rating(predictor, draw), draw) for draw in task.draws]
        for name in self.figures:
            values_RB = torch.stack([figures[name] for figures in each])
            outcome.add(people.users, {name: values_RB.nanmean(0)})
            if len(each) > 1:
                outcome.overall[f"{name}{SPREAD}"] = float(values_RB.nanmean(1).std())
        return outcome

    def _measured(self, score_BT: Tensor, people: HeldOutUsers) -> dict[str, Tensor]:
        valid_BT = people.held_rated_BT
        nobody_BT = torch.zeros_like(valid_BT)  # likes and dislikes are for AUC, which is none of the figures
        return rating(score_BT, people.held_rating_BT, valid_BT, nobody_BT, nobody_BT, self.figures)

    def _of_part(self, data: PreferenceDataModule, part: str, cap: int) -> list[Task]:
        known = dict.fromkeys([*data.part_names, "val", "test"])
        known.pop("train", None)
        require_choice("a part of protocol.parts", part, (UNSEEN, SEEN, *known))
        table = data.part(held_part(data) if part in (SEEN, UNSEEN) else part)
        train = data.part("train")
        old_N = np.isin(table.user_N, train.user_N)
        tasks = []
        if part != UNSEEN and old_N.any():
            tasks.append(self._of_seen(data, part, train, table.take(np.flatnonzero(old_N)), cap))
        if part != SEEN and not old_N.all():
            name = part if part == UNSEEN or not old_N.any() else f"{part} ({UNSEEN})"
            tasks += self._of_unseen(data, name, table.take(np.flatnonzero(~old_N)))
        if not tasks:
            who = "who was not trained on" if part == UNSEEN else "who was trained on"
            raise ValueError(
                f"the part {part} of {data.source.name} has no user {who}. Choose others by protocol.parts=[...] (the "
                f"parts are {', '.join(known)}), or another split: data.splits.by=user holds out users, item pictures"
            )
        return tasks

    def _of_seen(
        self, data: PreferenceDataModule, part: str, train: RatingsTable, after: RatingsTable, cap: int
    ) -> Task:
        people = _people(data, train.take(np.flatnonzero(np.isin(train.user_N, after.user_N))), after, cap)
        return Task(part, Condition(), [people], people.users)

    def _of_unseen(self, data: PreferenceDataModule, part: str, table: RatingsTable) -> list[Task]:
        counts_U = np.bincount(table.user_N[table.starts_answer_N], minlength=len(table.users))
        total = np.count_nonzero(counts_U)
        tasks: list[Task] = []
        for shots in self.shots:
            enough_U = counts_U > shots
            short = np.flatnonzero((counts_U > 0) & ~enough_U)
            if len(short) and not self.leave_out:
                raise ValueError(
                    f"{len(short)} of the {total} users of {part} have fewer than {shots + 1} ratings, such as "
                    f"{table.users[short[0]]} with {counts_U[short[0]]}: nothing is held out after {shots}. Lower "
                    "protocol.shots, or give protocol.leave_out=true"
                )
            if not enough_U.any():
                raise ValueError(
                    f"no user of {part} has {shots + 1} ratings or more: nothing is held out after {shots}. Lower "
                    "protocol.shots"
                )
            able = table.take(np.flatnonzero(enough_U[table.user_N]))
            draws = [self._draw(data, able, shots, place) for place in range(self.repetitions if shots else 1)]
            everybody = tasks[0].everybody if tasks else draws[0].users  # the fewest shots leave out the fewest
            tasks.append(Task(part, Condition(length=shots), draws, everybody, len(short)))
        return tasks

    def _draw(self, data: PreferenceDataModule, table: RatingsTable, shots: int, place: int) -> HeldOutUsers:
        shown_N = drawn(table, shots, salt=f"shots/{self.seed}/{place}")
        before, after = table.take(np.flatnonzero(shown_N)), table.take(np.flatnonzero(~shown_N))
        return _people(data, before, after, max(shots, 1))


def _people(data: PreferenceDataModule, before: RatingsTable, after: RatingsTable, cap: int) -> HeldOutUsers:
    """Held-out ratings stay as they were given: the scale of a history is clipped, which would tie some of them."""
    return replace(HeldOutUsers.of(before, after, data.catalogue, cap=cap, may_be_new=True), scale=data.scale)
