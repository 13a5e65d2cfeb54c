"""All that is kept of a profile, for its owner to take away."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from prefprior.studio.store.blinding import blinded
from prefprior.studio.store.tables import AlbumRow, EventRow, ProfileRow, QuestionRow, ReportRow, TasteRow, TriedRow


def all_of(session: Session, profile: ProfileRow) -> dict[str, Any]:
    """As JSON."""
    reports = session.scalars(select(ReportRow).where(ReportRow.profile_id == profile.id)).all()
    tried = session.scalars(
        select(TriedRow).where(TriedRow.profile_id == profile.id).order_by(TriedRow.shown_at, TriedRow.place)
    ).all()
    albums = session.scalars(select(AlbumRow).where(AlbumRow.profile_id == profile.id).order_by(AlbumRow.kind)).all()
    questions = session.scalars(
        select(QuestionRow).where(QuestionRow.profile_id == profile.id).order_by(QuestionRow.id)
    ).all()
    taste = session.get(TasteRow, profile.id)
    events = session.scalars(select(EventRow).where(EventRow.profile_id == profile.id).order_by(EventRow.id)).all()
    return {
        "profile": profile.id,
        "name": profile.name,
        "shared": profile.share_hash is not None,
        "findable": profile.findable,
        # Without the hashes of what it was read by and from: people of one arm of a study have the same ones.
        "taste": None if taste is None else {"utilities": taste.utilities.hex(), "read_at": taste.read_at},
        "reported": [{"kind": row.kind, "name": row.name, "reported_at": row.reported_at} for row in reports],
        "created_at": profile.created_at,
        "seed": profile.seed,
        "tried": [
            {
                "strip": row.strip, "place": row.place + 1, "sha256": row.name, "shown_at": row.shown_at,
                "liked_at": row.liked_at,
            }
            for row in tried
        ],
        "made": [
            {
                "kind": row.kind, "wish": row.wish, "made_at": row.made_at, "answers": row.answers,
                "concentration": row.concentration, "sure": row.sure,
                **blinded(row.study, model=row.model, decoder=row.decoder, state=row.state, seed=row.seed),
                "pictures": [
                    {
                        "place": each.place + 1, "sha256": each.sha256, "like": each.why,
                        "embedding": each.embedding.hex(),
                    }
                    for each in row.pictures
                ],
            }
            for row in albums
        ],
        "questions": [
            {
                "question": row.id, "page": row.page, "kind": row.kind,
                **blinded(row.study, policy=row.policy, model=row.model), "seed": row.seed,
                "asked_at": row.asked_at, "withdrawn": row.withdrawn, "request_key": row.request_key,
                "shown": [{"item": each.item, "propensity": each.propensity} for each in row.shown],
                "answer": None if row.answer is None else {
                    "rating": row.answer.rating,
                    "picked": [row.shown[place].item for place in row.answer.picked],
                    "latency": row.answer.latency, "answered_at": row.answer.answered_at,
                },
            }
            for row in questions
        ],
        "events": [
            {"item": row.item, "event": row.event, "time": row.time, "dwell": row.dwell, "page": row.page}
            for row in events
        ],
    }  # fmt: skip
