"""What forms say, read or refused."""

import re

from fastapi import HTTPException
from fastapi.responses import RedirectResponse

LARGEST = 2**63 - 1
DECIMAL = re.compile(r"-?[0-9]{1,6}(\.[0-9]{1,6})?")


def number_in(text: str) -> int:
    """A whole number that a database can hold, or a refusal."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= LARGEST):
        raise HTTPException(422, "a number is missing or wrong in this form")
    return int(text)


def decimal_in(form: dict[str, str], name: str, usual: float) -> float:
    """A number of a form, `usual` where it is left out."""
    text = form.get(name, "")
    if not text:
        return usual
    if not DECIMAL.fullmatch(text):
        raise HTTPException(422, f"{name} is no number")
    return float(text)


def to_page(mode: str) -> RedirectResponse:
    """To a page of questions."""
    return RedirectResponse(f"/ask/{mode}", 303)
