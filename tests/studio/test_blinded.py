"""A study over HTTP: each person stays in one arm, and nobody is told which."""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from zipfile import ZipFile

import pytest
from sqlalchemy import select

from prefprior.elicitation.questions import Kind
from prefprior.predictor import Catalogue
from prefprior.seeding import seed_of
from prefprior.studio.alike import LEAST_ANSWERS
from prefprior.studio.arms import require_comparable
from prefprior.studio.inference import Sampling
from prefprior.studio.served import Offer, Parts
from prefprior.studio.service import Studio
from prefprior.studio.store.albums import STRIP
from prefprior.studio.store.database import Database
from prefprior.studio.store.people import Profile
from prefprior.studio.store.studies import Studies, Study
from prefprior.studio.store.tables import AlbumRow, ProfileRow, QuestionRow, TriedRow
from tests.studio.conftest import ON_BOTH
from tests.studio.small import KINDS, LEVELS, MAKING, MODEL
from tests.studio.studying import ARMS, SECOND, OfModel, browser, opened, patiently
from tests.studio.visiting import Person

PEOPLE = 4  # some are in each arm


def arms_by_person(database: Database) -> dict[int, set[tuple[int, str, str]]]:
    """For each person: in which arms, by which models and how they were asked."""
    found: dict[int, set[tuple[int, str, str]]] = {}
    with database.reading() as session:
        wanted = select(ProfileRow.person_id, QuestionRow.arm, QuestionRow.model, QuestionRow.policy)
        for person, *told in session.execute(wanted.join(QuestionRow)):
            found.setdefault(person, set()).add(tuple(told))
    return found


@ON_BOTH
def test_people_stay_in_their_arm_over_restarts_and_in_all_their_profiles(
    served: Database, of_model: OfModel, begun: Study
) -> None:
    with opened(served, of_model, begun) as studio:
        people = [Person(browser(studio)) for _ in range(PEOPLE)]
        for person in people:
            assert person.answer("1").status_code == 303
    before = arms_by_person(served)
    assert sorted(len({arm for arm, *_ in told}) for told in before.values()) == [1] * PEOPLE
    again = Studies(served).open(ARMS[::-1], LEVELS.raw)
    with opened(served, of_model, again) as studio:
        for person in people:
            cookies = person.client.cookies
            person.client = browser(studio)
            person.client.cookies = cookies
            assert person.post("/profiles/add", name="Work").status_code == 303
            assert person.answer("2").status_code == 303
            assert person.answer("2").status_code == 303
    assert arms_by_person(served) == before
    models = {arm["model"] for arm in begun.arms}
    assert {model for told in before.values() for _, model, _ in told} == models
    assert all(begun.arms[arm]["model"] == model for told in before.values() for arm, model, _ in told)


def test_nothing_that_a_person_sees_differs_by_arm(served: Database, of_model: OfModel, begun: Study) -> None:
    """Neither arm, study, model nor policy is on any page, in any header or in any file."""
    secret = (MODEL[:8], SECOND[:8], "eubo", "thompson", "retrieval")
    with opened(served, of_model, begun) as studio:
        for _ in range(4):
            person = Person(browser(studio))
            found = studio.people.of_cookie(person.client.cookies["studio"])
            assert found is not None
            profile = found.profiles[0]
            assert person.post("/profiles/share", profile=str(profile.id)).status_code == 200
            assert person.post("/profiles/find", profile=str(profile.id)).status_code == 422
            studio.tastes.let_find(profile)  # as before the study
            for _ in range(LEAST_ANSWERS):
                person.answer("1")
            csrf = person.fields()["csrf"]
            person.strip()
            strip = person.client.post("/strip", data={"csrf": csrf}, headers={"X-Fragment": "1"})
            assert patiently(lambda: person.post("/made")).status_code == 303  # noqa: B023
            pages = [strip, *(person.client.get(path) for path in ("/ask/nine", "/ask/rate", "/you", "/made"))]
            archives = [ZipFile(BytesIO(person.client.get(path).content)) for path in ("/export", "/made.zip")]
            data, manifest = (
                archive.read(name) for archive, name in zip(archives, ("data.json", "manifest.json"), strict=True)
            )
            told = json.loads(data)["profiles"][0]
            assert told["taste"] is None
            assert {each["seed"] for each in told["made"]} == {json.loads(manifest)["seed"]} == {None}
            assert person.post("/made", alike="1").status_code == 404
            with served.reading() as session:
                rows = session.scalars(select(AlbumRow).where(AlbumRow.profile_id == profile.id)).all()
                seeds = [row.seed for row in rows]
                (state,) = [row.state for row in rows if row.kind == STRIP]
            assert len(seeds) == 2
            assert seed_of(profile.seed, STRIP, state) not in seeds, "only the key tells it, and who made what"
            assert "your tastes agree" not in pages[3].text
            assert {each["model"] for each in (*told["questions"], *told["made"])} == {None}
            assert {each["decoder"] for each in told["made"]} == {json.loads(manifest)["decoder"]} == {None}
            shown = [str(page.headers) + page.text for page in pages] + [data.decode(), manifest.decode()]
            for text in map(str.lower, shown):
                assert not [seed for seed in seeds if str(seed) in text]
                assert not [each for each in secret if each in text]
                assert not {"arm", "study"} & set(re.findall("[a-z]+", text))
        assert person.client.get("/readyz").json() == {"status": "ready", "model": None}


