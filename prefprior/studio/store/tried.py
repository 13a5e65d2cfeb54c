"""Strips that people have seen in a study, and which of their pictures they like."""

import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from prefprior.studio.store.albums import Album
from prefprior.studio.store.database import Database
from prefprior.studio.store.people import Profile
from prefprior.studio.store.studies import Study
from prefprior.studio.store.tables import ProfileRow, TriedRow


@dataclass(frozen=True)
class Tried:
    """A strip as a page shows it."""

    strip: int  # what likes are sent for: it tells nothing of who made what
    liked: frozenset[int]  # places


class Tries:
    """Of one database. What was seen stays when another strip takes its place, once for each state of the answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def show(self, study: Study, profile: Profile, album: Album, hidden: AbstractSet[str]) -> Tried:
        """A page shows a strip now, without the pictures that are `hidden`: the others count as seen."""
        strip = study.drawn("strip", album.seed)
        seen = {place for place, each in enumerate(album.pictures) if each.name not in hidden}
        with self._database.reading() as session:
            known = _known(session, profile, strip)
        if seen - known.keys():
            with self._database.writing() as session:
                row = session.get(ProfileRow, profile.id, with_for_update=True)
                if row is not None and row.seed == profile.seed:
                    known = _known(session, profile, strip)
                    session.add_all(_row(profile, album, strip, place) for place in sorted(seen - known.keys()))
        return Tried(strip, frozenset(place for place, liked_at in known.items() if liked_at is not None))

    def like(self, profile: Profile, strip: int, place: int, *, liked: bool) -> bool:
        """Keeps whether a picture that was seen is liked; False where there is none such."""
        which = (TriedRow.profile_id == profile.id, TriedRow.strip == strip, TriedRow.place == place)
        with self._database.writing() as session:
            if place not in _known(session, profile, strip):  # it may be a number that the column cannot hold
                return False
            session.execute(update(TriedRow).where(*which).values(liked_at=time.time() if liked else None))
            return True


def _known(session: Session, profile: Profile, strip: int) -> dict[int, float | None]:
    """The places that were seen, and when they were liked."""
    wanted = select(TriedRow.place, TriedRow.liked_at)
    rows = session.execute(wanted.where(TriedRow.profile_id == profile.id, TriedRow.strip == strip))
    return {row.place: row.liked_at for row in rows}


def _row(profile: Profile, album: Album, strip: int, place: int) -> TriedRow:
    picture = album.pictures[place]
    assert picture.arm is not None
    return TriedRow(
        profile_id=profile.id, strip=strip, place=place, study=picture.arm.study, arm=picture.arm.place,
        name=picture.name, shown_at=time.time(),
    )  # fmt: skip
