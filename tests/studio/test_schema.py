"""Requests made from the API's schema, right and wrong ones: no answer is 5xx, and each is as the schema says."""

import json
from collections import Counter
from contextlib import suppress

import hypothesis
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import strategies
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import ignored_auth, positive_data_acceptance
from schemathesis.generation import GenerationMode

from prefprior.studio.service import Studio
from prefprior.studio.web.app import create_app
from tests.studio.small import MANY

QUICK = hypothesis.settings(
    max_examples=20, derandomize=True, database=None, deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip
# Our client sends the token; tests of their own are about tokens, and about answers that do not fit their question.
ELSEWHERE = [ignored_auth, positive_data_acceptance]
CONFIG = schemathesis.Config.from_dict({"generation": {"with-security-parameters": False}})


@schemathesis.serializer("application/x-ndjson")
def lines(_: schemathesis.SerializationContext, value: object) -> bytes:
    """A list as lines of JSON; anything else is a line."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in (value if isinstance(value, list) else [value]))


@pytest.fixture
def shop(studio: Studio) -> TestClient:
    token = studio.tokens.issue("shop", ["ask", "read", "export"], 1)
    client = TestClient(create_app(studio, rates=MANY), raise_server_exceptions=False)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def sent(shop: TestClient, mode: GenerationMode) -> Counter[tuple[str, int]]:
    """Sends requests of each operation; how often each answered with which status."""
    schema = schemathesis.openapi.from_dict(shop.get("/v1/openapi.json").json(), config=CONFIG)
    statuses = Counter[tuple[str, int]]()
    for found in schema.get_all_operations():
        operation = found.ok()

        @QUICK
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode), known=strategies.booleans())
        def each(case: schemathesis.Case, known: bool) -> None:
            if known and mode is GenerationMode.POSITIVE:
                _about_somebody(case, shop)
            response = shop.request(**case.as_transport_kwargs(base_url=str(shop.base_url)))
            statuses[case.operation.label, response.status_code] += 1
            case.validate_response(response, excluded_checks=ELSEWHERE)

        with suppress(Unsatisfiable):  # nothing that is sent to it can be wrong
            each()
    return statuses


def test_right_requests_are_answered_as_the_schema_says(shop: TestClient) -> None:
    statuses = sent(shop, GenerationMode.POSITIVE)
    done = {operation for operation, status in statuses if status < 300}
    assert done == {operation for operation, _ in statuses} - {"GET /v1/people/{person_id}/pictures/{name}"}


def test_wrong_requests_are_refused_as_the_schema_says(shop: TestClient) -> None:
    statuses = sent(shop, GenerationMode.NEGATIVE)
    assert len({operation for operation, status in statuses if 400 <= status < 500}) >= 7


def _about_somebody(case: schemathesis.Case, shop: TestClient) -> None:
    """Names a person who was asked something, and their question."""
    asked = shop.post("/v1/people/ann/questions", json={}).json()
    if "person_id" in case.path_parameters:
        case.path_parameters["person_id"] = "ann"
    if isinstance(case.body, dict) and "question" in case.body:
        case.body["question"] = asked["question"]
    if "question" in case.path_parameters:
        shop.post("/v1/people/ann/answers", json={"question": asked["question"], "picked": []})
        case.path_parameters["question"] = asked["question"]
    if "item" in case.path_parameters:
        case.path_parameters["item"] = asked["items"][0]
