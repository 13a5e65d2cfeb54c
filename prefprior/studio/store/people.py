"""People and their profiles: made, found by what they show, exported in full and deleted in full."""

import hashlib
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, union, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from prefprior.studio.store.database import Database
from prefprior.studio.store.tables import (
    MADE,
    AlbumRow,
    EventRow,
    InvitationRow,
    MadeRow,
    PersonRow,
    ProfileRow,
    QuestionRow,
    ReportRow,
    TasteRow,
    TriedRow,
)
from prefprior.studio.store.takeaway import all_of

FIRST_PROFILE = "My taste"
MOST_PROFILES = 20
LONGEST_NAME = 40


class RefusedError(ValueError):
    """What a person asked for cannot be, for a reason that they are told."""


class UninvitedError(RefusedError):
    """Nobody is let in by this code."""


@dataclass(frozen=True)
class Profile:
    """One taste of a person."""

    id: int
    person_id: int
    name: str
    seed: int
    shared: bool = False  # whether a code lets others mix it with theirs
    findable: bool = False  # by people with a like taste


@dataclass(frozen=True)
class Person:
    """A person, with at least one profile."""

    id: int
    public_id: str
    profiles: tuple[Profile, ...]

    def profile(self, number: int | None) -> Profile:
        """The profile of that number; the first where the person has none such."""
        return next((profile for profile in self.profiles if profile.id == number), self.profiles[0])


def hashed(token: str) -> str:
    """What is kept of a cookie or a token. It has 256 random bits, so that a plain hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def require_name(name: str) -> str:
    """A name for a profile, or `RefusedError`."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise RefusedError(f"a profile's name has 1 to {LONGEST_NAME} letters, all of them printable")
    return name


class People:
    """People of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def arrive(self, invitation: str | None = None) -> tuple[Person, str]:
        """A new visitor, and the token for their cookie, which is not kept. The code of an invitation counts as used
        where it has let somebody in."""
        token = secrets.token_urlsafe(32)
        with self._database.writing() as session:
            if invitation is not None and not _take_invitation(session, invitation):
                raise UninvitedError("a code of an invitation is needed, and this one lets nobody in")
            row = _new(cookie_hash=hashed(token))
            session.add(row)
            session.flush()
            return _person(row), token

    def of_cookie(self, token: str) -> Person | None:
        """Whose cookie it is."""
        with self._database.reading() as session:
            return _found(session, PersonRow.cookie_hash == hashed(token))

    def of_platform(self, platform: str, external_id: str, *, make: bool) -> Person | None:
        """A platform's person; one it names for the first time is made, if that is asked for."""
        mine = (PersonRow.platform == platform) & (PersonRow.external_id == external_id)
        with self._database.reading() as session:
            found = _found(session, mine)
        if found is not None or not make:
            return found
        try:
            with self._database.writing() as session:
                row = _new(platform=platform, external_id=external_id)
                session.add(row)
                session.flush()
                return _person(row)
        except IntegrityError:  # made at the same moment by another request
            with self._database.reading() as session:
                return _found(session, mine)

    def add_profile(self, person: Person, name: str) -> Profile:
        """A further profile."""
        name = require_name(name)
        with self._database.writing() as session:
            _require_there(session, person.id)
            held = session.scalars(select(ProfileRow).where(ProfileRow.person_id == person.id)).all()
            if any(row.name == name for row in held):
                raise RefusedError(f"there is a profile {name} already: choose another name")
            if len(held) >= MOST_PROFILES:
                raise RefusedError(f"a person has at most {MOST_PROFILES} profiles: delete one first")
            row = _profile_row(name)
            row.person_id = person.id
            session.add(row)
            session.flush()
            return profile_in(row)

    def delete_profile(self, profile: Profile) -> list[str]:
        """A profile with its questions, answers and pictures; the last one of a person is replaced by an empty one.
        Returns the names of made pictures that this, as all deletions here, lets go."""
        with self._database.writing() as session:
            _require_there(session, profile.person_id)
            let_go = _pictures_of(session, ProfileRow.id == profile.id)
            session.execute(delete(ProfileRow).where(ProfileRow.id == profile.id))
            left = session.scalars(select(ProfileRow.id).where(ProfileRow.person_id == profile.person_id)).first()
            if left is None:
                row = _profile_row(FIRST_PROFILE)
                row.person_id = profile.person_id
                session.add(row)
        self._database.forget()
        return let_go

    def share(self, profile: Profile) -> str:
        """A code with which others may mix the profile's taste with theirs; an earlier one ends."""
        code = secrets.token_urlsafe(12)
        with self._database.writing() as session:
            row = session.get(ProfileRow, profile.id)
            if row is None:
                raise RefusedError("this profile was deleted")
            row.share_hash = hashed(code)
        return code

    def unshare(self, profile: Profile) -> list[str]:
        """The code ends, and with it what others have mixed."""
        with self._database.writing() as session:
            let_go = _pictures_of(session, ProfileRow.id == profile.id)
            row = session.get(ProfileRow, profile.id, with_for_update=True)
            if row is not None:
                row.share_hash, row.findable = None, False
                session.execute(delete(TasteRow).where(TasteRow.profile_id == row.id))
                mine = select(ProfileRow.id).where(ProfileRow.person_id == row.person_id)
                session.execute(
                    delete(AlbumRow).where(AlbumRow.mixed_with == row.id, AlbumRow.profile_id.not_in(mine))
                )  # fmt: skip
        self._database.forget()
        return let_go

    def of_code(self, code: str) -> Profile | None:
        """The profile that a code shares."""
        with self._database.reading() as session:
            row = session.scalars(select(ProfileRow).where(ProfileRow.share_hash == hashed(code.strip()))).first()
            return None if row is None else profile_in(row)

    def start_over(self, profile: Profile) -> list[str]:
        """Deletes all that a profile was asked, answered, did and reported, what was made of it, and its code for
        others; what follows is drawn anew."""
        with self._database.writing() as session:
            let_go = _pictures_of(session, ProfileRow.id == profile.id)
            row = session.get(ProfileRow, profile.id, with_for_update=True)
            if row is not None:
                row.seed, row.share_hash, row.findable = _seed(), None, False
            for table in (QuestionRow, EventRow, ReportRow, AlbumRow, TasteRow, TriedRow):
                session.execute(delete(table).where(table.profile_id == profile.id))
            session.execute(delete(AlbumRow).where(AlbumRow.mixed_with == profile.id))
        self._database.forget()
        return let_go

    def delete(self, person: Person) -> list[str]:
        """A person, with all that is kept of them."""
        with self._database.writing() as session:
            let_go = _pictures_of(session, ProfileRow.person_id == person.id)
            session.execute(delete(PersonRow).where(PersonRow.id == person.id))
        self._database.forget()
        return let_go

    def everything(self, person: Person) -> dict[str, Any]:
        """All that is kept of a person, for them to take away; what would tell their arm of a study is left empty."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(ProfileRow).where(ProfileRow.person_id == person.id).order_by(ProfileRow.id)
            ).all()
            row = session.get_one(PersonRow, person.id)
            return {
                "person": row.public_id, "created_at": row.created_at, "platform": row.platform,
                "external_id": row.external_id, "profiles": [all_of(session, each) for each in rows],
            }  # fmt: skip


def _pictures_of(session: Session, whose: ColumnElement[bool]) -> list[str]:
    """Names of the pictures made for profiles, mixed with them, or reported by them. The profiles are locked: no more
    come."""
    profiles = session.scalars(select(ProfileRow.id).where(whose).order_by(ProfileRow.id).with_for_update()).all()
    of_albums = (AlbumRow.profile_id == MadeRow.profile_id) & (AlbumRow.kind == MadeRow.kind)
    mine = AlbumRow.profile_id.in_(profiles) | AlbumRow.mixed_with.in_(profiles)
    made = select(MadeRow.sha256).join(AlbumRow, of_albums).where(mine)
    reported = select(ReportRow.name).where(ReportRow.kind == MADE, ReportRow.profile_id.in_(profiles))
    return list(session.scalars(union(made, reported)))


def first_profiles(session: Session, platform: str, names: Iterable[str]) -> dict[str, int]:
    """The numbers of the first profiles of a platform's people; those that it names for the first time are made."""
    wanted = sorted(set(names))
    rows = session.execute(
        select(PersonRow.external_id, func.min(ProfileRow.id))
        .join(ProfileRow, ProfileRow.person_id == PersonRow.id)
        .where(PersonRow.platform == platform, PersonRow.external_id.in_(wanted))
        .group_by(PersonRow.external_id)
    )
    found = {str(name): number for name, number in rows}
    made = {name: _new(platform=platform, external_id=name) for name in wanted if name not in found}
    session.add_all(made.values())
    session.flush()
    return found | {name: row.profiles[0].id for name, row in made.items()}


