"""What nobody is told of what was asked or made in a study, so that nobody knows their arm."""

from typing import Any


def blinded(study: int | None, **told: Any) -> dict[str, Any]:
    """What would tell the arm: as it is outside a study, and empty in one."""
    return {name: value if study is None else None for name, value in told.items()}
