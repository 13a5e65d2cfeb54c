"""Figures of use: people, answers a minute, and how policies compare."""

import time
from dataclasses import dataclass

from sqlalchemy import String, case, cast, func, select

from prefprior.studio.store.database import Database
from prefprior.studio.store.tables import AnswerRow, PersonRow, QuestionRow

HOUR, DAY = 3600.0, 86_400.0


@dataclass(frozen=True)
class Use:
    """How much the studio is used."""

    people: int
    new_today: int
    answers: int
    answers_a_minute: float  # over the last hour


@dataclass(frozen=True)
class PolicyFigures:
    """What came of the questions that one policy chose with one model for one page."""

    page: str
    policy: str
    model: str
    asked: int
    answered: int
    none: int  # choices in which nothing was picked
    mean_rating: float | None
    mean_latency: float | None  # seconds


class Figures:
    """Counts over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def use(self) -> Use:
        """At this moment."""
        now = time.time()
        with self._database.reading() as session:
            people = session.scalar(select(func.count()).select_from(PersonRow)) or 0
            new = session.scalar(
                select(func.count()).select_from(PersonRow).where(PersonRow.created_at > now - DAY)
            )  # fmt: skip
            answers = session.scalar(select(func.count()).select_from(AnswerRow)) or 0
            lately = session.scalar(
                select(func.count()).select_from(AnswerRow).where(AnswerRow.answered_at > now - HOUR)
            )  # fmt: skip
        return Use(people, new or 0, answers, (lately or 0) / 60)

    def policies(self) -> list[PolicyFigures]:
        """By page, policy and model."""
        key = (QuestionRow.page, QuestionRow.policy, QuestionRow.model)
        # A choice without a pick is the empty list in JSON.
        is_none = (AnswerRow.rating.is_(None)) & (func.length(cast(AnswerRow.picked, String)) <= 2)
        wanted = (
            select(
                *key, func.count(), func.count(AnswerRow.question_id), func.sum(case((is_none, 1), else_=0)),
                func.avg(AnswerRow.rating), func.avg(AnswerRow.latency),
            )
            .outerjoin(AnswerRow, AnswerRow.question_id == QuestionRow.id)
            .group_by(*key)
            .order_by(*key)
        )  # fmt: skip
        with self._database.reading() as session:
            return [
                PolicyFigures(
                    page, policy, model, asked, answered, int(none or 0), _float(rating), _float(latency)
                )
                for page, policy, model, asked, answered, none, rating, latency in session.execute(wanted)
            ]  # fmt: skip


def _float(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]
