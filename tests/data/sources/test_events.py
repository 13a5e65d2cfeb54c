"""An implicit log: what counts, and what is taken out."""

from pathlib import Path

import pytest

from prefprior.data.sources.event_filters import EventFilters
from prefprior.data.sources.events import EventsSource
from tests.data.small import csv

HEADER = "user,item,event,time,dwell"


def source(path: Path, **arguments: object) -> EventsSource:
    return EventsSource(log=str(path), pictures=str(path.parent), **arguments)


def told(events: EventsSource) -> dict[tuple[str, str], float]:
    table = events.ratings()
    return {
        (str(table.users[u]), str(table.items[i])): float(r)
        for u, i, r in zip(table.user_N, table.item_N, table.rating_N)
    }


def test_events_become_ratings(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "log.csv",
        "ann,a,view,100,30",
        "ann,a,like,130,",
        "ann,b,skip,140,",
        "ann,c,click,150,0.2",
        "ann,d,view,160,2",
        "ann,e,click,170,3",
        "ann,e,skip,180,",
        "ann,f,click,190,",
        "ann,f,click,190,",
        "bob,a,hide,100,",
        header=HEADER,
    )
    events = source(path)
    assert told(events) == {("ann", "a"): 1.0, ("ann", "b"): -0.5, ("ann", "f"): 0.5, ("bob", "a"): -1.0}
    assert events.ratings().counts == {
        "repeated event": 1,
        "event in a burst": 0,
        "event of a bot": 0,
        "bot": 0,
        "dwell time too short": 1,
        "view too short to interpret": 1,
        "picture whose events cancel out": 1,
    }
    assert events.ratings().time_N is not None
    assert events.ratings().liked_N.tolist() == [True, False, True, False]
    assert told(source(path, weights={"click": 1.0, "skip": -0.25}))["ann", "e"] == 0.75


def test_bursts_and_bots_are_filtered(tmp_path: Path) -> None:
    burst = [f"ann,b{i},like,{1000 + i * 0.1}," for i in range(25)]
    calm = [f"ann,c{i},like,{5000 + i * i * 60}," for i in range(10)]
    clock = [f"bot,d{i},like,{i * 60}," for i in range(60)]
    busy = [f"busy,e{i},like,{i * 7 + i % 3}," for i in range(40)]
    path = csv(tmp_path / "log.csv", *burst, *calm, *clock, *busy, header=HEADER)
    events = source(path, filters=EventFilters(bot_events_a_day=35))
    assert {user for user, _ in told(events)} == {"ann"}
    assert {item for _, item in told(events)} == {f"c{i}" for i in range(10)}
    counts = events.ratings().counts
    assert (counts["event in a burst"], counts["event of a bot"], counts["bot"]) == (25, 100, 2)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("ann,a,lik,100,", r"log.csv:3: the event 'lik' has no weight; did you mean like.*source.weights.lik="),
        ("ann,a,like,,", r"log.csv:3: the time is missing"),
        ("ann,a,like,soon,", r"log.csv:3: the time 'soon' is not a time"),
        ("ann,a,view,100,-1", r"log.csv:3: the dwell time is below 0"),
        ("ann,a,view,100,long", r"log.csv:3: the dwell 'long' is not a finite number"),
    ],
)
def test_invalid_events_are_named(tmp_path: Path, row: str, message: str) -> None:
    path = csv(tmp_path / "log.csv", "ann,b,like,50,", row, header=HEADER)
    with pytest.raises(ValueError, match=message):
        source(path).ratings()


def test_a_log_without_usable_events_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path / "log.csv", "ann,b,click,50,0.1", header=HEADER)
    with pytest.raises(ValueError, match=r"no usable events are left.*dwell time too short: 1"):
        source(path).ratings()
    with pytest.raises(ValueError, match="between -1 and 1"):
        source(path, weights={"like": 5.0})
    with pytest.raises(ValueError, match="at least 2"):
        EventFilters(burst=1)


PAGED = "user,item,event,time,dwell,page"


def chosen(events: EventsSource) -> list[tuple[str, str, int, bool]]:
    table = events.ratings()
    assert table.question_N is not None
    told = zip(table.users[table.user_N], table.items[table.item_N], table.question_N, table.picked_N, strict=True)
    return [(str(user), str(item), int(number), bool(pick)) for user, item, number, pick in told]


def test_a_click_among_results_is_a_choice(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "log.csv",
        "ann,a,impression,100,,p",
        "ann,b,impression,100,,p",
        "ann,c,impression,100,,p",
        "ann,b,click,103,,p",
        "ann,a,impression,200,,q",
        "ann,d,impression,200,,q",
        "ann,e,like,300,,",
        header=PAGED,
    )
    assert chosen(source(path)) == [
        ("ann", "a", 0, False), ("ann", "b", 0, True), ("ann", "c", 0, False),
        ("ann", "a", 1, False), ("ann", "d", 1, False), ("ann", "e", -1, False),
    ]  # fmt: skip
    assert source(path).ratings().liked_N.tolist() == [False, True, False, False, False, True]


def test_an_accidental_click_picks_nothing(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "log.csv", "ann,a,click,100,0.2,p", "ann,b,impression,100,,p", "ann,c,like,100,,", header=PAGED
    )
    assert [pick for *_, pick in chosen(source(path))] == [False, False, False]


def test_a_page_of_one_item_is_no_choice(tmp_path: Path) -> None:
    path = csv(tmp_path / "log.csv", "ann,a,click,100,,p", "bob,b,impression,100,,p", "bob,c,like,90,,", header=PAGED)
    assert told(source(path)) == {("ann", "a"): 0.5, ("bob", "c"): 1.0}


def test_impressions_are_no_burst(tmp_path: Path) -> None:
    rows = [f"ann,a{i},impression,100,,p" for i in range(40)]
    path = csv(tmp_path / "log.csv", *rows, "ann,a3,click,105,,p", header=PAGED)
    assert len(chosen(source(path))) == 40
