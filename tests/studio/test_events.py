"""Events of platforms: whole batches, counted once, and an export that `source=events` reads like the log itself."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from prefprior.data.sources.events import WEIGHTS, EventsSource
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable
from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.events import Event, Events, Key, Receipt
from prefprior.studio.store.impressions import ConflictError
from prefprior.studio.store.people import People
from prefprior.studio.store.tables import BatchRow, EventRow
from prefprior.studio.store.tokens import DAY
from prefprior.studio.web.limits import LARGEST_BODY
from tests.studio.conftest import ON_BOTH

pytestmark = ON_BOTH
Visit = Callable[[], TestClient]
NOW = 1_764_000_000.0
ITEM = "set a/picture 000"
ITEMS = frozenset({ITEM})


@pytest.fixture
def shop(visit: Visit, studio: Studio) -> TestClient:
    client = visit()
    client.headers["Authorization"] = f"Bearer {studio.tokens.issue('shop', ['ask', 'read', 'export'], 1)}"
    return client


def line(**changed: Any) -> dict[str, Any]:
    return {"user": "ann", "item": ITEM, "event": "like", "time": NOW} | changed


def body(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def sent(client: TestClient, content: bytes, **headers: str) -> Any:
    return client.post("/v1/events", content=content, headers={"Content-Type": "application/x-ndjson"} | headers)


def kept(studio: Studio) -> int:
    with studio.database.reading() as session:
        return session.scalar(select(func.count()).select_from(EventRow)) or 0


def read(log: Path, catalogue: Catalogue) -> RatingsTable:
    np.save(log.parent / "vectors.npy", catalogue.embeddings_ND.numpy())
    (log.parent / "items.txt").write_text("".join(f"{item}\n" for item in catalogue.ids))
    vectors, items = (str(log.parent / name) for name in ("vectors.npy", "items.txt"))
    return EventsSource(log=str(log), embeddings=vectors, items=items).ratings()


def told(table: RatingsTable) -> list[tuple[object, ...]]:
    """Every row, without the users' names."""
    assert table.time_N is not None
    rows = zip(
        table.items[table.item_N], table.rating_N, table.picked_N, table.passed_N, table.time_N, strict=True
    )  # fmt: skip
    return sorted((str(item), *map(float, rest)) for item, *rest in rows)


def test_an_export_trains_as_the_log_itself_does(shop: TestClient, catalogue: Catalogue, tmp_path: Path) -> None:
    items = catalogue.ids
    lines = [
        line(item=items[0]), line(item=items[1], event="click", dwell=0.2), line(item=items[1], event="click", dwell=9),
        line(item=items[2], event="skip", time=NOW + 60), line(item=items[3], event="view", dwell=2.0),
        line(item=items[4], event="view", dwell=30.5), line(item=items[5], event="dislike", user="bob"),
        *(line(item=each, event="impression", page="p1", time=NOW + 120) for each in items[6:9]),
        line(item=items[7], event="click", page="p1", time=NOW + 121),
    ]  # fmt: skip
    assert sent(shop, body(*lines)).json() == {"kept": len(lines), "unknown": 0, "new": True}
    (tmp_path / "log.jsonl").write_bytes(body(*lines))
    (tmp_path / "events.parquet").write_bytes(shop.get("/v1/events").content)
    exported, direct = (read(tmp_path / name, catalogue) for name in ("events.parquet", "log.jsonl"))
    assert told(exported) == told(direct)
    assert exported.picked_N.sum() == 1
    assert exported.passed_N.sum() == 2
    assert len(exported.users) == 2


