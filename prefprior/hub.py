"""The Hugging Face hub, where it can be reached; the files that are already here, where it cannot."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from huggingface_hub import constants

PATIENCE = 8.0  # seconds; a name server that does not answer keeps one waiting longer than any connection


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Within it, a hub that is out of reach is asked for nothing: files in its cache serve, others are missing at once.

    Left to itself a download tries again for half a minute, and one model asks for a dozen files.
    """
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not reachable()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@cache
def reachable() -> bool:
    """Whether the hub answers, whatever it says; a process asks once."""
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(_answers(constants.ENDPOINT)), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return any(answers)


def _answers(url: str) -> bool:
    try:
        with urlopen(Request(url, method="HEAD"), timeout=PATIENCE):
            return True
    except HTTPError:
        return True
    except URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # a matter of certificates, of which the download will tell more
    except OSError:
        return False
