"""Another model takes the place of the one that is served, while people answer."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from prefprior.data.pictures import ArrayPictures
from prefprior.elicitation.cast import Cast, Pool
from prefprior.predictor import Catalogue
from prefprior.studio.inference import Inference, Sampling
from prefprior.studio.renewal import Renewal
from prefprior.studio.served import Offer, Parts, Served
from prefprior.studio.service import Studio
from prefprior.studio.store.people import Profile
from prefprior.studio.store.tables import QuestionRow
from tests.studio.small import KINDS, LEVELS, MAKING, MODEL, small_inference, small_parts

SECOND = "n" * 64


@pytest.fixture
def parts(cast: Cast, pool: Pool, catalogue: Catalogue, pictures: ArrayPictures) -> Parts:
    """Of another checkpoint."""
    made = small_inference(cast, pool)
    made.model = SECOND
    return small_parts(made, catalogue, pictures)


@pytest.fixture
def profile(studio: Studio) -> Profile:
    return studio.people.arrive()[0].profiles[0]


async def answered(studio: Studio, profile: Profile, page: str = "nine") -> str:
    """Asks and answers; returns whose question it was."""
    question = await studio.question(profile, page)
    await studio.answer(profile, question, picked=question.items[:1])
    with studio.database.reading() as session:
        return session.get_one(QuestionRow, question.id).model


def beliefs(inference: Inference) -> int:
    return len(inference.beliefs)


def test_the_next_question_is_the_next_models_and_knows_all_answers(
    studio: Studio, profile: Profile, parts: Parts
) -> None:
    async def asked() -> list[str]:
        models = [await answered(studio, profile) for _ in range(2)]
        studio.take_up(parts)
        return [*models, await answered(studio, profile)]

    assert asyncio.run(asked()) == [MODEL, MODEL, SECOND]
    assert studio.model == SECOND
    answers = studio.impressions.answered(profile)
    believed = studio.served.inference.submit(lambda inference: inference.believed(profile, answers)).result()
    assert set(believed.belief.shown) == {int(item.split()[-1]) for told in answers for item in told.items}


def test_what_was_begun_with_the_first_model_ends_with_it(studio: Studio, profile: Profile, parts: Parts) -> None:
    async def made() -> tuple[str, str]:
        strip = asyncio.create_task(studio.strip(profile))
        while not len(studio.tasks):
            await asyncio.sleep(0)
        studio.take_up(parts)
        return (await strip).model, (await studio.strip(profile)).model

    assert asyncio.run(made()) == (MODEL, SECOND)


def test_a_deletion_reaches_the_model_that_was_served_before(studio: Studio, profile: Profile, parts: Parts) -> None:
    first = studio.served

    async def deleted() -> None:
        await answered(studio, profile)
        studio.take_up(parts)
        await answered(studio, profile)
        assert [served.inference.submit(beliefs).result() for served in (first, studio.served)] == [1, 1]
        await studio.start_over(profile)
        while any(served.inference.submit(beliefs).result() for served in (first, studio.served)):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(deleted(), 30))


def test_the_first_models_threads_end_after_a_while(
    studio: Studio, profile: Profile, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefprior.studio.service.LONGEST", 0.05)
    first = studio.served

    async def retired() -> None:
        studio.take_up(parts)
        while first.is_alive or len(studio.tasks):
            await asyncio.sleep(0.01)
        assert await answered(studio, profile) == SECOND

    asyncio.run(asyncio.wait_for(retired(), 30))


def test_a_model_that_comes_again_and_again_ends_each_time(
    studio: Studio, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefprior.studio.service.LONGEST", 0.05)
    before = list[Served]()

    async def retired() -> None:
        for _ in range(3):
            before.append(studio.served)
            studio.take_up(parts)
        while any(served.is_alive for served in before) or len(studio.tasks):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(retired(), 30))


def test_looking_goes_on_after_an_error(studio: Studio, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefprior.studio.renewal.LOOKING_SECONDS", 0.01)
    looks = list[Path]()

    def newer(path: Path, since: float) -> list[Path]:
        looks.append(path)
        if len(looks) == 1:
            raise OSError("away")
        return [Path(__file__)]

    async def watched() -> None:
        renewal = Renewal(Path("gone"), since=0, newer=newer, load=lambda _: parts)
        watching = asyncio.create_task(renewal.watch(studio))
        while studio.model != SECOND:
            await asyncio.sleep(0.01)
        watching.cancel()

    asyncio.run(asyncio.wait_for(watched(), 30))


def test_a_model_that_asks_otherwise_is_refused(studio: Studio, profile: Profile, parts: Parts) -> None:
    other = Offer({name: kind for name, kind in KINDS.items() if name != "roam"}, LEVELS.raw)
    with pytest.raises(ValueError, match="it asks other questions, or takes other answers: restart the studio"):
        studio.take_up(replace(parts, offer=other))
    assert asyncio.run(answered(studio, profile)) == MODEL


def test_a_model_without_pictures_that_are_shown_is_refused(studio: Studio, catalogue: Catalogue, parts: Parts) -> None:
    fewer = Catalogue(catalogue.space, catalogue.ids[3:], catalogue.embeddings_ND[3:])
    sampling = Sampling(catalogue=fewer, certainty=None, making=MAKING)
    with pytest.raises(ValueError, match="its data lack 3 of the pictures, such as 'set a/picture 000'"):
        studio.take_up(replace(parts, sampling=sampling))
    assert studio.model == MODEL