def test_users_are_called_as_in_the_export_of_answers(shop: TestClient, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    sent(shop, body(line()))
    question = shop.post("/v1/people/ann/questions", json={"kind": "nine"}).json()
    shop.post("/v1/people/ann/answers", json={"question": question["question"], "picked": []})
    users = set[str]()
    for path in ("events", "export"):
        (tmp_path / path).write_bytes(shop.get(f"/v1/{path}").content)
        users |= set(pq.read_table(tmp_path / path)["user"].to_pylist())
    assert len(users) == 1


@pytest.mark.parametrize("event", WEIGHTS)
def test_every_event_with_a_weight_is_taken(shop: TestClient, event: str) -> None:
    assert sent(shop, body(line(event=event))).json()["kept"] == 1


def test_events_of_unknown_items_are_counted_and_not_kept(shop: TestClient, studio: Studio) -> None:
    batch = body(line(), line(item="of another catalogue"), line(user="zoe", item="of another catalogue"))
    assert sent(shop, batch).json() == {"kept": 1, "unknown": 2, "new": True}
    assert kept(studio) == 1
    assert studio.people.of_platform("shop", "zoe", make=False) is None
    assert 'studio_events_total{outcome="unknown item"} 2.0' in shop.get("/metrics").text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "line 2: this is no JSON: EOF while parsing an object at column 1"),
        (b'\xff{"a": 1}', "line 2: this is no JSON"),
        (b"[" * 5000, "line 2: this is no JSON: recursion limit"),
        (b"[]", "line 2: Input should be an object"),
        (body(line(event="clik")).strip(), "line 2: event: 'clik' is none of like, save"),
        (body(line(event="clik")).strip(), "; did you mean click?"),
        (body(line(event="é\n")).strip(), r"line 2: event: '\xe9\n' is none of"),
        (body(line(event="\ud800")).strip(), "line 2: this is no JSON: unexpected end of hex escape"),
        (body({"user": "ann", "item": ITEM, "event": "like"}).strip(), "line 2: time: Field required"),
        (body(line(time="2024-05-01")).strip(), "line 2: time: Input should be a valid number"),
        (body(line(time=20240501)).strip(), "line 2: time: Input should be greater than or equal to 946684800"),
        (body(line(time=NOW * 1000)).strip(), "line 2: time: it is later than tomorrow, or not in seconds"),
        (b'{"user": "ann", "item": "a", "event": "like", "time": NaN}', "line 2: time: Input should be greater than"),
        (body(line(dwell=-1)).strip(), "line 2: dwell: Input should be greater than or equal to 0"),
        (body(line(user="an n")).strip(), "line 2: user: String should match pattern"),
        (body(line(item="")).strip(), "line 2: item: String should have at least 1 character"),
        (body(line(page="a\x00b")).strip(), "line 2: page: it contains the invisible character U+0000"),
        (body(line(page=7)).strip(), "line 2: page: Input should be a valid string"),
        (body(line(rating=5)).strip(), "line 2: rating: Extra inputs are not permitted"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_kept(
    shop: TestClient, studio: Studio, text: bytes, reason: str
) -> None:  # fmt: skip
    response = sent(shop, body(line()) + text + b"\n" + body(line()))
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert reason in response.json()["detail"]
    assert kept(studio) == 0
    assert studio.people.of_platform("shop", "ann", make=False) is None


def test_of_many_broken_lines_the_first_are_named(shop: TestClient) -> None:
    detail = sent(shop, b"\n".join([b"x"] * 5)).json()["detail"]
    assert detail.count("line ") == 3
    assert detail.endswith("; and 2 more")


def test_a_batch_without_events_is_refused(shop: TestClient) -> None:
    assert "there are no events" in sent(shop, b"\n \r\n").json()["detail"]


def test_lines_may_end_as_on_windows(shop: TestClient) -> None:
    assert sent(shop, body(line(), line()).replace(b"\n", b"\r\n")).json()["kept"] == 2


def test_another_type_or_too_large_a_batch_is_refused(shop: TestClient, studio: Studio) -> None:
    assert sent(shop, body(line()), **{"Content-Type": "application/json"}).status_code == 415
    assert sent(shop, body(*[line()] * (LARGEST_BODY // 60))).status_code == 413
    assert kept(studio) == 0


def test_a_database_that_refuses_a_row_keeps_no_other(studio: Studio) -> None:
    batch = [Event("ann", ITEM, "like", NOW), Event("bob", ITEM, None, NOW)]
    with pytest.raises(ConflictError, match="send the batch again"):
        studio.events.take("shop", batch, ITEMS)
    assert kept(studio) == 0
    assert studio.people.of_platform("shop", "ann", make=False) is None


def test_a_batch_with_a_key_counts_once(shop: TestClient, studio: Studio) -> None:
    batch, key = body(line(), line(item="unknown")), {"Idempotency-Key": "a"}
    first, again = (sent(shop, batch, **key).json() for _ in range(2))
    assert (first, again) == ({"kept": 1, "unknown": 1, "new": True}, {"kept": 1, "unknown": 1, "new": False})
    assert sent(shop, body(line()), **key).status_code == 409
    assert sent(shop, batch, **{"Idempotency-Key": "b"}).json()["new"]
    assert kept(studio) == 2


def test_a_batch_that_is_sent_again_brings_no_deleted_person_back(shop: TestClient, studio: Studio) -> None:
    sent(shop, body(line()), **{"Idempotency-Key": "a"})
    assert shop.delete("/v1/people/ann").status_code == 204
    assert not sent(shop, body(line()), **{"Idempotency-Key": "a"}).json()["new"]
    assert kept(studio) == 0
    assert shop.get("/v1/people/ann/pictures").status_code == 404


def test_a_key_is_remembered_for_a_day(served: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    events, batch, key = Events(served), [Event("ann", ITEM, "like", NOW)], Key("a", "f" * 64)
    assert events.take("shop", batch, ITEMS, key) == Receipt(1, 0)
    later = time.time() + DAY + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert events.take("shop", batch, ITEMS, key) == Receipt(1, 0)


def test_keys_expire_without_another_batch(studio: Studio, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    studio.events.take("shop", [Event("ann", ITEM, "like", NOW)], ITEMS, Key("old", "f" * 64))
    monkeypatch.setattr("prefprior.studio.store.events.KEY_SECONDS", -1.0)
    monkeypatch.setattr("prefprior.studio.web.app.TENDING_SECONDS", 0.01)
    with visit(), studio.database.reading() as session:
        for _ in range(1000):
            session.rollback()  # sees what was committed since
            if session.scalar(select(func.count()).select_from(BatchRow)) == 0:
                break
            time.sleep(0.01)
        else:
            pytest.fail("the key is still there")


def test_keys_of_platforms_are_their_own(served: Database) -> None:
    events, batch, key = Events(served), [Event("ann", ITEM, "like", NOW)], Key("a", "f" * 64)
    assert [events.take(name, batch, ITEMS, key).new for name in ("shop", "museum")] == [True, True]


def test_platforms_export_their_own_people(shop: TestClient, visit: Visit, studio: Studio) -> None:
    sent(shop, body(line()))
    other, everyone = visit(), visit()
    other.headers["Authorization"] = f"Bearer {studio.tokens.issue('museum', ['ask', 'export'], 1)}"
    everyone.headers["Authorization"] = f"Bearer {studio.tokens.issue('operator', ['export', 'everyone'], 1)}"
    assert len(other.get("/v1/events").content) < len(shop.get("/v1/events").content)
    assert everyone.get("/v1/events").content == shop.get("/v1/events").content
    assert sent(everyone, body(line())).status_code == 403


def test_a_person_takes_their_events_away_and_deletes_them(shop: TestClient, studio: Studio) -> None:
    sent(shop, body(line(event="view", dwell=7.5, page="p"), line(user="bob")))
    person = studio.people.of_platform("shop", "ann", make=False)
    assert person is not None
    assert studio.people.everything(person)["profiles"][0]["events"] == [
        {"item": ITEM, "event": "view", "time": NOW, "dwell": 7.5, "page": "p"}
    ]
    studio.people.start_over(person.profiles[0])
    assert kept(studio) == 1
    sent(shop, body(line()))
    shop.delete("/v1/people/ann")
    assert kept(studio) == 1, "another person's"


def test_events_go_to_the_profile_that_is_asked(shop: TestClient, studio: Studio) -> None:
    shop.post("/v1/people/ann/questions", json={})
    person = studio.people.of_platform("shop", "ann", make=False)
    assert person is not None
    studio.people.add_profile(person, "second")
    sent(shop, body(line()))
    assert [len(each["events"]) for each in studio.people.everything(person)["profiles"]] == [1, 0]


def test_new_people_of_several_batches_at_once(served: Database) -> None:
    """Each is made by one of the batches, and all events are kept."""
    events, names, begin = Events(served), [f"p{i}" for i in range(30)], threading.Barrier(6)
    receipts = list[Receipt]()

    def take(order: int) -> None:
        batch = [Event(name, ITEM, "like", NOW) for name in names[::order]]
        begin.wait()
        for _ in range(5):
            receipts.append(events.take("shop", batch, ITEMS))

    threads = [threading.Thread(target=take, args=(order,)) for order in (1, -1) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [receipt.kept for receipt in receipts] == [len(names)] * 30
    with served.reading() as session:
        assert session.scalar(select(func.count()).select_from(EventRow)) == 30 * len(names)
        assert session.scalar(select(func.count(EventRow.profile_id.distinct()))) == len(names)
    assert People(served).of_platform("shop", "p0", make=False) is not None
