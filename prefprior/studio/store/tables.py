"""The tables of the studio's database.

Times are seconds since 1970 (UTC), as `source=table` reads them.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# SQLite numbers rows by itself in a column of the type INTEGER only.
Number = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """All tables."""


class PersonRow(Base):
    """A visitor with a cookie, or a person of a platform."""

    __tablename__ = "people"
    # Numbers of deleted rows are not given to others.
    __table_args__ = (UniqueConstraint("platform", "external_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True)  # at random: what an export calls them
    cookie_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    platform: Mapped[str | None] = mapped_column(String(64))
    external_id: Mapped[str | None] = mapped_column(String(128))  # what the platform calls them
    created_at: Mapped[float] = mapped_column(Double)

    profiles: Mapped[list["ProfileRow"]] = relationship(
        back_populates="person", cascade="all, delete-orphan", passive_deletes=True, order_by="ProfileRow.id"
    )


class ProfileRow(Base):
    """One of the tastes of a person: for work, for home."""

    __tablename__ = "profiles"
    __table_args__ = (
        UniqueConstraint("person_id", "name"),
        Index("ix_profiles_share_hash", "share_hash", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(40))
    seed: Mapped[int] = mapped_column(BigInteger)  # of all that is drawn for it
    share_hash: Mapped[str | None] = mapped_column(String(64))  # of the code with which others may mix it with theirs
    findable: Mapped[bool] = mapped_column(default=False, server_default=false())  # by people with a like taste
    created_at: Mapped[float] = mapped_column(Double)

    person: Mapped[PersonRow] = relationship(back_populates="profiles")


class TasteRow(Base):
    """What is compared of a profile that may be found."""

    __tablename__ = "tastes"
    __table_args__ = (Index("ix_tastes_reader_read_at", "reader", "read_at"),)

    profile_id: Mapped[int] = mapped_column(
        ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    reader: Mapped[str] = mapped_column(String(64))  # a hash of the model and the items
    state: Mapped[str] = mapped_column(String(64))  # a hash of the answers
    utilities: Mapped[bytes] = mapped_column(LargeBinary)  # float16, little-endian
    read_at: Mapped[float] = mapped_column(Double)


class QuestionRow(Base):
    """A question that was shown: an impression."""

    __tablename__ = "questions"
    __table_args__ = (
        UniqueConstraint("profile_id", "request_key"),
        Index("ix_questions_profile_id_id", "profile_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    profile_id: Mapped[int] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"))
    page: Mapped[str] = mapped_column(String(16))  # nine, pair, rate or roam
    kind: Mapped[str] = mapped_column(String(16))  # as `Kind` writes it: 1, 2, 9+none
    policy: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64))  # SHA-256 of the checkpoint
    seed: Mapped[int] = mapped_column(BigInteger)  # of the question's draws, and of what its answer changes
    asked_at: Mapped[float] = mapped_column(Double)
    request_key: Mapped[str | None] = mapped_column(String(128))  # the Idempotency-Key of an API request
    withdrawn: Mapped[bool] = mapped_column(default=False)  # shown, but no longer waiting for an answer
    study: Mapped[int | None] = mapped_column(Integer)  # in which it was asked
    arm: Mapped[int | None] = mapped_column(Integer)  # of the study: 0 or 1

    shown: Mapped[list["ShownRow"]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="ShownRow.place", lazy="selectin"
    )
    answer: Mapped["AnswerRow | None"] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, lazy="selectin"
    )


class ShownRow(Base):
    """An item of a question."""

    __tablename__ = "shown"

    question_id: Mapped[int] = mapped_column(ForeignKey("questions.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    item: Mapped[str] = mapped_column(String(512))
    propensity: Mapped[float] = mapped_column(Double)  # of being shown in this question


class AnswerRow(Base):
    """The answer to a question; there is one at most."""

    __tablename__ = "answers"

    question_id: Mapped[int] = mapped_column(
        ForeignKey("questions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    rating: Mapped[float | None] = mapped_column(Double)  # on the source's scale
    picked: Mapped[list[int]] = mapped_column(JSON)  # places; empty: a rating, or none of these
    latency: Mapped[float | None] = mapped_column(Double)  # seconds from the question to the answer
    answered_at: Mapped[float] = mapped_column(Double)


class EventRow(Base):
    """What a person did on their platform: a row of a log for `source=events`."""

    __tablename__ = "events"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    profile_id: Mapped[int] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), index=True)
    item: Mapped[str] = mapped_column(String(512))
    event: Mapped[str] = mapped_column(String(16))  # one of `WEIGHTS`
    time: Mapped[float] = mapped_column(Double)
    dwell: Mapped[float | None] = mapped_column(Double)  # seconds
    page: Mapped[str | None] = mapped_column(String(128))  # what was shown together with the item has the same one


class BatchRow(Base):
    """A batch of events that came with a key, for as long as the key is remembered."""

    __tablename__ = "event_batches"

    platform: Mapped[str] = mapped_column(String(64), primary_key=True)
    request_key: Mapped[str] = mapped_column(String(128), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))  # of the body
    kept: Mapped[int] = mapped_column(Integer)
    unknown: Mapped[int] = mapped_column(Integer)
    taken_at: Mapped[float] = mapped_column(Double, index=True)


class TokenRow(Base):
    """A platform's key to the API; only its hash is kept."""

    __tablename__ = "tokens"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    platform: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double)


