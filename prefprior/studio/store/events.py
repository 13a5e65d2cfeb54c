"""Events of platforms: kept a batch at a time, whole or not at all, and exported as the log that `source=events`
reads."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from prefprior.studio.store.database import Database
from prefprior.studio.store.impressions import ConflictError
from prefprior.studio.store.people import first_profiles
from prefprior.studio.store.tables import Base, BatchRow, EventRow, PersonRow, ProfileRow
from prefprior.studio.store.tokens import DAY
from prefprior.studio.store.training import user_name

SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("item", pa.string()),
        ("event", pa.string()),
        ("time", pa.float64()),
        ("dwell", pa.float64()),
        ("page", pa.string()),
    ]
)
ROWS_AT_ONCE = 50_000
KEY_SECONDS = DAY  # that a key is remembered
TRIES = 3  # of a batch whose people are asked for the first time, or deleted, at the same moment
_ADD = insert(Base.metadata.tables["events"])  # by table: objects that nobody asks for are not made


@dataclass(frozen=True)
class Event:
    """What a platform's person did with an item."""

    user: str
    item: str
    event: str
    time: float
    dwell: float | None = None
    page: str | None = None


@dataclass(frozen=True)
class Key:
    """By what a batch is known again."""

    name: str
    sha256: str  # of what came with it


@dataclass(frozen=True)
class Receipt:
    """What became of a batch."""

    kept: int
    unknown: int  # events of items that are not in the catalogue
    new: bool = True  # False where the same batch was sent before


class Events:
    """Events of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._one_batch = threading.Lock()  # two at once would make the same people, and one of them begin again

    def take(
        self, platform: str, batch: Sequence[Event], items: frozenset[str], key: Key | None = None
    ) -> Receipt:  # fmt: skip
        """Keeps the events of these items; a batch whose key was used before is not kept again."""
        for _ in range(TRIES):
            try:
                with self._one_batch, self._database.writing() as session:
                    return self._taken(session, platform, batch, items, key)
            except IntegrityError:  # somebody was made or deleted at the same moment
                continue
        raise ConflictError("these people are made and deleted at this moment: send the batch again")

    def expire(self) -> None:
        """Forgets keys that are no longer to be known again."""
        with self._database.reading() as session:
            if session.scalars(select(BatchRow.platform).where(_old(time.time())).limit(1)).first() is None:
                return
        with self._database.writing() as session:
            session.execute(delete(BatchRow).where(_old(time.time())))

    def _taken(
        self, session: Session, platform: str, batch: Sequence[Event], items: frozenset[str], key: Key | None
    ) -> Receipt:  # fmt: skip
        now = time.time()
        if key is not None:
            session.execute(delete(BatchRow).where(_old(now)))
            found = session.get(BatchRow, (platform, key.name))
            if found is not None:
                if found.sha256 != key.sha256:
                    raise ConflictError("this key was used for another batch: use a new one")
                return Receipt(found.kept, found.unknown, new=False)
        known = [event for event in batch if event.item in items]
        receipt = Receipt(len(known), len(batch) - len(known))
        if known:
            profiles = first_profiles(session, platform, (event.user for event in known))
            rows = [
                {
                    "profile_id": profiles[each.user], "item": each.item, "event": each.event, "time": each.time,
                    "dwell": each.dwell, "page": each.page,
                }
                for each in known
            ]  # fmt: skip
            session.execute(_ADD, rows)
        if key is not None:
            session.add(
                BatchRow(
                    platform=platform, request_key=key.name, sha256=key.sha256, kept=receipt.kept,
                    unknown=receipt.unknown, taken_at=now,
                )
            )  # fmt: skip
        return receipt


def _old(now: float) -> ColumnElement[bool]:
    return BatchRow.taken_at < now - KEY_SECONDS


def events_as_parquet(database: Database, platform: str | None = None) -> IO[bytes]:
    """A file without a name, of all events or those of one platform's people; users are called as in the export of
    answers."""
    out = TemporaryFile()  # noqa: SIM115 (whoever asked for it closes it)
    with database.reading() as session, pq.ParquetWriter(out, SCHEMA) as writer:
        for columns in _parts(session, platform):
            writer.write_table(pa.table(columns, schema=SCHEMA))
    out.seek(0)
    return out


def _parts(session: Session, platform: str | None) -> Iterator[dict[str, list[object]]]:
    last = 0
    while True:
        wanted = (
            select(
                EventRow.id, EventRow.profile_id, PersonRow.public_id, EventRow.item, EventRow.event, EventRow.time,
                EventRow.dwell, EventRow.page,
            )
            .join(ProfileRow, ProfileRow.id == EventRow.profile_id)
            .join(PersonRow, PersonRow.id == ProfileRow.person_id)
            .where(EventRow.id > last)
            .order_by(EventRow.id)
            .limit(ROWS_AT_ONCE)
        )  # fmt: skip
        if platform is not None:
            wanted = wanted.where(PersonRow.platform == platform)
        rows = session.execute(wanted).all()
        if not rows:
            return
        last = rows[-1].id
        yield {
            "user": [user_name(row.public_id, row.profile_id) for row in rows],
            **{name: [getattr(row, name) for row in rows] for name in SCHEMA.names[1:]},
        }
