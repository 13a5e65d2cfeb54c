"""How broken inputs are checked: a ValueError for people, which names file, place and remedy."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.broken.case import READER, Case, Refused


@pytest.fixture
def refused(record_property: Callable[[str, object], None]) -> Refused:
    def check(case: Case, reader: str, read: Callable[[], Any]) -> None:
        record_property(READER, reader)
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared below)
            read()
        message = str(caught.value)
        # One of a library (UnicodeDecodeError, ArrowInvalid) knows neither file nor remedy.
        assert type(caught.value) is ValueError or type(caught.value).__module__.startswith("prefprior."), message
        assert [part for part in case.says if part not in message] == [], message
        assert all(line.isprintable() for line in message.split("\n")), repr(message)
        assert len(message) < 1500, message

    return check