class AlbumRow(Base):
    """What was last made for a profile."""

    __tablename__ = "albums"

    profile_id: Mapped[int] = mapped_column(
        ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)  # strip or gallery
    state: Mapped[str] = mapped_column(String(64))  # a hash of the answers, the model and the wish it was made from
    answers: Mapped[int] = mapped_column(Integer)
    model: Mapped[str] = mapped_column(String(64))
    decoder: Mapped[str] = mapped_column(String(512))
    seed: Mapped[int] = mapped_column(BigInteger)
    concentration: Mapped[float] = mapped_column(Double)
    sure: Mapped[str | None] = mapped_column(String(32))  # the concentration in words
    wish: Mapped[dict[str, Any]] = mapped_column(JSON)  # what was asked for
    mixed_with: Mapped[int | None] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), index=True)
    made_at: Mapped[float] = mapped_column(Double)
    study: Mapped[int | None] = mapped_column(Integer)  # in which it was made

    pictures: Mapped[list["MadeRow"]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="MadeRow.place"
    )


class MadeRow(Base):
    """A made picture; its content is a file (`PictureFiles`)."""

    __tablename__ = "made"
    __table_args__ = (
        ForeignKeyConstraint(["profile_id", "kind"], ["albums.profile_id", "albums.kind"], ondelete="CASCADE"),
    )

    profile_id: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    content: Mapped[bytes | None] = mapped_column(LargeBinary)  # of an earlier version, until the next start
    embedding: Mapped[bytes] = mapped_column(LargeBinary)  # raw, float32, that it was made from
    why: Mapped[list[str]] = mapped_column(JSON)  # items that the profile likes and that are most like it
    arm: Mapped[int | None] = mapped_column(Integer)  # of the album's study, whose model has made it


ITEM, MADE = "item", "made"  # what can be reported and hidden: of the catalogue, by id; made, by SHA-256


class ReportRow(Base):
    """A picture that a profile has reported; the file of a made one stays, though it may be replaced meanwhile."""

    __tablename__ = "reports"
    __table_args__ = (Index("ix_reports_kind_name", "kind", "name"),)

    profile_id: Mapped[int] = mapped_column(
        ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)  # item or made
    name: Mapped[str] = mapped_column(String(512), primary_key=True)  # an id of the catalogue, or a SHA-256
    content: Mapped[bytes | None] = mapped_column(LargeBinary)  # of an earlier version, until the next start
    reported_at: Mapped[float] = mapped_column(Double)


class HiddenRow(Base):
    """A picture that is shown to nobody."""

    __tablename__ = "hidden"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(512), primary_key=True)
    hidden_at: Mapped[float] = mapped_column(Double)


class IdentityRow(Base):
    """What this database is called where several keep their files; one row."""

    __tablename__ = "identity"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)


class InvitationRow(Base):
    """A code that lets people in; only its hash is kept."""

    __tablename__ = "invitations"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    note: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double)
    left: Mapped[int] = mapped_column(Integer)  # people whom it still lets in


class StudyRow(Base):
    """A study that compares two arms, which people are dealt to."""

    __tablename__ = "studies"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    key: Mapped[str] = mapped_column(String(64))  # a secret: who is in which arm, and has made what
    arms: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  # as `Study` has them
    levels: Mapped[list[float]] = mapped_column(JSON)  # the ratings that can be given
    begun_at: Mapped[float] = mapped_column(Double)


class TriedRow(Base):
    """A picture of a strip that a page has shown in a study. It stays when another strip takes the place of its own."""

    __tablename__ = "tried"

    profile_id: Mapped[int] = mapped_column(
        ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    strip: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)  # that a page sent
    place: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    study: Mapped[int] = mapped_column(Integer)
    arm: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(String(64))  # SHA-256
    shown_at: Mapped[float] = mapped_column(Double)
    liked_at: Mapped[float | None] = mapped_column(Double)
