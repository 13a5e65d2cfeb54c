"""What was last made for each profile: pictures, and how sure the model was."""

import hashlib
import time
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import selectinload

from prefprior.studio.store.database import Database
from prefprior.studio.store.people import Person, Profile, made_of
from prefprior.studio.store.tables import MadeRow, ProfileRow, StripRow


@dataclass(frozen=True)
class Strip:
    """Pictures made for a profile; `state` says from which answers, and by which model."""

    state: str
    answers: int
    model: str
    decoder: str
    seed: int
    concentration: float
    sure: str | None  # in words; None where the model cannot tell
    pictures: tuple[bytes, ...]  # PNG

    @property
    def names(self) -> list[str]:
        """SHA-256 of each picture."""
        return [hashlib.sha256(content).hexdigest() for content in self.pictures]


class Strips:
    """Strips of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, profile: Profile) -> Strip | None:
        """The last one."""
        with self._database.reading() as session:
            row = session.scalars(
                select(StripRow).where(StripRow.profile_id == profile.id).options(selectinload(StripRow.pictures))
            ).first()
            if row is None:
                return None
            return Strip(
                row.state, row.answers, row.model, row.decoder, row.seed, row.concentration, row.sure,
                tuple(each.content for each in row.pictures),
            )  # fmt: skip

    def replace(self, profile: Profile, strip: Strip) -> None:
        """Keeps a strip in the place of the one before; nothing where the profile is gone or has started over."""
        with self._database.writing() as session:
            row = session.get(ProfileRow, profile.id, with_for_update=True)
            if row is None or row.seed != profile.seed:
                return
            session.execute(delete(StripRow).where(StripRow.profile_id == profile.id))
            pictures = [
                MadeRow(place=place, sha256=name, content=content)
                for place, (name, content) in enumerate(zip(strip.names, strip.pictures, strict=True))
            ]
            session.add(
                StripRow(
                    profile_id=profile.id, state=strip.state, answers=strip.answers, model=strip.model,
                    decoder=strip.decoder, seed=strip.seed, concentration=strip.concentration, sure=strip.sure,
                    made_at=time.time(), pictures=pictures,
                )
            )  # fmt: skip

    def picture(self, person: Person, name: str) -> bytes | None:
        """A picture that was made for one of a person's profiles."""
        with self._database.reading() as session:
            return session.scalars(
                select(MadeRow.content)
                .join(ProfileRow, ProfileRow.id == MadeRow.profile_id)
                .where(ProfileRow.person_id == person.id, MadeRow.sha256 == name)
            ).first()

    def all_of(self, person: Person) -> list[tuple[str, int, int, bytes]]:
        """Profile, its number, place and content of every picture of a person."""
        with self._database.reading() as session:
            return made_of(session, person)
