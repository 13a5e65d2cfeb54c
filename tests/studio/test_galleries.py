"""Galleries as people wish for them, why each picture was made, and roaming."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from urllib.parse import unquote
from zipfile import ZipFile

import pytest
import torch
from fastapi.testclient import TestClient
from torch import Tensor

from prefprior.data.pictures import ArrayPictures
from prefprior.elicitation.belief import Belief
from prefprior.elicitation.cast import Cast, Pool
from prefprior.predictor import Catalogue
from prefprior.studio.inference import Inference, Sampling
from prefprior.studio.served import Offer
from prefprior.studio.service import Studio
from prefprior.studio.store.albums import GALLERY, Album
from prefprior.studio.store.database import Database
from prefprior.studio.store.impressions import ConflictError
from prefprior.studio.store.people import Profile
from prefprior.studio.store.tables import MADE as MADE_KIND
from prefprior.studio.web.visitors import MOST_FIELDS
from prefprior.studio.wishes import Wish, WishError, Wishes
from tests.models.conftest import DIM
from tests.studio.conftest import ON_BOTH
from tests.studio.small import KINDS, LEVELS, MAKING, small_files, small_parts
from tests.studio.visiting import Person, make, manifest

Visit = Callable[[], TestClient]
WISHES = Wishes(axes=("darker", "this|that"), prompt=True)


class Words:
    """A text tower that gives each text an embedding of its own."""

    space_name = "test"
    templates = ("{}", "a {} picture")

    def encode_texts(self, texts: list[str]) -> Tensor:
        if "unknown" in texts:
            raise ValueError("it knows no such word")
        return torch.stack(
            [torch.randn(DIM, generator=torch.Generator().manual_seed(sum(each.encode()))) for each in texts]
        )


@pytest.fixture
def studio(served: Database, inference: Inference, catalogue: Catalogue, pictures: ArrayPictures) -> Iterator[Studio]:
    """One that takes axes and prompts."""
    made = Studio(
        database=served,
        files=small_files(served),
        parts=replace(
            small_parts(inference, catalogue, pictures),
            sampling=Sampling(catalogue=catalogue, certainty=None, making=MAKING, wishes=WISHES, encoder=Words()),
            offer=Offer(KINDS, LEVELS.raw, WISHES),
        ),
        making=MAKING,
    )
    yield made
    made.close()


@ON_BOTH
def test_a_gallery_is_made_as_wished_and_kept(person: Person) -> None:
    assert "Nothing was made yet" in person.client.get("/made").text
    first = make(person)
    assert len(first) == MAKING.gallery
    assert make(person) == first, "the same wish"
    assert make(person, seed="7") != first
    assert 'max="2147483647" step="1" value="7"' in person.client.get("/made").text
    assert make(person, seed="0") == first


@pytest.mark.parametrize(
    "wish",
    [
        Wish(axes={"darker": 2.0}), Wish(axes={"this|that": -2.0}), Wish(prompt="something"), Wish(diversity=0.0),
        Wish(strength=3.0),
    ],
)  # fmt: skip
def test_each_wish_changes_what_is_made(studio: Studio, cast: Cast, pool: Pool, wish: Wish) -> None:
    belief = Belief(cast.tastes, pool.raw_ND, pool.utility_PN, cast.model, cast.moves)

    def drawn(which: Wish) -> Tensor:
        return studio.served.sampling.submit(lambda sampling: sampling.draw(belief, 3, [], 5, which)).result().raw_nD

    assert not torch.equal(drawn(wish), drawn(Wish()))
    assert torch.equal(drawn(wish), drawn(wish))


def test_pictures_say_which_liked_items_they_are_like(person: Person) -> None:
    liked = set()
    for place in (1, 2, 3, 4):
        liked.add(person.shown()[place - 1])
        person.answer(str(place))
    disliked = person.shown("rate")[0]
    person.answer("1", "rate")
    make(person)
    shown = set(re.findall(r'src="/items/([^"]+)" alt="You liked this', person.client.get("/made").text))
    assert shown
    assert shown <= liked
    assert disliked not in shown


def test_an_axis_between_two_texts_has_them_at_its_ends(person: Person) -> None:
    page = person.client.get("/made").text
    ends = [
        re.findall("<span>([^<]+)</span>", each)[1:] for each in re.findall('<label class="slide">.*?</label>', page)
    ]
    assert ["less", "more"] in ends
    assert ["this", "that"] in ends


def test_the_download_says_how_it_was_made(person: Person) -> None:
    assert person.client.get("/made.zip").status_code == 404
    names = make(person, strength="2", **{"axis-0": "0.5"})
    archive = ZipFile(BytesIO(person.client.get("/made.zip").content))
    told = json.loads(archive.read("manifest.json"))
    assert [each["sha256"] for each in told["pictures"]] == names
    assert told["wish"]["axes"] == {"darker": 0.5, "this|that": 0.0}
    assert told["wish"]["strength"] == 2
    assert len(archive.namelist()) == MAKING.gallery + 1
    assert {"model", "decoder", "seed"} <= told.keys()


@pytest.mark.parametrize(
    "wish",
    [
        {"strength": "9"}, {"strength": "-1"}, {"strength": "nan"}, {"strength": "1e3"}, {"diversity": "11"},
        {"axis-0": "5"}, {"seed": "-1"}, {"seed": "9" * 12}, {"prompt": "x" * 301}, {"prompt": "a\x00b"},
        {"prompt": "unknown"}, {"negative": "yes"},
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused(person: Person, wish: dict[str, str]) -> None:
    assert person.post("/made", **wish).status_code == 422
    assert "Nothing was made yet" in person.client.get("/made").text


def test_a_studio_takes_only_what_it_offers() -> None:
    with pytest.raises(WishError, match="there are no axes"):
        Wishes().require(Wish(axes={"darker": 1}))
    with pytest.raises(WishError, match="takes no prompt"):
        Wishes().require(Wish(prompt="a"))


def test_a_gallery_is_its_owners(person: Person, visit: Visit) -> None:
    names = make(person)
    other = Person(visit())
    assert other.client.get(f"/made/{names[0]}").status_code == 404
    assert other.post("/more", picture=names[0]).status_code == 404
    assert "Nothing was made yet" in other.client.get("/made").text


@ON_BOTH
def test_roaming_takes_likes_and_dislikes(person: Person, studio: Studio, profile: Profile) -> None:
    for answer in ("like", "dislike", "more"):
        assert person.answer(answer, "roam").headers["location"] == "/ask/roam"
    assert person.answers() == 3
    assert person.answer("5", "roam").status_code == 422
    given = [each.given.rating for each in studio.impressions.answered(profile) if each.given]
    assert given == [LEVELS.raw[-1], LEVELS.raw[0], LEVELS.raw[-1]]


def test_rate_and_roam_have_questions_of_their_own(person: Person) -> None:
    rated, roamed = person.fields("rate")["question"], person.fields("roam")["question"]
    assert rated != roamed
    assert (person.fields("rate")["question"], person.fields("roam")["question"]) == (rated, roamed)


def test_more_like_this_asks_about_what_is_like_it(
    person: Person, studio: Studio, catalogue: Catalogue, pool: Pool
) -> None:
    name = make(person)[0]
    owner = studio.people.of_cookie(person.client.cookies["studio"])
    assert owner is not None
    picture = studio.albums.picture(owner, name)
    assert picture is not None
    cosine_N = pool.direction_ND @ catalogue.space.directions(picture.embedding_D)
    order = [catalogue.ids[int(pool.row_N[number])] for number in cosine_N.argsort(descending=True).tolist()]
    places = []
    for _ in range(12):
        assert person.post("/more", picture=name).headers["location"] == "/ask/roam"
        places.append(order.index(unquote(person.shown("roam")[0])))
        person.answer("dislike", "roam")
    assert sum(place < 64 + 12 for place in places) >= 8, "the rest is drawn at random"


def test_the_wait_is_told_and_can_be_cancelled(studio: Studio, person: Person, profile: Profile) -> None:
    async def cancelled() -> int:
        making = asyncio.ensure_future(studio.gallery(profile, Wish()))
        while (found := studio.maker.progress(profile)) is None:
            await asyncio.sleep(0.001)
        studio.maker.cancel_gallery(profile)
        with pytest.raises(ConflictError, match="cancelled"):
            await making
        assert studio.maker.progress(profile) is None
        return found.total

    assert asyncio.run(cancelled()) == MAKING.gallery
    assert person.client.get("/progress").json() is None
    assert person.post("/cancel").headers["location"] == "/made"


def test_a_gallery_that_is_being_made_goes_on_whatever_is_answered(studio: Studio, profile: Profile) -> None:
    async def wished() -> tuple[Album, Album]:
        first = asyncio.ensure_future(studio.gallery(profile, Wish(seed=1)))
        while studio.maker.progress(profile) is None:
            await asyncio.sleep(0.001)
        question = await studio.question(profile, "pair")
        await studio.answer(profile, question, picked=question.items[:1])
        return await asyncio.gather(first, studio.gallery(profile, Wish(seed=1)))

    first, second = asyncio.run(wished())
    assert first is second
    assert first.answers == 0


def test_more_twice_leaves_one_question_waiting(person: Person, studio: Studio, profile: Profile) -> None:
    name = make(person)[0]
    for _ in range(3):
        person.post("/more", picture=name)
    last = person.fields("roam")
    assert person.answer("more", "roam").status_code == 303
    after = person.fields("roam")["question"]
    assert person.client.post("/ask/roam", data=last | {"answer": "more"}).status_code == 303, "sent again"
    assert person.fields("roam")["question"] == after
    person.answer("like", "roam")
    assert int(person.fields("roam")["question"]) > int(after), "none of those before comes back"


def test_many_axes_fit_into_the_form() -> None:
    assert len(Wishes(axes=tuple(f"a{i}|b" for i in range(40))).axes) + 12 < MOST_FIELDS
    with pytest.raises(ValueError, match="the number of axes"):
        Wishes(axes=tuple(f"a{i}|b" for i in range(41)))


def test_a_new_wish_takes_the_place_of_one_that_is_being_made(studio: Studio, profile: Profile) -> None:
    async def wished() -> str:
        first = asyncio.ensure_future(studio.gallery(profile, Wish(seed=1)))
        while studio.maker.progress(profile) is None:
            await asyncio.sleep(0.001)
        second = await studio.gallery(profile, Wish(seed=2))
        with pytest.raises(ConflictError, match="another gallery was wished for"):
            await first
        return second.state

    state = asyncio.run(wished())
    found = studio.albums.of(profile, GALLERY)
    assert found is not None
    assert found.state == state


def test_hidden_pictures_are_not_in_the_download_and_wishes_are_in_the_export(person: Person, studio: Studio) -> None:
    name = make(person, prompt="something")[0]
    asyncio.run(studio.hiding.decide(MADE_KIND, name, hide=True))
    assert name not in [each["sha256"] for each in manifest(person)["pictures"]]
    archive = ZipFile(BytesIO(person.client.get("/export").content))
    (told,) = json.loads(archive.read("data.json"))["profiles"][0]["made"]
    assert told["wish"]["prompt"] == "something"


@pytest.mark.parametrize("wish", [{"prompt": "a"}, {"axis-0": "1"}, {"share": "2"}, {"share": "x"}])
def test_mixtures_that_cannot_be(person: Person, wish: dict[str, str]) -> None:
    own = re.findall(r'name="profile" value="(\d+)"', person.client.get("/you").text)[0]
    assert person.post("/made", mix=own).status_code == 422, "with itself"
    person.post("/profiles/add", name="Work")
    assert person.post("/made", mix=own, **wish).status_code == 422
