"""Questions as they were shown, and their answers: at most one each, and the same one twice counts once."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from prefprior.studio.store.database import Database
from prefprior.studio.store.people import Profile
from prefprior.studio.store.studies import Arm
from prefprior.studio.store.tables import AnswerRow, Base, ProfileRow, QuestionRow, ShownRow


@dataclass(frozen=True)
class Given:
    """An answer: a rating on the source's scale, or the places of what was picked."""

    rating: float | None = None
    picked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Impression:
    """A question that was shown."""

    id: int
    page: str
    kind: str
    items: tuple[str, ...]
    seed: int
    asked_at: float
    given: Given | None = None

    @property
    def is_rating(self) -> bool:
        """Whether one item was shown to be rated."""
        return len(self.items) == 1


@dataclass(frozen=True)
class Draw:
    """What was drawn to be shown, and how."""

    page: str
    kind: str
    items: tuple[str, ...]
    propensities: tuple[float, ...]
    policy: str
    model: str
    seed: int


class _Read:
    """Two statements that read some questions of a profile, and their items. Made once, which takes as long as running
    them."""

    def __init__(self, *which: ColumnElement[bool]) -> None:
        mine, its_answer = (_MINE, *which), AnswerRow.question_id == QuestionRow.id
        self.questions = (
            select(
                QuestionRow.id, QuestionRow.page, QuestionRow.kind, QuestionRow.seed, QuestionRow.asked_at,
                AnswerRow.question_id, AnswerRow.rating, AnswerRow.picked,
            )
            .outerjoin(AnswerRow, its_answer).where(*mine).order_by(AnswerRow.answered_at, QuestionRow.id)
        )  # fmt: skip
        self.shown = (
            select(ShownRow.question_id, ShownRow.item)
            .join(QuestionRow).outerjoin(AnswerRow, its_answer).where(*mine)
            .order_by(ShownRow.question_id, ShownRow.place)
        )  # fmt: skip


_MINE = QuestionRow.profile_id == bindparam("profile")
_UNANSWERED = AnswerRow.question_id.is_(None)
_ANSWERED, _NUMBERED = _Read(~_UNANSWERED), _Read(QuestionRow.id == bindparam("number"))
_REQUESTED = _Read(QuestionRow.request_key == bindparam("key"))
_WAITING = _Read(QuestionRow.page == bindparam("page"), ~QuestionRow.withdrawn, _UNANSWERED)
# By table, not by class: objects that nobody asks for are not made.
_ASK = insert(Base.metadata.tables["questions"]).returning(QuestionRow.id)
_SHOW, _ANSWER = insert(Base.metadata.tables["shown"]), insert(Base.metadata.tables["answers"])
_THERE = select(ProfileRow.id).where(ProfileRow.id == bindparam("profile"))
_ASKED_AT = select(QuestionRow.asked_at).where(_MINE, QuestionRow.id == bindparam("number"))
_SHOWN_AGAIN = (
    update(QuestionRow).where(_MINE, QuestionRow.id == bindparam("number"), QuestionRow.withdrawn)
    .values(withdrawn=False).execution_options(synchronize_session=False)
)  # fmt: skip
_WITHDRAW = (
    update(QuestionRow)
    .where(_MINE, QuestionRow.page == bindparam("of_page"), QuestionRow.id.not_in(select(AnswerRow.question_id)))
    .values(withdrawn=True).execution_options(synchronize_session=False)
)  # fmt: skip
_COUNT = select(func.count()).select_from(QuestionRow).where(_MINE)
_NEWEST = (
    select(QuestionRow.id, func.count().over()).join(AnswerRow).where(_MINE)
    .order_by(AnswerRow.answered_at.desc(), QuestionRow.id.desc()).limit(1)
)  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """A question that is there already; where there is none, what a next one depends on."""

    found: Impression | None
    answered: int  # questions with an answer
    last: int | None  # the one that was answered last
    answers: list[Impression] = field(default_factory=list)
    asked: int = 0  # questions ever shown; numbers never repeat while a profile is not started over


class ConflictError(ValueError):
    """The question has another answer, or is gone."""


