"""Studies: which arm each person is dealt to, what was asked and made in it, and what came of that."""

import hashlib
import hmac
import json
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from prefprior.elicitation.questions import Kind
from prefprior.studio.store.database import Database
from prefprior.studio.store.tables import AnswerRow, ProfileRow, QuestionRow, StudyRow, TriedRow

ARMS = 2
HASH = re.compile("[0-9a-f]{64}")
BLOCKS = ((0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, 0), (1, 0, 0, 1), (1, 0, 1, 0), (1, 1, 0, 0))


@dataclass(frozen=True)
class Arm:
    """One side of a study."""

    study: int
    place: int  # 0 or 1


@dataclass(frozen=True)
class Study:
    """Two arms, and how people are dealt to them."""

    id: int
    key: str
    arms: tuple[Mapping[str, Any], ...]  # run, model, policies, settings and catalogue
    levels: tuple[float, ...]
    begun_at: float

    def arm_of(self, person: int) -> Arm:
        """Which arm a person is in, by their number, for ever. Of each four people who come one after the other, two
        are in each arm, in an order that only the key tells."""
        block, turn = divmod(person, len(BLOCKS[0]))
        drawn = hmac.new(self.key.encode(), str(block).encode(), hashlib.sha256).digest()
        return Arm(self.id, BLOCKS[int.from_bytes(drawn) % len(BLOCKS)][turn])

    def drawn(self, *parts: str | int) -> int:
        """A 63-bit number for these parts that only the key tells."""
        told = "\x1f".join(map(str, parts))
        return int.from_bytes(hmac.new(self.key.encode(), told.encode(), hashlib.sha256).digest()[:8]) >> 1

    def place_of(self, arm: Mapping[str, Any]) -> int:
        """Which arm one is that was described again, whatever its run is called now."""
        return [_identity(each) for each in self.arms].index(_identity(arm))

    def differences(self, now: "Study") -> list[str]:
        """What another study has otherwise, with its arms in the order in which that is least."""
        levels = _differing("ratings", list(self.levels), list(now.levels))
        return levels + min((_between(self.arms, order) for order in (now.arms, now.arms[::-1])), key=len)

    @property
    def compares_models(self) -> bool:
        """Whether the arms make pictures differently; otherwise only their questions differ."""
        return self.arms[0]["model"] != self.arms[1]["model"]


@dataclass
class Outcome:
    """What one person did in a study."""

    arm: int
    answers: int = 0
    ratings: list[float] = field(default_factory=list)  # on the page of ratings
    judged: int = 0  # ratings, and likes and dislikes when roaming
    liked: int = 0  # those above the middle of the scale
    offered: int = 0  # answered choices that could be answered with none
    picked: int = 0  # those with a picture picked
    shown: list[int] = field(default_factory=lambda: [0] * ARMS)  # made pictures, by the arm that made them
    liked_made: list[int] = field(default_factory=lambda: [0] * ARMS)


