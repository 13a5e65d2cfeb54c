"""The HTTP API: asking, answering, what is made, rankings, and an export that `source=table` reads."""

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from prefprior.data.sources.table import TableSource
from prefprior.predictor import Catalogue
from prefprior.studio.service import Studio
from prefprior.studio.web.app import Rates, create_app
from tests.studio.conftest import ON_BOTH
from tests.studio.visiting import Person

pytestmark = ON_BOTH
Visit = Callable[[], TestClient]


def platform(client: TestClient, studio: Studio, name: str, *scopes: str) -> TestClient:
    token = studio.tokens.issue(name, scopes or ("ask", "read", "export"), 1)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


@pytest.fixture
def shop(visit: Visit, studio: Studio) -> TestClient:
    return platform(visit(), studio, "shop")


def ask(client: TestClient, kind: str = "nine", person: str = "ann", **headers: str) -> dict[str, Any]:
    response = client.post(f"/v1/people/{person}/questions", json={"kind": kind}, headers=headers)
    assert response.status_code == 201, response.text
    return response.json()


def answer(client: TestClient, question: dict[str, Any], person: str = "ann", **given: Any) -> bool:
    response = client.post(f"/v1/people/{person}/answers", json={"question": question["question"]} | given)
    assert response.status_code == 200, response.text
    return response.json()["new"]


@pytest.mark.parametrize(("kind", "count"), [("nine", 9), ("pair", 2), ("rate", 1)])
def test_a_question_names_items_and_their_pictures(shop: TestClient, kind: str, count: int) -> None:
    question = ask(shop, kind)
    assert len(set(question["items"])) == count
    response = shop.get(question["pictures"][0])
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")


def test_what_waits_is_asked_again(shop: TestClient) -> None:
    assert ask(shop)["question"] == ask(shop)["question"]


def test_a_key_of_another_kind_is_refused(shop: TestClient) -> None:
    ask(shop, "pair", **{"Idempotency-Key": "a"})
    refused = shop.post("/v1/people/ann/questions", json={"kind": "nine"}, headers={"Idempotency-Key": "a"})
    assert refused.status_code == 409
    assert "another kind" in refused.json()["detail"]


def test_an_idempotency_key_gets_one_question(shop: TestClient) -> None:
    first, again, other = (ask(shop, **{"Idempotency-Key": key}) for key in ("a", "a", "b"))
    assert first == again
    assert other["question"] != first["question"]


def test_an_answer_counts_once(shop: TestClient) -> None:
    question = ask(shop)
    assert answer(shop, question, picked=question["items"][:1])
    assert not answer(shop, question, picked=question["items"][:1])
    body = {"question": question["question"], "picked": []}
    assert shop.post("/v1/people/ann/answers", json=body).status_code == 409


def test_an_answer_can_be_taken_back(shop: TestClient) -> None:
    question = ask(shop)
    answer(shop, question, picked=[])
    path = f"/v1/people/ann/answers/{question['question']}"
    assert shop.delete(path).status_code == 204
    assert shop.delete(path).status_code == 404
    assert ask(shop)["question"] == question["question"]


def test_pictures_are_made_from_the_answers(shop: TestClient) -> None:
    answer(shop, ask(shop, "rate"), rating=5)
    made = shop.get("/v1/people/ann/pictures").json()
    assert made["answers"] == 1
    assert 0 <= made["concentration"] <= 1
    assert shop.get(made["pictures"][0]).headers["content-type"] == "image/png"


def test_a_ranking_comes_in_parts(shop: TestClient, catalogue: Catalogue) -> None:
    ask(shop)
    items: list[str] = []
    utilities: list[float] = []
    offset: int | None = 0
    while offset is not None:
        part = shop.get("/v1/people/ann/ranking", params={"limit": 100, "offset": offset}).json()
        items, utilities, offset = items + part["items"], utilities + part["utilities"], part["next"]
    assert sorted(items) == sorted(catalogue.ids)
    assert utilities == sorted(utilities, reverse=True)


def test_what_is_liked_rises_in_the_ranking(shop: TestClient) -> None:
    question = ask(shop, "rate")
    item = question["items"][0]

    def place() -> int:
        return shop.get("/v1/people/ann/ranking", params={"limit": 1000}).json()["items"].index(item)

    before = place()
    answer(shop, question, rating=5)
    after = place()
    assert after <= before


