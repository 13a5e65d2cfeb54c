"""Invitations: codes that let a number of people in, for a time."""

import secrets
import time
from dataclasses import dataclass

from sqlalchemy import delete, select

from prefprior.errors import require_between
from prefprior.studio.store.database import Database
from prefprior.studio.store.people import RefusedError, hashed
from prefprior.studio.store.tables import InvitationRow
from prefprior.studio.store.tokens import DAY

LONGEST_NOTE = 80


@dataclass(frozen=True)
class Invitation:
    """What is kept of a code."""

    id: int
    note: str
    left: int  # people whom it still lets in
    expires_at: float


class Invitations:
    """Invitations of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(self, note: str, uses: int, days: float) -> str:
        """A new code; its hash is kept."""
        note = " ".join(note.split())
        try:
            require_between("uses", uses, 1, 100_000)
            require_between("days", days, 0.001, 3650)
        except ValueError as error:
            raise RefusedError(str(error)) from None
        if len(note) > LONGEST_NOTE or not all(each.isprintable() for each in note):
            raise RefusedError(f"a note has at most {LONGEST_NOTE} letters, all of them printable")
        code, now = secrets.token_urlsafe(12), time.time()
        row = InvitationRow(
            code_hash=hashed(code), note=note, created_at=now, expires_at=now + days * DAY, left=uses
        )  # fmt: skip
        with self._database.writing() as session:
            session.add(row)
        return code

    def all(self) -> list[Invitation]:
        """Those that are kept, newest first."""
        with self._database.reading() as session:
            rows = session.scalars(select(InvitationRow).order_by(InvitationRow.id.desc()).limit(100))
            return [Invitation(row.id, row.note, row.left, row.expires_at) for row in rows]

    def revoke(self, number: int) -> None:
        """Its code lets nobody in any more."""
        with self._database.writing() as session:
            session.execute(delete(InvitationRow).where(InvitationRow.id == number))
