"""One wording for a value that is not among the allowed ones, with the nearest allowed one."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(given: str, known: Iterable[str]) -> str:
    """ "; did you mean x?" for the closest known word, or nothing."""
    close = get_close_matches(str(given), [str(word) for word in known], n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def require_choice(what: str, given: str, allowed: Iterable[str]) -> str:
    """Returns `given` if it is allowed; otherwise says what is, and what was probably meant."""
    allowed = list(allowed)
    if given not in allowed:
        raise ValueError(f"{what} is {given!r}; it must be one of {', '.join(allowed)}{nearest(given, allowed)}")
    return given
