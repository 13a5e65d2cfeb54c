"""Profiles whose owners want to be found by people with a like taste, and what is compared of them."""

import time
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from prefprior.studio.store.database import Database
from prefprior.studio.store.people import Profile, RefusedError, profile_in
from prefprior.studio.store.tables import ProfileRow, TasteRow

MOST_COMPARED = 1000  # profiles, those whose taste was read last


@dataclass(frozen=True)
class Taste:
    """What a model expects a profile to think of some items of its pool: float16, little-endian, mean 0 and norm 1."""

    reader: str  # which model and which items: only tastes of one reader can be compared
    state: str  # of the answers it is read from
    utilities: bytes


@dataclass(frozen=True)
class Other:
    """Somebody else who wants to be found."""

    profile: int
    taste: Taste


class Tastes:
    """Tastes of one database; a profile has one only while it is shared and may be found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def let_find(self, profile: Profile) -> None:
        """Others who may be found can find this profile."""
        with self._database.writing() as session:
            row = session.get(ProfileRow, profile.id, with_for_update=True)
            if row is None or row.share_hash is None:
                raise RefusedError("only a profile that is shared can be found: share it first")
            row.findable = True

    def hide(self, profile: Profile) -> None:
        """Nobody finds it any more."""
        with self._database.writing() as session:
            row = session.get(ProfileRow, profile.id, with_for_update=True)
            if row is not None:
                row.findable = False
            session.execute(delete(TasteRow).where(TasteRow.profile_id == profile.id))
        self._database.forget()

    def drop(self, profile: Profile) -> None:
        """The last one that was kept is no longer compared."""
        with self._database.writing() as session:
            session.execute(delete(TasteRow).where(TasteRow.profile_id == profile.id))
        self._database.forget()

    def keep(self, profile: Profile, taste: Taste) -> None:
        """In the place of the one before; nothing where the profile is gone, has started over or may not be found."""
        with self._database.writing() as session:
            row = session.get(ProfileRow, profile.id, with_for_update=True)
            if row is None or row.seed != profile.seed or not row.findable:
                return
            session.merge(
                TasteRow(
                    profile_id=profile.id, reader=taste.reader, state=taste.state, utilities=taste.utilities,
                    read_at=time.time(),
                )
            )  # fmt: skip

    def of(self, profile: Profile) -> Taste | None:
        """The last one that was kept."""
        with self._database.reading() as session:
            row = session.get(TasteRow, profile.id)
            return None if row is None else _taste(row)

    def others(self, profile: Profile, reader: str) -> list[Other]:
        """Those of other people, read last first; no more than `MOST_COMPARED`."""
        wanted = (
            select(TasteRow)
            .join(ProfileRow, ProfileRow.id == TasteRow.profile_id)
            .where(TasteRow.reader == reader, ProfileRow.person_id != profile.person_id, *_FOUND)
            .order_by(TasteRow.read_at.desc(), TasteRow.profile_id)
            .limit(MOST_COMPARED)
        )
        with self._database.reading() as session:
            return [Other(row.profile_id, _taste(row)) for row in session.scalars(wanted)]

    def found(self, profile: Profile, number: int, reader: str) -> Profile | None:
        """A profile that another one may mix with: both may be found, and have a taste of this reader."""
        with self._database.reading() as session:
            if _row(session, profile.id, reader) is None:
                return None
            row = _row(session, number, reader)
            return None if row is None else profile_in(row)


_FOUND = (ProfileRow.findable, ProfileRow.share_hash.is_not(None))


def _row(session: Session, number: int, reader: str) -> ProfileRow | None:
    wanted = select(ProfileRow).join(TasteRow, TasteRow.profile_id == ProfileRow.id)
    return session.scalars(wanted.where(ProfileRow.id == number, TasteRow.reader == reader, *_FOUND)).first()


def _taste(row: TasteRow) -> Taste:
    return Taste(row.reader, row.state, row.utilities)
