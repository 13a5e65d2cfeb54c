"""What nobody is told of what was asked or made in a study, so that nobody knows their arm."""


def blinded(study: int | None, **told: str) -> dict[str, str | None]:
    """What would tell the arm: as it is outside a study, and empty in one."""
    return {name: value if study is None else None for name, value in told.items()}
