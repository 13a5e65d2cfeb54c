"""Sessions: users are asked one question after another, and what is believed of them is judged in between.

Shapes: N candidates for questions, D dimension.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from prefprior.elicitation.asker import Asker
from prefprior.elicitation.belief import Belief
from prefprior.elicitation.judging import Judge
from prefprior.elicitation.people import Person
from prefprior.elicitation.posterior import Posterior
from prefprior.elicitation.questions import Answer, Question
from prefprior.elicitation.told import Told
from prefprior.fields import Fields
from prefprior.files import read_json
from prefprior.seeding import generator_of


@dataclass(frozen=True, eq=False)
class Asked:
    """One user to be asked."""

    person: Person
    judge: Judge
    belief: Callable[[], Belief]  # before the first answer
    direction_ND: Tensor  # of the candidates
    row_N: Tensor  # of the catalogue


@dataclass(eq=False)
class Sessions:
    """What came of asking some users in one way."""

    users: list[str]
    figures: dict[int, list[dict[str, float]]] = field(default_factory=dict)  # after so many answers, of each user
    told: dict[str, list[Told]] = field(default_factory=dict)  # the answers of each user, by ids
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    made: dict[int, list[Tensor]] = field(default_factory=dict)  # embeddings made after so many answers

    @classmethod
    def read(cls, path: Path) -> "Sessions":
        """The figures and what was told in finished sessions, as `plain` gave them."""
        remedy = "Delete it: it is made again."
        kept = Fields(read_json(path, remedy), path, remedy)
        figures, told = kept.value("figures"), kept.value("told")
        try:
            found = {
                int(after): [{k: float("nan") if v is None else float(v) for k, v in each.items()} for each in some]
                for after, some in figures.items()
            }
            said = {str(user): [Told.read(each) for each in some] for user, some in told.items()}
            return cls([str(user) for user in kept.value("users")], found, said)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(f"{path}: not the figures of sessions. {remedy}") from None

    @classmethod
    def joined(cls, parts: Sequence["Sessions"]) -> "Sessions":
        """Of all users, from those of some."""
        found = cls([])
        for part in parts:
            found.users += part.users
            found.told |= part.told
            for after, figures in part.figures.items():
                found.figures.setdefault(after, []).extend(figures)
        return found

    def plain(self) -> dict[str, object]:
        """As JSON: NaN, which is no JSON, is null."""
        figures = {
            str(after): [{k: None if v != v else v for k, v in each.items()} for each in some]
            for after, some in self.figures.items()
        }
        told = {user: [each.plain() for each in some] for user, some in self.told.items()}
        return {"users": self.users, "figures": figures, "told": told}


def _next(asker: Asker, asked: Asked, belief: Posterior, draws: torch.Generator) -> Question | None:
    """The next question; of likes, with one of them that was not shown before."""
    hidden = asked.person.hidden
    if not hidden:
        return asker.ask(belief, asked.direction_ND, draws)
    left = [item for item in hidden if item not in belief.shown]
    return asker.ask(belief, asked.direction_ND, draws, closed=hidden, include=left[0]) if left else None


def run_sessions(
    asker: Asker,
    people: Sequence[Asked],
    after: Sequence[int],
    *,
    seed: int,
    patience: int | None = None,
    keep_made: Sequence[int] = (),
    advance: Callable[[], None] = lambda: None,
) -> Sessions:
    """Asks everybody up to `max(after)` questions, and judges after each number of answers in `after`.

    Who is out of patience, or can be asked no more, is judged by the answers there are.
    """
    found = Sessions([asked.person.user for asked in people])
    for asked in people:
        user, belief = asked.person.user, asker.policy.begin(asked.belief())
        for count in range(max(after) + 1):
            if count in after:
                figures, made = asked.judge.judge(belief, generator_of("judge", seed, user, count))
                figures["answers"] = float(len(belief.answers))
                found.figures.setdefault(count, []).append(figures)
                if made is not None and count in keep_made:
                    found.made.setdefault(count, []).append(made)
            if count == max(after) or (patience is not None and count >= patience):
                continue
            draws = generator_of("question", seed, user, count)
            question = _next(asker, asked, belief, draws)
            if question is not None:
                asker.tell(belief, asked.person.answer(question), draws)
        found.answers[user] = list(belief.answers)
        advance()
    return found
