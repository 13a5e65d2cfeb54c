"""What may be an id, and which ids only look different to a computer."""

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 4096  # characters; as long as a path may be
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")  # how Python shows bytes of a file's name that are not UTF-8
# What programs write for a missing value: as an id, it would merge all unknown users into one.
NOTHING = {"nan", "NaN", "<NA>", "None", "null", "NULL"}
_ROUNDED = re.compile(r"[+-]?\d+(\.\d+)?[eE]\+\d+")  # how spreadsheets write long numbers: digits are lost
_INVISIBLE = dict.fromkeys(
    map(ord, "\u200b\u2060\ufeff\u00ad")
)  # spaces without width, a mark of byte order, a soft hyphen


def fault(value: str) -> str | None:
    """Why a text cannot be an id, or None where it can."""
    if not value.strip():
        return "it is blank"
    if value.strip() in NOTHING:
        return "it means a missing value; leave missing values empty"
    if _ROUNDED.fullmatch(value.strip()):
        return (
            "it is a rounded number, as spreadsheets write them, so several ids may have become one. Store ids as text"
        )
    if len(value) > LONGEST:
        return f"it has {len(value):,} characters, more than {LONGEST:,}"
    if _SURROGATE.search(value):
        return "it is not UTF-8"
    if found := _CONTROL.search(value):
        return f"it contains the invisible character U+{ord(found[0]):04X}"
    return None


def shown(value: str) -> str:
    """An id as a message quotes it."""
    return repr(value) if len(value) <= 60 else f"{value[:60]!r}..."


def alike(ids: Sequence[str]) -> tuple[int, int] | None:
    """The positions of two ids that differ only in surrounding spaces, invisible characters or the form of accents."""
    seen: dict[str, int] = {}
    for place, value in enumerate(ids):
        other = seen.setdefault(_for_the_eye(value), place)
        if other != place:
            return other, place
    return None


def _for_the_eye(value: str) -> str:
    if value.isascii():
        return value.strip()
    return unicodedata.normalize("NFC", value.translate(_INVISIBLE)).strip()