class Impressions:
    """Questions and answers of one database. What belongs to another profile is not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, profile: Profile, draw: Draw, request_key: str | None = None, *, instead: bool = False,
        arm: Arm | None = None,
    ) -> Impression:  # fmt: skip
        """Keeps a question before it is shown, perhaps `instead` of those of its page that wait, and asked in an `arm`
        of a study; the same request again gets the question that is there already."""
        asked_at = time.time()
        question = {
            "profile_id": profile.id, "page": draw.page, "kind": draw.kind, "policy": draw.policy, "model": draw.model,
            "seed": draw.seed, "asked_at": asked_at, "request_key": request_key, "withdrawn": False,
            "study": None if arm is None else arm.study, "arm": None if arm is None else arm.place,
        }  # fmt: skip
        try:
            with self._database.writing(lasting=False) as session:  # its answer takes it along
                _require_there(session, profile)
                if instead:
                    session.execute(_WITHDRAW, {"profile": profile.id, "of_page": draw.page})
                number = session.execute(_ASK, question).scalar_one()
                shown = zip(draw.items, draw.propensities, strict=True)
                session.execute(
                    _SHOW,
                    [
                        {"question_id": number, "place": place, "item": item, "propensity": propensity}
                        for place, (item, propensity) in enumerate(shown)
                    ],
                )
                return Impression(number, draw.page, draw.kind, draw.items, draw.seed, asked_at)
        except IntegrityError:
            found = None if request_key is None else self.standing(profile, request_key=request_key).found
            if found is None:
                raise ConflictError("this profile was deleted") from None
            return found

    def standing(self, profile: Profile, *, page: str | None = None, request_key: str | None = None) -> Standing:
        """What a profile has been asked. Finds the question that a request with this key was given, or the one of a
        page that waits for its answer."""
        with self._database.reading() as session:
            _require_there(session, profile)
            found = None
            if request_key is not None:
                found = _last(_read(session, _REQUESTED, profile, key=request_key))
            elif page is not None:
                found = _last(_read(session, _WAITING, profile, page=page))
            if found is not None:
                return Standing(found, *_newest(session, profile))
            asked, answers = session.execute(_COUNT, {"profile": profile.id}).scalar_one(), _answered(session, profile)
            return Standing(None, len(answers), answers[-1].id if answers else None, answers, asked)

    def find(self, profile: Profile, number: int) -> Impression | None:
        """A question of this profile."""
        with self._database.reading() as session:
            return _last(_read(session, _NUMBERED, profile, number=number))

    def answer(self, profile: Profile, number: int, given: Given, latency: float | None) -> bool:
        """Keeps an answer; False where the same one is there already, an error where another is."""
        now = time.time()
        try:
            with self._database.writing() as session:
                mine = {"profile": profile.id, "number": number}
                asked_at = session.execute(_ASKED_AT, mine).scalar_one_or_none()
                if asked_at is None:
                    raise ConflictError("this question is gone")
                latency = max(now - asked_at, 0.0) if latency is None else latency
                answer = {
                    "question_id": number, "rating": given.rating, "picked": list(given.picked), "answered_at": now,
                    "latency": latency,
                }  # fmt: skip
                session.execute(_ANSWER, answer)
                session.execute(_SHOWN_AGAIN, mine)
                return True
        except IntegrityError:  # there is one
            found = self.find(profile, number)
            if found is None or found.given is None:
                raise ConflictError("this question is gone") from None
            if found.given != given:
                raise ConflictError("this question has another answer already: undo that one first") from None
            return False

    def withdraw(self, profile: Profile, number: int) -> None:
        """A question without an answer no longer waits for one."""
        with self._database.writing() as session:
            row = session.scalars(_of(profile).where(QuestionRow.id == number)).first()
            if row is not None and row.answer is None:
                row.withdrawn = True

    def undo(self, profile: Profile, number: int | None = None) -> Impression | None:
        """Takes an answer back, the last one where none is named; its question waits again, in the place of others."""
        with self._database.writing() as session:
            answered = _of(profile).join(AnswerRow).order_by(AnswerRow.answered_at.desc(), QuestionRow.id.desc())
            if number is not None:
                answered = answered.where(QuestionRow.id == number)
            row = session.scalars(answered).first()
            if row is None:
                return None
            session.execute(_WITHDRAW, {"profile": profile.id, "of_page": row.page})
            row.answer, row.withdrawn = None, False
            session.flush()
            return _impression(row, None)

    def answered(self, profile: Profile) -> list[Impression]:
        """All questions with an answer, in the order of the answers; an error where the profile was deleted."""
        with self._database.reading() as session:
            _require_there(session, profile)
            return _answered(session, profile)

    def last(self, profile: Profile) -> tuple[int, int | None]:
        """How many questions have an answer, and which was answered last."""
        with self._database.reading() as session:
            return _newest(session, profile)


def liked_in(answers: Sequence[Impression], levels: Sequence[float]) -> list[str]:
    """Items that were picked, or rated above the middle of the scale."""
    middle = (levels[0] + levels[-1]) / 2 if levels else 0.0
    liked = dict[str, None]()
    for told in answers:
        assert told.given is not None
        if told.given.rating is None:
            liked |= dict.fromkeys(told.items[place] for place in told.given.picked)
        elif told.given.rating > middle:
            liked[told.items[0]] = None
    return list(liked)


def places_of(items: Sequence[str], picked: Sequence[str]) -> tuple[int, ...]:
    """The places of items in a question, in rising order."""
    return tuple(sorted(items.index(item) for item in picked))


def _of(profile: Profile) -> Select[QuestionRow]:
    return select(QuestionRow).where(QuestionRow.profile_id == profile.id)


def _read(session: Session, which: _Read, profile: Profile, **values: Any) -> list[Impression]:
    """Questions of a profile, in the order of their answers. As rows: making objects of the tables takes longer than
    all else that a question needs."""
    values["profile"] = profile.id
    items: dict[int, list[str]] = defaultdict(list)
    for number, item in session.execute(which.shown, values):
        items[number].append(item)
    return [
        Impression(
            number, page, kind, tuple(items[number]), seed, asked_at,
            None if answered is None else Given(rating, tuple(picked)),
        )
        for number, page, kind, seed, asked_at, answered, rating, picked in session.execute(which.questions, values)
    ]  # fmt: skip


def _answered(session: Session, profile: Profile) -> list[Impression]:
    return _read(session, _ANSWERED, profile)


def _newest(session: Session, profile: Profile) -> tuple[int, int | None]:
    """How many questions have an answer, and which was answered last."""
    found = session.execute(_NEWEST, {"profile": profile.id}).first()
    return (0, None) if found is None else (found[1], found[0])


def _last(found: list[Impression]) -> Impression | None:
    return found[-1] if found else None


def _require_there(session: Session, profile: Profile) -> None:
    if session.execute(_THERE, {"profile": profile.id}).first() is None:
        raise ConflictError("this profile was deleted")


def _impression(row: QuestionRow, answer: AnswerRow | None) -> Impression:
    given = None if answer is None else Given(answer.rating, tuple(answer.picked))
    return Impression(row.id, row.page, row.kind, tuple(each.item for each in row.shown), row.seed, row.asked_at, given)