def test_platforms_do_not_see_each_others_people(visit: Visit, studio: Studio, shop: TestClient) -> None:
    other = platform(visit(), studio, "museum")
    question = ask(shop)
    body = {"question": question["question"], "picked": []}
    assert other.post("/v1/people/ann/answers", json=body).status_code == 404
    assert ask(other)["question"] != question["question"]
    assert other.post("/v1/people/ann/answers", json=body).status_code == 404
    made = shop.get("/v1/people/ann/pictures").json()["pictures"][0]
    assert other.get(made).status_code == 404


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("read", "POST", "/v1/people/ann/questions"),
        ("ask", "GET", "/v1/people/ann/pictures"),
        ("ask", "GET", "/v1/people/ann/ranking"),
        ("read", "GET", "/v1/export"),
    ],
)
def test_a_token_opens_its_scopes_only(visit: Visit, studio: Studio, scope: str, method: str, path: str) -> None:
    response = platform(visit(), studio, "shop", scope).request(method, path, json={})
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == 403


def test_an_export_is_training_data(
    shop: TestClient, visit: Visit, catalogue: Catalogue, tmp_path: Path
) -> None:  # fmt: skip
    for rating in (1, 5):
        answer(shop, ask(shop, "rate"), rating=rating)
    chosen = ask(shop)
    answer(shop, chosen, picked=chosen["items"][2:3])
    answer(shop, ask(shop), picked=[])
    ask(shop, "pair")  # not answered
    Person(visit()).answer("1")  # of nobody's platform
    (tmp_path / "answers.parquet").write_bytes(shop.get("/v1/export").content)
    np.save(tmp_path / "vectors.npy", catalogue.embeddings_ND.numpy())
    (tmp_path / "items.txt").write_text("".join(f"{item}\n" for item in catalogue.ids))
    table = TableSource(
        ratings=str(tmp_path / "answers.parquet"), embeddings=str(tmp_path / "vectors.npy"),
        items=str(tmp_path / "items.txt"), low=1, high=5,
    ).ratings()  # fmt: skip
    assert len(table.users) == 1
    assert table.rating_N[table.rated_N].tolist() == [1, 5]
    assert table.items[table.item_N[table.picked_N]].tolist() == chosen["items"][2:3]
    assert table.passed_N.sum() == 8 + 9
    assert table.propensity_N is not None
    assert ((table.propensity_N > 0) & (table.propensity_N < 1)).all()
    assert table.time_N is not None
    assert np.isfinite(table.time_N).all()


def test_the_scope_everyone_exports_visitors_too(visit: Visit, studio: Studio, tmp_path: Path) -> None:
    Person(visit()).answer("1")
    operator = platform(visit(), studio, "operator", "export", "everyone")
    assert len(operator.get("/v1/export").content) > len(platform(visit(), studio, "shop").get("/v1/export").content)


def test_deleted_people_are_in_no_export(shop: TestClient) -> None:
    empty = shop.get("/v1/export").content
    answer(shop, ask(shop), picked=[])
    assert shop.delete("/v1/people/ann").status_code == 204
    assert shop.get("/v1/export").content == empty
    assert shop.get("/v1/people/ann/pictures").status_code == 404


def test_too_many_requests_are_refused(studio: Studio) -> None:
    client = platform(TestClient(create_app(studio, rates=Rates(token=6))), studio, "shop")
    statuses = [client.get("/v1/people/ann/ranking").status_code for _ in range(3)]
    assert statuses == [404, 404, 429]


def test_wrong_tokens_are_slowed_down(studio: Studio) -> None:
    client = TestClient(create_app(studio, rates=Rates(wrong_tokens=3)))
    statuses = [client.get("/v1/export", headers={"Authorization": "Bearer x"}).status_code for _ in range(2)]
    assert statuses == [401, 429]


def test_health_readiness_and_figures(shop: TestClient, studio: Studio) -> None:
    ask(shop)
    assert shop.get("/healthz").json() == {"status": "ok"}
    assert shop.get("/readyz").json()["model"] == studio.model
    text = shop.get("/metrics").text
    assert 'studio_questions_total{kind="9+none"} 1.0' in text
    assert "ann" not in text


def test_a_full_queue_says_when_to_come_back(
    shop: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(studio.served.inference._jobs, "put_nowait", _full)
    response = shop.post("/v1/people/ann/questions", json={})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"


def test_an_ended_worker_is_not_ready(shop: TestClient, studio: Studio) -> None:
    studio.served.painter.close()
    assert shop.get("/readyz").status_code == 503
    assert shop.get("/healthz").status_code == 200


def _full(job: object) -> None:
    raise queue.Full
