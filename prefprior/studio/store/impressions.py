"""Questions as they were shown, and their answers: at most one each, and the same one twice counts once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from prefprior.studio.store.database import Database
from prefprior.studio.store.people import Profile
from prefprior.studio.store.tables import AnswerRow, ProfileRow, QuestionRow, ShownRow


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


class ConflictError(ValueError):
    """The question has another answer, or is gone."""


class Impressions:
    """Questions and answers of one database. What belongs to another profile is not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, profile: Profile, draw: Draw, request_key: str | None = None) -> Impression:
        """Keeps a question before it is shown; the same request again gets the question that is there already."""
        row = QuestionRow(
            profile_id=profile.id, page=draw.page, kind=draw.kind, policy=draw.policy, model=draw.model, seed=draw.seed,
            asked_at=time.time(), request_key=request_key,
            shown=[
                ShownRow(place=place, item=item, propensity=propensity)
                for place, (item, propensity) in enumerate(zip(draw.items, draw.propensities, strict=True))
            ],
        )  # fmt: skip
        try:
            with self._database.writing() as session:
                _require_there(session, profile)
                session.add(row)
                session.flush()
                return _impression(row, answer=None)
        except IntegrityError:
            found = None if request_key is None else self.requested(profile, request_key)
            if found is None:
                raise ConflictError("this profile was deleted") from None
            return found

    def requested(self, profile: Profile, request_key: str) -> Impression | None:
        """The question that a request with this key was given."""
        with self._database.reading() as session:
            row = session.scalars(_of(profile).where(QuestionRow.request_key == request_key)).first()
            return None if row is None else _impression(row, row.answer)

    def waiting(self, profile: Profile, page: str) -> Impression | None:
        """The question of a page that was shown and not answered yet."""
        with self._database.reading() as session:
            row = session.scalars(
                _of(profile)
                .outerjoin(AnswerRow)
                .where(QuestionRow.page == page, ~QuestionRow.withdrawn, AnswerRow.question_id.is_(None))
                .order_by(QuestionRow.id.desc())
            ).first()
            return None if row is None else _impression(row, None)

    def find(self, profile: Profile, number: int) -> Impression | None:
        """A question of this profile."""
        with self._database.reading() as session:
            row = session.scalars(_of(profile).where(QuestionRow.id == number)).first()
            return None if row is None else _impression(row, row.answer)

    def answer(self, profile: Profile, number: int, given: Given, latency: float | None) -> bool:
        """Keeps an answer; False where the same one is there already, an error where another is."""
        try:
            with self._database.writing() as session:
                row = session.scalars(_of(profile).where(QuestionRow.id == number)).first()
                if row is None:
                    raise ConflictError("this question is gone")
                if row.answer is None:
                    now = time.time()
                    row.withdrawn = False
                    row.answer = AnswerRow(
                        rating=given.rating, picked=list(given.picked), answered_at=now,
                        latency=max(now - row.asked_at, 0.0) if latency is None else latency,
                    )  # fmt: skip
                    return True
                return _require_same(row.answer, given)
        except IntegrityError:  # another process was faster
            with self._database.reading() as session:
                row = session.scalars(_of(profile).where(QuestionRow.id == number)).first()
                if row is None or row.answer is None:
                    raise ConflictError("this question is gone") from None
                return _require_same(row.answer, given)

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
            for other in session.scalars(
                _of(profile).outerjoin(AnswerRow).where(AnswerRow.question_id.is_(None), QuestionRow.page == row.page)
            ):
                other.withdrawn = True
            row.answer, row.withdrawn = None, False
            session.flush()
            return _impression(row, None)

    def answered(self, profile: Profile) -> list[Impression]:
        """All questions with an answer, in the order of the answers; an error where the profile was deleted."""
        with self._database.reading() as session:
            _require_there(session, profile)
            rows = session.scalars(
                _of(profile).join(AnswerRow).order_by(AnswerRow.answered_at, QuestionRow.id)
            ).all()  # fmt: skip
            return [_impression(row, row.answer) for row in rows]

    def last(self, profile: Profile) -> tuple[int, int | None]:
        """How many questions have an answer, and which was answered last."""
        with self._database.reading() as session:
            answered = _of(profile).join(AnswerRow)
            count = session.scalar(select(func.count()).select_from(answered.subquery()))
            newest = session.scalars(
                answered.with_only_columns(QuestionRow.id)
                .order_by(AnswerRow.answered_at.desc(), QuestionRow.id.desc())
                .limit(1)
            ).first()
            return int(count or 0), newest

    def asked(self, profile: Profile) -> int:
        """How many questions a profile was ever shown; numbers never repeat while it is not started over."""
        with self._database.reading() as session:
            return _count(session, profile)


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


def _count(session: Session, profile: Profile) -> int:
    counted = select(func.count()).select_from(QuestionRow).where(QuestionRow.profile_id == profile.id)
    return int(session.scalar(counted) or 0)


def _of(profile: Profile) -> Select[QuestionRow]:
    return select(QuestionRow).where(QuestionRow.profile_id == profile.id)


def _require_there(session: Session, profile: Profile) -> None:
    if session.get(ProfileRow, profile.id) is None:
        raise ConflictError("this profile was deleted")


def _require_same(answer: AnswerRow, given: Given) -> bool:
    if (answer.rating, tuple(answer.picked)) != (given.rating, given.picked):
        raise ConflictError("this question has another answer already: undo that one first")
    return False


def _impression(row: QuestionRow, answer: AnswerRow | None) -> Impression:
    given = None if answer is None else Given(answer.rating, tuple(answer.picked))
    return Impression(row.id, row.page, row.kind, tuple(each.item for each in row.shown), row.seed, row.asked_at, given)