class Studies:
    """Studies of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def open(self, arms: Sequence[Mapping[str, Any]], levels: Sequence[float]) -> Study:
        """The study of these arms, in whichever order, which goes on; or a new one."""
        require_two(arms)
        identities = sorted(map(_identity, arms))
        with self.database.writing() as session:
            for row in session.scalars(select(StudyRow)):
                if sorted(map(_identity, row.arms)) == identities and row.levels == list(levels):
                    return _study(row)
            row = StudyRow(
                key=secrets.token_hex(32), arms=[dict(arm) for arm in arms], levels=list(levels), begun_at=time.time()
            )
            session.add(row)
            session.flush()
            return _study(row)

    def all(self) -> list[Study]:
        """From the first to the last."""
        with self.database.reading() as session:
            return [_study(row) for row in session.scalars(select(StudyRow).order_by(StudyRow.id))]

    def outcomes(self, study: Study) -> dict[int, Outcome]:
        """What people did in a study, by their number; those who were shown nothing are left out."""
        found: dict[int, Outcome] = {}
        with self.database.reading() as session:
            _told(session, study, found)
            _tried(session, study, found)
        return found


def _told(session: Session, study: Study, found: dict[int, Outcome]) -> None:
    middle = (study.levels[0] + study.levels[-1]) / 2 if study.levels else 0.0
    wanted = (
        select(ProfileRow.person_id, QuestionRow.arm, QuestionRow.page, QuestionRow.kind, AnswerRow.question_id,
               AnswerRow.rating, AnswerRow.picked)
        .join(QuestionRow, QuestionRow.profile_id == ProfileRow.id)
        .outerjoin(AnswerRow, AnswerRow.question_id == QuestionRow.id)
        .where(QuestionRow.study == study.id)
        .order_by(QuestionRow.id)
    )  # fmt: skip
    for person, arm, page, kind, answered, rating, picked in session.execute(wanted):
        assert arm is not None
        outcome = found.setdefault(person, Outcome(arm))
        if answered is None:
            continue
        outcome.answers += 1
        if rating is not None:
            outcome.judged += 1
            outcome.liked += rating > middle
            if page == "rate":
                outcome.ratings.append(rating)
            continue
        if Kind.named(kind).none:
            outcome.offered += 1
            outcome.picked += bool(picked)


def _tried(session: Session, study: Study, found: dict[int, Outcome]) -> None:
    wanted = (
        select(ProfileRow.person_id, TriedRow.arm, TriedRow.liked_at)
        .join(TriedRow, TriedRow.profile_id == ProfileRow.id)
        .where(TriedRow.study == study.id)
    )
    for person, arm, liked_at in session.execute(wanted):
        outcome = found.setdefault(person, Outcome(study.arm_of(person).place))
        outcome.shown[arm] += 1
        outcome.liked_made[arm] += liked_at is not None


def require_two(arms: Sequence[Mapping[str, Any]]) -> None:
    """Refuses arms between which there is nothing to compare."""
    if len(set(map(_identity, arms))) < ARMS:
        raise ValueError(
            "both arms of the study are the same model and ask in the same way: give two runs, or another policy to "
            "the second, such as policy@second.nine=eubo"
        )


def _identity(arm: Mapping[str, Any]) -> str:
    """What an arm is, wherever its run lies. What is null is as if it was not there: a later version may know more."""
    return json.dumps(_given(_told_of(arm)), sort_keys=True)


def _given(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _given(each) for name, each in value.items() if each is not None}


def _told_of(arm: Mapping[str, Any]) -> dict[str, Any]:
    return {name: told for name, told in arm.items() if name != "run"}


def _between(arms: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """What arms have that others have otherwise; what both do is said once."""
    found: dict[str, list[str]] = defaultdict(list)
    for letter, one, other in zip("AB", arms, others, strict=True):
        for line in _differing("", _told_of(one), _told_of(other)):
            found[line].append(letter)
    return [line if len(letters) == ARMS else f"{line} in arm {letters[0]}" for line, letters in found.items()]


def _differing(name: str, one: Any, other: Any) -> list[str]:
    # Of another class, the arguments are others too.
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.get("_target_") == other.get("_target_"):
        parts = {part: f"{name}.{part}" if name else part for part in (*one, *other)}
        return [line for part, path in parts.items() for line in _differing(path, one.get(part), other.get(part))]
    if json.dumps(one) == json.dumps(other):  # a tuple comes back as a list
        return []
    given = name.removeprefix("settings.").removeprefix("policies.")
    return [f"{given}={_shown(one)} (now {_shown(other)})"]


def _shown(value: Any) -> str:
    """A value in a line: a class by its name, of a hash the beginning."""
    if isinstance(value, Mapping):
        return _shown(value.get("_target_"))
    if isinstance(value, str):
        return value[:12] if HASH.fullmatch(value) else value.rpartition(".")[2]
    return json.dumps(value)


def _study(row: StudyRow) -> Study:
    return Study(row.id, row.key, tuple(row.arms), tuple(row.levels), row.begun_at)
