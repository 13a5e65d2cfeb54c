"""The next questions of several people who wait together are those of each alone."""

import pytest

from prefprior.elicitation.asker import Asker
from prefprior.elicitation.cast import Cast, Pool
from prefprior.elicitation.exploration import Exploration
from prefprior.elicitation.policies.eubo import Eubo
from prefprior.elicitation.policies.information import Information
from prefprior.elicitation.questions import Kind
from prefprior.predictor import Catalogue
from prefprior.studio.inference import Ask, ExhaustedError, Inference
from prefprior.studio.store.impressions import Given, Impression
from prefprior.studio.store.people import Profile


def fresh(cast: Cast, pool: Pool) -> Inference:
    askers = {
        "nine": Asker(policy=Information(proposals=200, tastes=32, starts=4), kind=Kind(9, none=True)),
        "pair": Asker(policy=Eubo(), kind=Kind(2)),
    }
    return Inference(model="m" * 64, cast=cast, pool=pool, askers=askers, exploration=Exploration(0.2))


@pytest.fixture
def waiting(catalogue: Catalogue) -> list[Ask]:
    """Strangers, people who have answered, some of them about items outside of the pool, and one who has seen all."""
    found = []
    for number in range(9):
        answers = [
            Impression(
                1 + 10 * number + i, "pair", "2", (catalogue.ids[start], catalogue.ids[start + 1]), 7 * number + i, 0.0,
                Given(picked=(i % 2,)),
            )
            for i, start in enumerate(range(20 * number, 20 * number + 4 * number, 4))
        ]  # fmt: skip
        if number == 4:
            answers.append(
                Impression(5, "pair", "2", (catalogue.ids[230], catalogue.ids[231]), 5, 0.0, Given(picked=(0,)))
            )
        if number == 7:
            answers += [
                Impression(200 + i, "pair", "2", (catalogue.ids[i], catalogue.ids[i + 1]), i, 0.0, Given(picked=(0,)))
                for i in range(0, 200, 2)
            ]
        profile = Profile(number + 1, number + 1, "My taste", 1000 + number)
        near_D = catalogue.embeddings_ND[50] if number == 5 else None
        hidden = frozenset(catalogue.ids[:30]) if number == 6 else frozenset[str]()
        found.append(Ask(profile, answers, "pair" if number == 2 else "nine", 40 + number, near_D, hidden))
    return found


def test_people_who_wait_together_are_asked_what_each_alone_would_be(
    cast: Cast, pool: Pool, waiting: list[Ask]
) -> None:  # fmt: skip
    together = fresh(cast, pool).ask_all(waiting)
    alone = [fresh(cast, pool).ask_all([each])[0] for each in waiting]
    assert [type(each) for each in together].count(ExhaustedError) == 1
    assert isinstance(together[7], ExhaustedError)
    assert [each for each in together if not isinstance(each, Exception)] == [
        each for each in alone if not isinstance(each, Exception)
    ]
    assert isinstance(alone[7], ExhaustedError)


def test_what_others_ask_at_the_same_time_makes_no_difference(cast: Cast, pool: Pool, waiting: list[Ask]) -> None:
    inference = fresh(cast, pool)
    forwards, backwards = inference.ask_all(waiting[:4]), inference.ask_all(waiting[3::-1])
    assert forwards == backwards[::-1]
