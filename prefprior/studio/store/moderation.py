"""Reports of pictures, and pictures that nobody is shown any more."""

import time
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from prefprior.studio.store.database import Database
from prefprior.studio.store.people import Profile, RefusedError
from prefprior.studio.store.picture_files import PictureFiles
from prefprior.studio.store.tables import ITEM, MADE, AnswerRow, HiddenRow, QuestionRow, ReportRow, ShownRow

MOST_REPORTS = 500  # of one profile that are not decided


@dataclass(frozen=True)
class Reported:
    """A picture, and how many profiles have reported it."""

    kind: str
    name: str
    count: int


class Moderation:
    """Reports and hidden pictures of one database."""

    def __init__(self, database: Database, files: PictureFiles) -> None:
        self._database, self._files = database, files

    def report(self, profile: Profile, kind: str, name: str, content: bytes | None = None) -> None:
        """Keeps a report, and the picture if it is a made one; the same report twice counts once."""
        row = ReportRow(profile_id=profile.id, kind=kind, name=name, reported_at=time.time())
        mine = select(func.count()).select_from(ReportRow).where(ReportRow.profile_id == profile.id)
        held = self._files.held([] if content is None else [content])
        # It is there already, or the profile is gone.
        with held, suppress(IntegrityError), self._database.writing() as session:
            if (session.scalar(mine) or 0) >= MOST_REPORTS:
                raise RefusedError(f"{MOST_REPORTS} pictures that you reported wait for a decision: no more are taken")
            session.add(row)

    def reported(self) -> list[Reported]:
        """What waits for a decision, most reported first."""
        with self._database.reading() as session:
            rows = session.execute(
                select(ReportRow.kind, ReportRow.name, func.count())
                .group_by(ReportRow.kind, ReportRow.name)
                .order_by(func.count().desc(), ReportRow.kind, ReportRow.name)
                .limit(100)
            )
            return [Reported(kind, name, count) for kind, name, count in rows]

    def hidden(self, kind: str) -> frozenset[str]:
        """Names of the pictures that are shown to nobody."""
        with self._database.reading() as session:
            return frozenset(session.scalars(select(HiddenRow.name).where(HiddenRow.kind == kind)))

    def hide(self, kind: str, name: str) -> None:
        """Shows a picture to nobody any more; questions that wait with it are withdrawn."""
        with suppress(IntegrityError), self._database.writing() as session:
            session.add(HiddenRow(kind=kind, name=name, hidden_at=time.time()))
        with self._database.writing() as session:
            session.execute(delete(ReportRow).where(ReportRow.kind == kind, ReportRow.name == name))
            if kind == ITEM:
                waiting = (
                    select(QuestionRow)
                    .join(ShownRow, ShownRow.question_id == QuestionRow.id)
                    .outerjoin(AnswerRow, AnswerRow.question_id == QuestionRow.id)
                    .where(ShownRow.item == name, AnswerRow.question_id.is_(None))
                )
                for row in session.scalars(waiting):
                    row.withdrawn = True
        self._let_go(kind, name)

    def keep(self, kind: str, name: str) -> None:
        """A picture may be shown: reports of it are done, and it is no longer hidden."""
        with self._database.writing() as session:
            session.execute(delete(HiddenRow).where(HiddenRow.kind == kind, HiddenRow.name == name))
            session.execute(delete(ReportRow).where(ReportRow.kind == kind, ReportRow.name == name))
        self._let_go(kind, name)

    def made(self, name: str) -> bytes | None:
        """A made picture that was reported: for whoever decides about it."""
        with self._database.reading() as session:
            reported = session.scalars(
                select(ReportRow.name).where(ReportRow.kind == MADE, ReportRow.name == name)
            ).first()  # fmt: skip
        return None if reported is None else self._files.read(name)

    def _let_go(self, kind: str, name: str) -> None:
        """Its profile may have other pictures by now."""
        if kind == MADE:
            self._files.release([name])
