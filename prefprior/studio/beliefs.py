"""What is believed of each profile: kept in memory for the last ones seen, made again from the answers in the store.

An answer's draws follow from its question's seed, so that a belief is the same however often it was forgotten. When the
network has to look again, which takes seconds, the next question does not wait for that: later answers are taken into a
copy that has not looked, until it has.

Shapes: P tastes, N candidates, E further items.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from prefprior.elicitation.belief import Belief
from prefprior.elicitation.cast import Cast, Pool
from prefprior.elicitation.questions import Answer, Kind, Question
from prefprior.errors import require_between
from prefprior.studio.apart import looked
from prefprior.studio.store.impressions import Impression


@dataclass(eq=False)
class Known:
    """A belief, the answers it is made of, and what its candidates are called."""

    belief: Belief
    answers: list[Impression]
    number: dict[str, int]  # candidates by item
    thin: bool = False  # the network must look again before the next answer
    ahead: Belief | None = None  # where it must: with the answers that wait for it
    waiting: list[Impression] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Now:
    """What is believed at this moment, for any thread."""

    belief: Belief
    look: "Look | None"  # what must be done before this is all that the answers say


@dataclass(frozen=True, eq=False)
class Look:
    """A look of the network, to be taken on a copy."""

    known: Known
    base: Belief
    seed: int

    def taken(self) -> Belief:
        """The belief after it."""
        return looked(self.base, self.seed)


class Beliefs:
    """Beliefs of at most `most` profiles. For one thread only."""

    def __init__(self, cast: Cast, pool: Pool, *, most: int = 256) -> None:
        require_between("beliefs", most, 1, 1_000_000)
        self.cast, self.pool, self.most = cast, pool, most
        self._row = {item: row for row, item in enumerate(cast.catalogue.ids)}
        self._number = {cast.catalogue.ids[row]: number for number, row in enumerate(pool.row_N.tolist())}
        self._kept: OrderedDict[int, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, profile: int, answers: Sequence[Impression]) -> Now:
        """What is believed after these answers; the store's, which is always right."""
        known = self._kept.pop(profile, None)
        if known is None or known.answers != list(answers[: len(known.answers)]) or self._foreign(known, answers):
            known = self._stranger(answers)
        self._kept[profile] = known
        while len(self._kept) > self.most:
            self._kept.popitem(last=False)
        while len(known.answers) < len(answers) and not known.thin:
            told = answers[len(known.answers)]
            try:
                self._observe(known.belief, known, told)
            except Exception:
                self.forget(profile)  # it may know a part of this answer
                raise
            known.answers.append(told)
            known.thin = known.belief.is_thin
        if not known.thin:
            return Now(known.belief.copy(), None)
        return Now(self._ahead(known, answers).copy(), Look(known, known.belief, known.answers[-1].seed))

    def _ahead(self, known: Known, answers: Sequence[Impression]) -> Belief:
        """With the answers that wait for a look, each of which is read once: beside other work many may come first."""
        read = self._read_ahead(known, answers)
        if known.ahead is None or read < len(known.waiting):
            known.ahead, known.waiting, read = known.belief.copy(), [], 0
        ahead, known.ahead = known.ahead, None  # where an answer cannot be read, it is begun anew
        for told in answers[len(known.answers) + read :]:
            self._observe(ahead, known, told)
            known.waiting.append(told)
        known.ahead = ahead
        return ahead

    def _read_ahead(self, known: Known, answers: Sequence[Impression]) -> int:
        """How many of the answers that wait for a look were read before; none where one of them has changed."""
        begin, read = len(known.answers), len(known.waiting)
        return read if known.waiting == list(answers[begin : begin + read]) else 0

    def looked(self, look: Look, belief: Belief) -> None:
        """Takes over what came of a look, unless the answers have changed meanwhile."""
        if look.known.belief is look.base:
            look.known.belief, look.known.thin = belief, False
            look.known.ahead, look.known.waiting = None, []

    def forget(self, profile: int) -> None:
        """What is known of a profile leaves memory too."""
        self._kept.pop(profile, None)

    def _foreign(self, known: Known, answers: Sequence[Impression]) -> bool:
        """Whether new answers are about items that this belief has no candidates for, and could have."""
        before = len(known.answers) + self._read_ahead(known, answers)
        new = (item for told in answers[before:] for item in told.items)
        return any(item not in known.number and item in self._row for item in new)

    def _stranger(self, answers: Sequence[Impression]) -> Known:
        """Before the first answer; items of another pool become candidates too."""
        pool, cast = self.pool, self.cast
        told = dict.fromkeys(item for each in answers for item in each.items)
        extra = [item for item in told if item not in self._number and item in self._row]
        raw_ND, utility_PN, favourite_PK, number = pool.raw_ND, pool.utility_PN, pool.favourite_PK, self._number
        if extra:
            raw_ED = cast.catalogue.embeddings_ND[[self._row[item] for item in extra]].float()
            raw_ND = torch.cat([raw_ND, raw_ED])
            utility_PN = torch.cat([utility_PN, cast.tastes.utilities(raw_ED)], dim=1)
            number = number | {item: len(number) + place for place, item in enumerate(extra)}
        belief = Belief(cast.tastes, raw_ND, utility_PN, cast.model, cast.moves, favourite_PK=favourite_PK)
        return Known(belief, [], number)

    def _observe(self, belief: Belief, known: Known, told: Impression) -> None:
        """Answers about items that the catalogue no longer has say nothing."""
        if all(item in known.number for item in told.items):
            belief.observe(self._answer(known, told))

    def _answer(self, known: Known, told: Impression) -> Answer:
        assert told.given is not None
        question = Question(Kind.named(told.kind), tuple(known.number[item] for item in told.items))
        if told.given.rating is not None:
            return question.rated(int(self.cast.levels.numbers([told.given.rating])[0]))  # type: ignore[arg-type]
        return question.chosen([question.items[place] for place in told.given.picked])


def state_of(model: str, answers: Sequence[Impression], *more: Any) -> str:
    """A hash of what is known: the same answers, read by the same model; and of what was asked for beside it."""
    text = repr((model, [(told.id, told.given) for told in answers], more))
    return hashlib.sha256(text.encode()).hexdigest()
