"""Limits count clients by address."""

import pytest
from starlette.requests import Request

from prefprior.studio.web.limits import Bucket, client_of


def request_from(host: str) -> Request:
    return Request({"type": "http", "headers": [], "client": (host, 1)})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("testclient", "testclient", True),
    ],
)
def test_a_client_is_an_address_or_a_64_of_ipv6(one: str, other: str, same: bool) -> None:
    assert (client_of(request_from(one)) == client_of(request_from(other))) == same


def test_a_request_without_an_address_is_somebody() -> None:
    assert client_of(Request({"type": "http", "headers": [], "client": None})) == ""


def test_a_bucket_fills_up_again() -> None:
    now = [0.0]
    bucket = Bucket(60, clock=lambda: now[0])
    assert [bucket.wait("a") for _ in range(20)] == [0.0] * 20
    assert bucket.wait("a") == pytest.approx(1)
    assert bucket.wait("b") == 0
    now[0] = 1.0
    assert bucket.wait("a") == 0
