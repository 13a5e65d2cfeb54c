"""Answers as training data, a row for each item that was shown: for `source=app`, and as a file for `source=table`."""

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select
from sqlalchemy.orm import Session

from prefprior.studio.store.database import Database
from prefprior.studio.store.tables import AnswerRow, PersonRow, ProfileRow, QuestionRow

SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("item", pa.string()),
        ("rating", pa.float64()),
        ("question", pa.string()),
        ("picked", pa.int8()),
        ("time", pa.float64()),
        ("propensity", pa.float64()),
    ]
)
QUESTIONS_AT_ONCE = 2000
PERSON = "person"  # the column of answers that says whose user it is


def user_name(public_id: str, profile: int) -> str:
    """What an export calls a profile: a user of its own, since its taste is one."""
    return f"{public_id}-{profile}"


def answers_as_parquet(database: Database, platform: str | None = None) -> IO[bytes]:
    """A file without a name, of all answers or those of one platform's people.

    A rating has `rating`; the items of a choice have `question` and `picked`. `propensity` is the probability with
    which the item was shown.
    """
    out = TemporaryFile()  # noqa: SIM115 (whoever asked for it closes it)
    with database.reading() as session, pq.ParquetWriter(out, SCHEMA) as writer:
        for columns in answered(session, platform):
            del columns[PERSON]
            writer.write_table(pa.table(columns, schema=SCHEMA))
    out.seek(0)
    return out


def answered(session: Session, platform: str | None = None) -> Iterator[dict[str, list[Any]]]:
    """The columns of `SCHEMA`, and `PERSON`, of some questions at a time."""
    last = 0
    while True:
        wanted = (
            select(QuestionRow, PersonRow.public_id, AnswerRow.answered_at)
            .join(AnswerRow)
            .join(ProfileRow, ProfileRow.id == QuestionRow.profile_id)
            .join(PersonRow, PersonRow.id == ProfileRow.person_id)
            .where(QuestionRow.id > last)
            .order_by(QuestionRow.id)
            .limit(QUESTIONS_AT_ONCE)
        )
        if platform is not None:
            wanted = wanted.where(PersonRow.platform == platform)
        columns: dict[str, list[Any]] = {name: [] for name in (*SCHEMA.names, PERSON)}
        for question, public_id, answered_at in session.execute(wanted):
            last = question.id
            answer = question.answer
            assert answer is not None
            for shown in question.shown:
                rated = answer.rating is not None
                row = {
                    "user": user_name(public_id, question.profile_id), "item": shown.item, "rating": answer.rating,
                    "question": None if rated else str(question.id),
                    "picked": None if rated else int(shown.place in answer.picked),
                    "time": answered_at, "propensity": shown.propensity, PERSON: public_id,
                }  # fmt: skip
                for name, value in row.items():
                    columns[name].append(value)
        if not columns["user"]:
            return
        yield columns
        session.expunge_all()