def _new(cookie_hash: str | None = None, platform: str | None = None, external_id: str | None = None) -> PersonRow:
    return PersonRow(
        public_id=secrets.token_hex(16), cookie_hash=cookie_hash, platform=platform, external_id=external_id,
        created_at=time.time(), profiles=[_profile_row(FIRST_PROFILE)],
    )  # fmt: skip


def _profile_row(name: str) -> ProfileRow:
    return ProfileRow(name=name, seed=_seed(), created_at=time.time())


def _seed() -> int:
    return secrets.randbits(62)


def _require_there(session: Session, person: int) -> None:
    """Locks a person's row, so that two requests about their profiles come one after the other."""
    if session.scalars(select(PersonRow.id).where(PersonRow.id == person).with_for_update()).first() is None:
        raise RefusedError("all that was kept of you was deleted")


def _found(session: Session, whose: Any) -> Person | None:
    rows = session.execute(
        select(PersonRow.id, PersonRow.public_id, ProfileRow)
        .join(ProfileRow, ProfileRow.person_id == PersonRow.id)
        .where(whose)
        .order_by(ProfileRow.id)
    ).all()
    if not rows:
        return None
    return Person(rows[0][0], rows[0][1], tuple(profile_in(row) for _, _, row in rows))


def _person(row: PersonRow) -> Person:
    return Person(row.id, row.public_id, tuple(profile_in(each) for each in row.profiles))


def profile_in(row: ProfileRow) -> Profile:
    """What a row says."""
    return Profile(row.id, row.person_id, row.name, row.seed, row.share_hash is not None, row.findable)


def _take_invitation(session: Session, code: str) -> bool:
    """Whether a code lets somebody in; counted where it does."""
    named = InvitationRow.code_hash == hashed(code.strip())
    valid = (named, InvitationRow.left > 0, InvitationRow.expires_at > time.time())
    taken = update(InvitationRow).where(*valid).values(left=InvitationRow.left - 1).returning(InvitationRow.id)
    return session.scalars(taken).first() is not None
