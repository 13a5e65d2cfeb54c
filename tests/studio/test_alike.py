"""People alike: only those who say so are found, by their tastes alone, and no longer than they want."""

import asyncio
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from prefprior.studio.alike import LEAST_ANSWERS
from prefprior.studio.inference import COMPARED, Inference
from prefprior.studio.service import Studio
from prefprior.studio.store.alike import Taste, Tastes
from prefprior.studio.store.database import Database
from prefprior.studio.store.people import People, Profile, RefusedError
from prefprior.studio.worker import BusyError
from tests.studio.conftest import ON_BOTH
from tests.studio.visiting import MADE, Person

Visit = Callable[[], TestClient]
NEAR = re.compile(r'your tastes agree to (-?\d+) %.*?name="alike" value="(\d+)"', re.DOTALL)


class Found(Person):
    """Somebody who has answered, shares and is found."""

    def __init__(self, client: TestClient, answers: Sequence[str] = ("1",) * LEAST_ANSWERS) -> None:
        super().__init__(client)
        for answer in answers:
            self.answer(answer)
        self.number = re.findall(r'name="profile" value="(\d+)"', client.get("/you").text)[0]
        self.change("share")
        self.change("find")
        client.get("/you")  # where a browser goes next

    def change(self, how: str) -> int:
        return self.post(f"/profiles/{how}", profile=self.number).status_code

    @property
    def you(self) -> str:
        return self.client.get("/you").text

    @property
    def near(self) -> dict[str, int]:
        """The agreement with others, by the numbers of their profiles."""
        return {number: int(percent) for percent, number in NEAR.findall(self.you)}


def profile_of(studio: Studio, person: Person) -> Profile:
    found = studio.people.of_cookie(person.client.cookies["studio"])
    assert found is not None
    return found.profiles[0]


@ON_BOTH
def test_those_who_say_so_find_each_other(visit: Visit) -> None:
    ann, bob = Found(visit()), Found(visit(), ("2",) * 6)
    assert list(ann.near) == [bob.number]
    assert list(bob.near) == [ann.number]
    assert ann.change("hide") == 303
    assert bob.near == {}
    assert "Nobody else may be found" in bob.you
    assert NEAR.search(ann.you) is None


def test_sharing_alone_lets_nobody_find(visit: Visit) -> None:
    ann = Found(visit())
    bob = Person(visit())
    for _ in range(LEAST_ANSWERS):
        bob.answer()
    number = re.findall(r'name="profile" value="(\d+)"', bob.client.get("/you").text)[0]
    assert "Share My taste to let people" in bob.client.get("/you").text
    bob.post("/profiles/share", profile=number)
    assert ann.near == {}
    assert NEAR.search(bob.client.get("/you").text) is None
    assert bob.post("/made", alike=ann.number).status_code == 404
    assert ann.post("/made", alike=number).status_code == 404


def test_only_who_shares_can_be_found(database: Database) -> None:
    people, tastes = People(database), Tastes(database)
    profile = people.arrive()[0].profiles[0]
    with pytest.raises(RefusedError, match="share it first"):
        tastes.let_find(profile)


def test_few_answers_are_not_compared(visit: Visit, studio: Studio) -> None:
    ann, bob = Found(visit(), ("1",) * (LEAST_ANSWERS - 1)), Found(visit())
    assert f"compared from {LEAST_ANSWERS} answers on" in ann.you
    assert studio.tastes.of(profile_of(studio, ann)) is None
    ann.answer()
    assert list(ann.near) == [bob.number]


@ON_BOTH
def test_profiles_that_are_not_compared_are_not_mixed(visit: Visit, studio: Studio) -> None:
    ann, bob, few = Found(visit()), Found(visit()), Found(visit(), ())
    assert ann.post("/made", alike=few.number).status_code == 404
    assert few.post("/made", alike=ann.number).status_code == 404
    bobs = profile_of(studio, bob)
    taste = studio.tastes.of(bobs)
    assert taste is not None
    studio.tastes.keep(bobs, replace(taste, reader="another"))
    assert ann.post("/made", alike=bob.number).status_code == 404
    studio.tastes.keep(bobs, taste)
    assert ann.post("/made", alike=bob.number).status_code == 303


def test_who_takes_answers_back_is_no_longer_compared(visit: Visit, studio: Studio) -> None:
    ann, bob = Found(visit()), Found(visit())
    studio.impressions.undo(profile_of(studio, bob))
    assert ann.post("/made", alike=bob.number).status_code == 404
    assert f"compared from {LEAST_ANSWERS} answers on" in bob.you
    assert ann.near == {}