def test_platforms_are_not_told_either(served: Database, of_model: OfModel, begun: Study) -> None:
    with opened(served, of_model, begun) as studio:
        shop = browser(studio)
        shop.headers["Authorization"] = f"Bearer {studio.tokens.issue('shop', ('ask', 'read', 'export'), 1)}"
        for name in ("ann", "bob", "cy", "di"):
            asked = shop.post(f"/v1/people/{name}/questions", json={"kind": "nine"})
            assert set(asked.json()) == {"question", "kind", "items", "pictures", "none", "ratings"}
            made = shop.get(f"/v1/people/{name}/pictures").json()
            assert (made["model"], made["decoder"], made["seed"]) == (None, None, None)
            assert len(made["pictures"]) == MAKING.n
    with served.reading() as session:
        assert session.scalars(select(TriedRow.place)).all() == [], "platforms show pictures that nobody can like"
    assert {arm for told in arms_by_person(served).values() for arm, *_ in told} == {0, 1}


def test_people_alike_are_told_no_reader(served: Database, of_model: OfModel) -> None:
    """Where policies alone differ they find each other."""
    arms = [ARMS[0], ARMS[0] | {"policies": {"nine": {"_target_": "somewhere.Random"}}}]
    with opened(served, of_model, Studies(served).open(arms, LEVELS.raw)) as studio:
        people = [Person(browser(studio)) for _ in range(2)]
        for person in people:
            found = studio.people.of_cookie(person.client.cookies["studio"])
            assert found is not None
            for _ in range(LEAST_ANSWERS):
                person.answer("1")
            person.post("/profiles/share", profile=str(found.profiles[0].id))
            assert person.post("/profiles/find", profile=str(found.profiles[0].id)).status_code == 303
            page = person.client.get("/you").text
            told = studio.people.everything(found)["profiles"][0]
            assert set(told["taste"]) == {"utilities", "read_at"}
    assert "your tastes agree" in page


def test_what_waited_before_the_study_is_no_part_of_it(
    served: Database, of_model: OfModel, studio: Studio, begun: Study
) -> None:
    person = Person(browser(studio))
    waiting, strip = person.fields()["question"], person.strip()
    with opened(served, of_model, begun) as within:
        cookies, person.client = person.client.cookies, browser(within)
        person.client.cookies = cookies
        assert person.fields()["question"] == waiting
        person.answer("1")
        person.answer("1")
        assert person.strip() != strip
    with served.reading() as session:
        arms = session.scalars(select(QuestionRow.arm).order_by(QuestionRow.id)).all()
        studies = session.scalars(select(AlbumRow.study)).all()
    assert arms[0] is None
    assert None not in arms[1:]
    assert studies == [begun.id]


def test_both_arms_forget_who_is_deleted(served: Database, of_model: OfModel, begun: Study) -> None:
    async def visited(studio: Studio) -> list[int]:
        person, _ = studio.people.arrive()
        question = await studio.question(person.profiles[0], "nine")
        await studio.answer(person.profiles[0], question, picked=question.items[:1])
        await studio.strip(person.profiles[0])
        known = beliefs(studio)
        await studio.delete(person)
        while len(studio.tasks):
            await asyncio.sleep(0.01)
        return known

    def beliefs(studio: Studio) -> list[int]:
        return [served.inference.submit(lambda inference: len(inference.beliefs)).result() for served in studio.serving]

    with opened(served, of_model, begun) as studio:
        assert asyncio.run(visited(studio)) == [1, 1]
        assert beliefs(studio) == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: replace(parts, offer=Offer({"pair": Kind(2)}, LEVELS.raw)), "the same pages, ratings and wish"),
        (lambda parts: replace(parts, offer=Offer(KINDS, ())), "the other nine, pair, rate, roam"),
        (lambda parts: replace(parts, sampling=_fewer(parts)), "must show the same pictures: 1 are in the data of"),
    ],
)  # fmt: skip
def test_runs_that_people_could_tell_apart_are_refused(
    of_model: OfModel, change: Callable[[Parts], Parts], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        require_comparable(of_model(MODEL), change(of_model(SECOND)), MAKING.n)


def _fewer(parts: Parts) -> Sampling:
    catalogue = parts.sampling.catalogue
    fewer = Catalogue(catalogue.space, list(catalogue.ids[1:]), catalogue.embeddings_ND[1:])
    return Sampling(catalogue=fewer, certainty=None, making=MAKING)


def test_more_like_a_picture_is_sought_in_the_embeddings_of_the_own_arm(
    served: Database, of_model: OfModel, begun: Study
) -> None:
    """Runs of a study show the same pictures, but each may have embedded them otherwise."""

    def otherwise_embedded(model: str) -> Parts:
        parts = of_model(model)
        if model == SECOND:
            catalogue = parts.inference.cast.catalogue
            other = Catalogue(catalogue.space, catalogue.ids, -catalogue.embeddings_ND)
            parts.inference.cast = replace(parts.inference.cast, catalogue=other)
        return parts

    async def sign(studio: Studio, profile: Profile) -> float:
        catalogue = studio.served.sampling.submit(lambda sampling: sampling.catalogue).result()
        found = await studio.embedding_of_item(profile, catalogue.ids[3])
        assert found is not None
        return float((found / catalogue.embeddings_ND[3]).mean())

    with opened(served, otherwise_embedded, begun) as studio:
        profiles = [studio.people.arrive()[0].profiles[0] for _ in range(PEOPLE)]
        signs = [asyncio.run(sign(studio, profile)) for profile in profiles]
    first = [begun.arms[begun.arm_of(each.person_id).place]["model"] == MODEL for each in profiles]
    assert signs == [1.0 if each else -1.0 for each in first]
    assert len({*signs}) == 2
