"""Keys of platforms to the API: shown once, kept as hashes, with scopes and an end."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select

from prefprior.errors import require_between, require_choice
from prefprior.studio.store.database import Database
from prefprior.studio.store.people import hashed
from prefprior.studio.store.tables import TokenRow

# ask: questions, answers and events; read: pictures and rankings; export: the platform's own people; everyone: all
# people; admin: the page of whoever runs the studio.
SCOPES = ("ask", "read", "export", "everyone", "admin")
DAY = 86_400.0


@dataclass(frozen=True)
class Token:
    """Whose key it is, and what it opens."""

    id: int
    platform: str
    scopes: frozenset[str]
    expires_at: float


class Tokens:
    """Tokens of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(self, platform: str, scopes: Sequence[str], days: float) -> str:
        """A new token."""
        if not platform.isascii() or not platform.replace("-", "").isalnum() or len(platform) > 64:
            raise ValueError(f"a platform's name has 1 to 64 letters, digits and hyphens, got {platform!r}")
        if not scopes:
            raise ValueError(f"a token without scopes opens nothing: choose among {', '.join(SCOPES)}")
        for scope in scopes:
            require_choice("a scope", scope, SCOPES)
        require_between("days", days, 0.001, 3650)
        token, now = f"pp_{secrets.token_urlsafe(32)}", time.time()
        row = TokenRow(
            token_hash=hashed(token), platform=platform, scopes=sorted(set(scopes)), created_at=now,
            expires_at=now + days * DAY,
        )  # fmt: skip
        with self._database.writing() as session:
            session.add(row)
        return token

    def find(self, token: str) -> Token | None:
        """What a token opens; None where it is unknown or has expired."""
        with self._database.reading() as session:
            row = session.scalars(select(TokenRow).where(TokenRow.token_hash == hashed(token))).first()
        if row is None or row.expires_at <= time.time():
            return None
        return Token(row.id, row.platform, frozenset(row.scopes), row.expires_at)

    def revoke(self, platform: str) -> int:
        """Deletes all tokens of a platform; returns how many there were."""
        with self._database.writing() as session:
            gone = session.scalars(select(TokenRow.id).where(TokenRow.platform == platform)).all()
            session.execute(delete(TokenRow).where(TokenRow.platform == platform))
        return len(gone)