def test_profiles_without_answers_do_not_agree(visit: Visit) -> None:
    ann = Found(visit(), ())
    ann.post("/profiles/add", name="Work")
    assert ann.post("/made", mix=ann.number).status_code == 303
    page = ann.client.get("/made").text
    assert "A mixture with another profile" in page
    assert "the two tastes agree to" not in page


def test_the_agreement_is_the_correlation_of_what_is_expected(
    visit: Visit, studio: Studio, inference: Inference
) -> None:
    people = [Found(visit(), answers) for answers in ("11111", "22222", "98765")]
    expected = []
    for person in people:
        profile = profile_of(studio, person)
        belief = inference.believed(profile, studio.impressions.answered(profile)).belief
        expected.append(belief.weight_P @ belief.utility_PN[:, :COMPARED])
    correlation = torch.corrcoef(torch.stack([each[: len(inference.pool.row_N)] for each in expected]))
    near = people[0].near
    assert near == {
        people[place].number: pytest.approx(100 * float(correlation[0, place]), abs=0.6) for place in (1, 2)
    }
    assert list(near.values()) == sorted(near.values(), reverse=True)


@ON_BOTH
def test_a_mixture_by_a_link_goes_when_it_is_no_longer_shared(visit: Visit) -> None:
    ann, bob = Found(visit()), Found(visit())
    assert f'name="alike" value="{bob.number}"' in ann.you
    assert ann.post("/made", alike=bob.number).status_code == 303
    assert MADE.search(ann.client.get("/made").text)
    bob.change("unshare")
    assert MADE.search(ann.client.get("/made").text) is None
    assert ann.post("/made", alike=bob.number).status_code == 404
    assert "Share My taste to let people" in bob.you


@ON_BOTH
@pytest.mark.parametrize("how", ["hide", "unshare", "start-over", "delete"])
def test_a_taste_goes_with_the_wish_to_be_found(visit: Visit, studio: Studio, how: str) -> None:
    ann = Found(visit())
    assert "Nobody else may be found" in ann.you
    profile = profile_of(studio, ann)
    taste = studio.tastes.of(profile)
    assert taste is not None
    told = studio.people.everything(studio.people.of_cookie(ann.client.cookies["studio"]))["profiles"][0]
    assert (told["findable"], told["taste"]["utilities"]) == (True, taste.utilities.hex())
    ann.change(how)
    assert studio.tastes.of(profile) is None
    studio.tastes.keep(profile, taste)  # read before
    assert studio.tastes.of(profile) is None


def test_a_taste_follows_the_answers(visit: Visit, studio: Studio) -> None:
    ann = Found(visit())
    profile = profile_of(studio, ann)
    before = studio.tastes.of(profile)
    ann.answer("9")

    async def made() -> None:
        await studio.strip(profile)
        while len(studio.tasks):
            await asyncio.sleep(0.01)

    asyncio.run(made())
    after = studio.tastes.of(profile)
    assert before is not None
    assert after is not None
    assert after.state != before.state


def test_so_many_are_compared_and_only_by_one_reader(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefprior.studio.store.alike.MOST_COMPARED", 2)
    people, tastes, profiles = People(database), Tastes(database), list[Profile]()
    for reader in ("r", "r", "r", "other"):
        profile = people.arrive()[0].profiles[0]
        people.share(profile)
        tastes.let_find(profile)
        tastes.keep(profile, Taste(reader, "state", b"\0\0"))
        profiles.append(profile)
    looker = people.add_profile(people.arrive()[0], "looks")
    first, second, third, _ = (profile.id for profile in profiles)
    assert [other.profile for other in tastes.others(looker, "r")] == [third, second]
    assert [other.profile for other in tastes.others(profiles[2], "r")] == [second, first]


def test_tastes_are_read_and_compared_in_the_worker(
    visit: Visit, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    seen = list[str]()
    for name in ("expected", "agreement"):
        before = getattr(Inference, name)

        def noted(*given: Any, before: Callable[..., Any] = before) -> Any:
            seen.append(threading.current_thread().name)
            return before(*given)

        monkeypatch.setattr(Inference, name, noted)
    ann = Found(visit())
    assert list(Found(visit()).near) == [ann.number]
    assert set(seen) == {"inference"}
    assert len(seen) == 4, "two tastes are read once each, and compared twice"


def test_ones_own_page_opens_while_the_model_is_busy(
    visit: Visit, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    ann = Found(visit())

    async def busy(_: Profile) -> None:
        raise BusyError("too many questions at once")

    monkeypatch.setattr(studio.alike, "nearest", busy)
    assert "The model is busy" in ann.you
    assert "Delete everything" in ann.you
