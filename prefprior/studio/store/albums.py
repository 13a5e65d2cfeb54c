"""What was last made for each profile: the strip that follows its answers, and a gallery made as it wished."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sqlalchemy import delete, select
from sqlalchemy.orm import selectinload
from torch import Tensor

from prefprior.studio.store.blinding import blinded
from prefprior.studio.store.database import Database
from prefprior.studio.store.people import Person, Profile
from prefprior.studio.store.picture_files import PictureFiles
from prefprior.studio.store.studies import Arm
from prefprior.studio.store.tables import AlbumRow, MadeRow, ProfileRow

STRIP, GALLERY = "strip", "gallery"
NAME = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Picture:
    """A made picture, what it was made from, and the items that its profile likes and that are most like it."""

    name: str  # SHA-256 of the PNG
    embedding: bytes = b""  # raw, float32, little-endian
    why: tuple[str, ...] = ()
    arm: Arm | None = None  # whose model has made it

    @property
    def embedding_D(self) -> Tensor:
        """The embedding as a tensor."""
        return torch.from_numpy(np.frombuffer(self.embedding, dtype="<f4").astype(np.float32))


@dataclass(frozen=True)
class Album:
    """Pictures made for a profile; `state` says from which answers and wishes, and by which model."""

    state: str
    answers: int
    model: str
    decoder: str
    seed: int
    concentration: float
    sure: str | None  # in words; None where the model cannot tell
    pictures: tuple[Picture, ...]
    wish: Mapping[str, Any] = field(default_factory=dict)
    mixed_with: int | None = None  # the number of the other profile of a mixture
    study: int | None = None  # in which it was made

    @property
    def by_whom(self) -> dict[str, Any]:
        """The model, the decoder and the seed, as people are told them: not in a study."""
        return blinded(self.study, model=self.model, decoder=self.decoder, seed=self.seed)

    @property
    def names(self) -> list[str]:
        """Of the pictures."""
        return [picture.name for picture in self.pictures]


def is_name(text: str) -> bool:
    """Whether a text can be the name of a made picture."""
    return NAME.fullmatch(text) is not None


class Albums:
    """Albums of one database; each profile has at most one of each kind."""

    def __init__(self, database: Database, files: PictureFiles) -> None:
        self._database, self._files = database, files

    def of(self, profile: Profile, kind: str = STRIP) -> Album | None:
        """The last one."""
        with self._database.reading() as session:
            row = session.scalars(
                select(AlbumRow)
                .where(AlbumRow.profile_id == profile.id, AlbumRow.kind == kind)
                .options(selectinload(AlbumRow.pictures))
            ).first()
            if row is None:
                return None
            pictures = tuple(
                Picture(each.sha256, each.embedding, tuple(each.why), _arm(row.study, each.arm))
                for each in row.pictures
            )  # fmt: skip
            return Album(
                row.state, row.answers, row.model, row.decoder, row.seed, row.concentration, row.sure, pictures,
                row.wish, row.mixed_with, row.study,
            )  # fmt: skip

    def replace(
        self, profile: Profile, album: Album, contents: Sequence[bytes], kind: str = STRIP, other: Profile | None = None
    ) -> None:
        """Keeps an album and the `contents` of its pictures in the place of the one before; nothing where the profile,
        or the other one of a mixture, is gone, has started over or is no longer shared."""
        with self._files.held(contents) as let_go, self._database.writing() as session:
            for each in sorted([profile] if other is None else [profile, other], key=lambda each: each.id):
                row = session.get(ProfileRow, each.id, with_for_update=True)
                if row is None or row.seed != each.seed:
                    return
                if each is other and row.person_id != profile.person_id and row.share_hash is None:
                    return
            before = select(MadeRow.sha256).where(MadeRow.profile_id == profile.id, MadeRow.kind == kind)
            let_go += session.scalars(before)
            session.execute(delete(AlbumRow).where(AlbumRow.profile_id == profile.id, AlbumRow.kind == kind))
            pictures = [
                MadeRow(
                    place=place,
                    sha256=each.name,
                    embedding=each.embedding,
                    why=list(each.why),
                    arm=None if each.arm is None else each.arm.place,
                )
                for place, each in enumerate(album.pictures)
            ]
            session.add(
                AlbumRow(
                    profile_id=profile.id, kind=kind, state=album.state, answers=album.answers, model=album.model,
                    decoder=album.decoder, seed=album.seed, concentration=album.concentration, sure=album.sure,
                    wish=dict(album.wish), mixed_with=album.mixed_with, made_at=time.time(), study=album.study,
                    pictures=pictures,
                )
            )  # fmt: skip

    def picture(self, person: Person, name: str) -> Picture | None:
        """A picture that was made for one of a person's profiles."""
        if not is_name(name):
            return None
        with self._database.reading() as session:
            row = session.scalars(
                select(MadeRow)
                .join(ProfileRow, ProfileRow.id == MadeRow.profile_id)
                .where(ProfileRow.person_id == person.id, MadeRow.sha256 == name)
            ).first()
            return None if row is None else Picture(row.sha256, row.embedding, tuple(row.why))

    def all_of(self, person: Person) -> list[tuple[str, str]]:
        """Every picture of a person: its path in an export, and its name."""
        wanted = (
            select(ProfileRow.id, MadeRow.kind, MadeRow.place, MadeRow.sha256)
            .join(MadeRow, MadeRow.profile_id == ProfileRow.id)
            .where(ProfileRow.person_id == person.id)
            .order_by(ProfileRow.id, MadeRow.kind, MadeRow.place)
        )
        with self._database.reading() as session:
            rows = session.execute(wanted).all()
        return [(f"made/profile-{number}/{kind}-{place + 1}.png", name) for number, kind, place, name in rows]


def _arm(study: int | None, place: int | None) -> Arm | None:
    return None if study is None or place is None else Arm(study, place)
