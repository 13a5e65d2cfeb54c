"""Names that become folders."""

import re


def require_name(name: str) -> str:
    """Returns the name of a source if it may stand in a path."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"source.name={name!r} is not valid: a name consists of letters, digits, `.`, `_` and `-`, "
            "and begins with a letter"
        )
    return name
