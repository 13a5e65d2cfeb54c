"""A hub that is out of reach is said to be so at once; what is in the cache is used all the same."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from prefprior import hub


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.reachable.cache_clear()
    yield
    hub.reachable.cache_clear()


@pytest.fixture
def busy_hub() -> Iterator[str]:
    """A hub that answers every question with an error."""

    class Busy(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(503)

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_hub_that_answers_with_an_error_is_reachable(monkeypatch: pytest.MonkeyPatch, busy_hub: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", busy_hub)
    with hub.hub_or_cache():
        assert not constants.HF_HUB_OFFLINE


def test_an_unreachable_hub_gets_no_requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    with hub.hub_or_cache(), pytest.raises(LocalEntryNotFoundError):
        hf_hub_download("nobody/nothing", "model.safetensors", cache_dir=tmp_path)
    assert not constants.HF_HUB_OFFLINE, "as it was before"


def test_a_hub_that_does_not_answer_in_time_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = threading.Event()
    monkeypatch.setattr(hub, "_answers", lambda url: silence.wait())
    monkeypatch.setattr(hub, "PATIENCE", 0.05)
    assert not hub.reachable()
    silence.set()
