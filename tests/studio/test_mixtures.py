"""Galleries for two tastes: one's own, or another's who shares it."""

import asyncio
import re
from collections.abc import Callable

import pytest
import torch
from fastapi.testclient import TestClient
from torch import Tensor

from prefprior.elicitation.belief import Belief
from prefprior.elicitation.cast import Cast, Pool
from prefprior.studio.service import Studio
from prefprior.studio.store.albums import GALLERY, Album, Picture
from prefprior.studio.store.impressions import ConflictError
from prefprior.studio.store.picture_files import name_of
from prefprior.studio.wishes import Wish
from tests.studio.conftest import ON_BOTH
from tests.studio.small import MAKING
from tests.studio.visiting import Person, make, manifest

Visit = Callable[[], TestClient]


@ON_BOTH
def test_a_mixture_of_ones_own_profiles(person: Person) -> None:
    person.answer("1")
    first = re.findall(r'name="profile" value="(\d+)"', person.client.get("/you").text)[0]
    person.post("/profiles/add", name="Work")
    person.answer("2")
    assert len(make(person, mix=first, share="0.25")) == MAKING.gallery
    wish = manifest(person)["wish"]
    assert (wish["mixed"], wish["share"]) == (True, 0.25)
    assert -1 <= wish["alike"] <= 1
    text = person.client.get("/made").text
    assert "the two tastes agree to" in text
    assert f'<option value="{first}" selected>' in text


def test_a_mixture_follows_the_answers_of_both(person: Person, studio: Studio) -> None:
    first = re.findall(r'name="profile" value="(\d+)"', person.client.get("/you").text)[0]
    person.post("/profiles/add", name="Work")
    owner = studio.people.of_cookie(person.client.cookies["studio"])
    assert owner is not None
    one, other = owner.profiles

    def state() -> str:
        make(person, mix=first)
        found = studio.albums.of(other, GALLERY)
        assert found is not None
        return found.state

    before = state()
    assert state() == before
    question = asyncio.run(studio.question(one, "pair"))
    asyncio.run(studio.answer(one, question, picked=question.items[:1]))
    assert state() != before


def test_a_mixture_with_somebody_who_shares(person: Person, visit: Visit) -> None:
    other = Person(visit())
    number = re.findall(r'name="profile" value="(\d+)"', other.client.get("/you").text)[0]
    found = re.search(r'<code class="code">([^<]+)</code>', other.post("/profiles/share", profile=number).text)
    assert found is not None
    make(person, code=found[1])
    assert manifest(person)["wish"]["mixed"]
    assert other.post("/profiles/unshare", profile=number).headers["location"] == "/you"
    assert person.post("/made", code=found[1]).status_code == 422
    assert person.post("/made", mix=number).status_code == 404, "without the code it cannot be named"


def test_whoever_is_deleted_leaves_a_mixture_that_is_being_made(person: Person, visit: Visit, studio: Studio) -> None:
    """Nothing of their answers stays in memory."""
    other = Person(visit())
    other.answer("1")
    owners = [studio.people.of_cookie(each.client.cookies["studio"]) for each in (person, other)]
    assert all(owners)
    (profile,), (shared,) = (owner.profiles for owner in owners if owner is not None)

    async def mixed() -> None:
        making = asyncio.ensure_future(studio.gallery(profile, Wish(mixed=True), shared))
        while studio.maker.progress(profile) is None:
            await asyncio.sleep(0.001)
        assert owners[1] is not None
        await studio.delete(owners[1])
        with pytest.raises(ConflictError, match="cancelled"):
            await making
        while len(studio.tasks):
            await asyncio.sleep(0.01)

    asyncio.run(mixed())
    kept = studio.served.inference.submit(lambda inference: set(inference.beliefs._kept)).result()
    assert shared.id not in kept
    assert studio.albums.of(profile, GALLERY) is None


@pytest.mark.parametrize("how", ["delete", "start-over", "unshare"])
def test_a_finished_mixture_goes_with_the_other_taste(person: Person, visit: Visit, studio: Studio, how: str) -> None:
    other = Person(visit())
    other.answer("1")
    number = re.findall(r'name="profile" value="(\d+)"', other.client.get("/you").text)[0]
    found = re.search(r'<code class="code">([^<]+)</code>', other.post("/profiles/share", profile=number).text)
    assert found is not None
    earlier = make(person, code=found[1], seed="1")
    names = make(person, code=found[1])
    if how == "delete":
        other.post("/delete", sure="yes")
    else:
        other.post(f"/profiles/{how}", profile=number)
    assert "Nothing was made yet" in person.client.get("/made").text
    for name in {*earlier, *names}:
        assert person.client.get(f"/made/{name}").status_code == 404, "nor in memory"
    assert person.post("/made", code=found[1]).status_code == 422


def test_a_mixture_is_not_kept_where_the_other_is_gone_meanwhile(studio: Studio) -> None:
    (one, _), (other, _) = studio.people.arrive(), studio.people.arrive()
    mine, theirs = one.profiles[0], other.profiles[0]
    studio.people.share(theirs)
    made = Album("s", 0, "m", "d", 1, 0.5, None, (Picture(name_of(b"png")),), {}, theirs.id)
    studio.albums.replace(mine, made, [b"png"], GALLERY, theirs)
    assert studio.albums.of(mine, GALLERY) == made
    for end in (studio.people.unshare, studio.people.start_over):
        end(theirs)
        assert studio.albums.of(mine, GALLERY) is None
        studio.albums.replace(mine, made, [b"png"], GALLERY, theirs)
        assert studio.albums.of(mine, GALLERY) is None


def test_a_mixture_leans_towards_whoever_has_the_larger_share(
    cast: Cast, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Belief(cast.tastes, pool.raw_ND, pool.utility_PN, cast.model, cast.moves) for _ in range(2))
    monkeypatch.setattr(one, "expected", lambda raw_ND: raw_ND[:, 0])
    monkeypatch.setattr(other, "expected", lambda raw_ND: raw_ND[:, 1])

    def made(share: float) -> Tensor:
        return one.mixed(other, share, 4, torch.Generator().manual_seed(0), candidates=30, diversity=0).mean(0)

    alone, half, others = made(0.0), made(0.5), made(1.0)
    assert alone[0] > half[0] > others[0]
    assert alone[1] < half[1] < others[1]
    assert one.alike(one.copy(), len(pool.row_N)) == pytest.approx(1)
