"""Studies in the database: how people are dealt, what is kept of an arm, and what came of it; and the script that
compares."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from prefprior.studio.store.albums import STRIP, Album, Albums, Picture
from prefprior.studio.store.database import Database
from prefprior.studio.store.impressions import Draw, Given, Impressions
from prefprior.studio.store.people import People, Profile
from prefprior.studio.store.picture_files import name_of
from prefprior.studio.store.studies import Arm, Studies, Study
from prefprior.studio.store.tables import TriedRow
from prefprior.studio.store.tried import Tried, Tries
from tests.studio.small import LEVELS, small_files

SCRIPT = Path(__file__).parents[2] / "scripts/study.py"
EUBO, RANDOM = ({"nine": {"_target_": f"somewhere.{name}", name: 1}} for name in ("Eubo", "Random"))
A, B = ({"run": name, "model": name * 64, "policies": EUBO} for name in "ab")


@pytest.fixture
def studies(sqlite: Database) -> Studies:
    return Studies(sqlite)


@pytest.fixture
def study(studies: Studies) -> Study:
    return studies.open([A, B], LEVELS.raw)


def asked(
    database: Database, profile: Profile, arm: Arm | None, given: Given | None, page: str = "nine", kind: str = "9+none"
) -> None:
    items = tuple("abcdefghi"[: int(kind[0])])
    draw = Draw(page, kind, items, (0.1,) * len(items), "eubo", "m" * 64, 7)
    question = Impressions(database).record(profile, draw, arm=arm)
    if given is not None:
        Impressions(database).answer(profile, question.id, given, 1.0)


def strip(
    database: Database, study: Study, profile: Profile, arms: tuple[Arm, ...], seed: int = 5,
    hidden: frozenset[str] = frozenset(),
) -> Tried:  # fmt: skip
    """Made, and shown by a page."""
    contents = [f"{seed}-{place}".encode() for place in range(len(arms))]
    pictures = tuple(Picture(name_of(each), arm=arm) for each, arm in zip(contents, arms, strict=True))
    album = Album(f"{seed}", 1, "m" * 64, "decoder", seed, 0.5, None, pictures, study=arms[0].study)
    albums = Albums(database, small_files(database))
    albums.replace(profile, album, contents)
    kept = albums.of(profile)
    assert kept is not None
    return Tries(database).show(study, profile, kept, hidden)


def test_of_each_four_people_two_are_in_each_arm(study: Study) -> None:
    places = [study.arm_of(person).place for person in range(400)]
    assert all(sum(places[first : first + 4]) == 2 for first in range(0, 400, 4))
    orders = {tuple(places[first : first + 4]) for first in range(0, 400, 4)}
    assert len(orders) == 6, "all orders come"


def test_each_place_in_a_block_is_in_either_arm_about_as_often(study: Study) -> None:
    place_BT = np.array([study.arm_of(person).place for person in range(4000)]).reshape(-1, 4)
    assert np.abs(place_BT.mean(0) - 0.5).max() < 4 * 0.5 / np.sqrt(1000)


def test_who_is_where_follows_from_the_key(studies: Studies, study: Study) -> None:
    other = studies.open([A, B | {"policies": RANDOM}], LEVELS.raw)
    people = range(100)
    assert [study.arm_of(each) for each in people] == [studies.all()[0].arm_of(each) for each in people]
    assert [study.arm_of(each).place for each in people] != [other.arm_of(each).place for each in people]


def test_a_study_goes_on_with_its_arms_in_any_order_and_wherever_the_runs_are(studies: Studies, study: Study) -> None:
    again = studies.open([B | {"run": "moved"}, A], LEVELS.raw)
    assert again == study
    assert [study.place_of(arm) for arm in (A, B | {"run": "moved"})] == [0, 1]


@pytest.mark.parametrize(
    ("arms", "levels"),
    [
        ([A, B | {"model": "c" * 64}], LEVELS.raw),
        ([A, B | {"policies": RANDOM}], LEVELS.raw),
        ([A, B], (0.0, 1.0)),
        ([A | {"settings": {"tastes": 9}}, B | {"settings": {"tastes": 9}}], LEVELS.raw),
    ],
)
def test_other_arms_are_another_study(studies: Studies, study: Study, arms: list[Any], levels: tuple[float]) -> None:
    assert studies.open(arms, levels).id != study.id
    assert studies.open([A, B], LEVELS.raw) == study, "everybody is in the arm they were in"


SET = {"tastes": 1000, "safety": None, "making": {"n": 6, "at_once": 2}, "axes": ["darker"]}


@pytest.mark.parametrize(
    ("arms", "levels", "told"),
    [
        ([A, B], LEVELS.raw, []),
        ([B | {"run": "moved"}, A], LEVELS.raw, []),
        ([A, B], (0.0, 1.0), ["ratings=[1.0, 2.0, 3.0, 4.0, 5.0] (now [0.0, 1.0])"]),
        ([A, B | {"model": "c" * 64}], LEVELS.raw, [f"model={'b' * 12} (now {'c' * 12}) in arm B"]),
        ([B | {"policies": RANDOM}, A], LEVELS.raw, ["nine=Eubo (now Random) in arm B"]),
    ],
)
def test_a_study_tells_what_another_one_changes(
    studies: Studies, study: Study, arms: list[Any], levels: tuple[float], told: list[str]
) -> None:
    assert study.differences(studies.open(arms, levels)) == told


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"tastes": 900, "making": {"n": 4, "at_once": 2}}, ["tastes=1000 (now 900)", "making.n=6 (now 4)"]),
        ({"safety": {"_target_": "somewhere.Filter", "threshold": 1}}, ["safety=null (now Filter)"]),
        ({"axes": ("darker",)}, []),
        ({"axes": ()}, ['axes=["darker"] (now [])']),
        ({"new": True}, ["new=null (now true)"]),
    ],
)
def test_a_setting_of_both_arms_is_told_once(studies: Studies, changed: dict[str, Any], told: list[str]) -> None:
    before, now = (
        studies.open([arm | {"settings": settings} for arm in (A, B)], LEVELS.raw) for settings in (SET, SET | changed)
    )
    assert studies.all()[0].differences(now) == before.differences(now) == told


def test_a_study_goes_on_where_a_later_version_has_one_more_setting_that_is_off(studies: Studies) -> None:
    before, now = (
        studies.open([arm | {"settings": SET | {"making": making}} for arm in (A, B)], LEVELS.raw)
        for making in ({"n": 6}, {"n": 6, "frames": None})
    )
    assert now == before


def test_two_arms_that_are_one_are_refused(studies: Studies) -> None:
    with pytest.raises(ValueError, match="the same model and ask in the same way"):
        studies.open([A, A | {"run": "a copy"}], LEVELS.raw)
    assert studies.all() == []


def test_outcomes_are_of_the_study_alone(sqlite: Database, studies: Studies, study: Study) -> None:
    first, second = (People(sqlite).arrive()[0] for _ in range(2))
    other = People(sqlite).add_profile(first, "other")
    mine, arm = first.profiles[0], Arm(study.id, 1)
    asked(sqlite, mine, None, Given(picked=(0,)))  # before the study
    asked(sqlite, mine, Arm(study.id + 1, 0), Given(picked=(0,)))
    asked(sqlite, mine, arm, Given(picked=(3,)))
    asked(sqlite, mine, arm, Given())
    asked(sqlite, mine, arm, None, "pair", "2")
    asked(sqlite, other, arm, Given(picked=(1,)), "pair", "2")
    asked(sqlite, other, arm, Given(rating=4.0), "rate", "1")
    asked(sqlite, other, arm, Given(rating=3.0), "rate", "1")
    asked(sqlite, other, arm, Given(rating=5.0), "roam", "1")
    asked(sqlite, second.profiles[0], Arm(study.id, 0), None)
    found = studies.outcomes(study)
    assert set(found) == {first.id, second.id}
    told = found[first.id]
    assert (told.arm, told.answers, told.offered, told.picked) == (1, 6, 2, 1)
    assert (told.ratings, told.judged, told.liked) == ([4.0, 3.0], 3, 2)
    assert (found[second.id].arm, found[second.id].answers) == (0, 0)


def test_likes_count_for_the_arm_that_made_the_picture_and_outlive_the_strip(
    sqlite: Database, studies: Studies, study: Study
) -> None:
    person = People(sqlite).arrive()[0]
    profile, arms = person.profiles[0], (Arm(study.id, 0), Arm(study.id, 1))
    tries = Tries(sqlite)
    first = strip(sqlite, study, profile, (arms[0], arms[1], arms[1], arms[0])).strip
    assert tries.like(profile, first, 1, liked=True)
    assert tries.like(profile, first, 3, liked=True)
    second = strip(sqlite, study, profile, (arms[1], arms[0]), seed=6).strip
    assert tries.like(profile, second, 0, liked=True)
    assert tries.like(profile, first, 3, liked=False)
    again = strip(sqlite, study, profile, (arms[0], arms[1], arms[1], arms[0]))  # after an answer was taken back
    assert again == Tried(first, frozenset({1}))
    told = studies.outcomes(study)[person.id]
    assert (told.shown, told.liked_made) == ([3, 3], [0, 2])


def test_hidden_pictures_count_once_they_are_shown(sqlite: Database, studies: Studies, study: Study) -> None:
    person, arms = People(sqlite).arrive()[0], (Arm(study.id, 0), Arm(study.id, 1), Arm(study.id, 1))
    profile = person.profiles[0]
    tried = strip(sqlite, study, profile, arms, hidden=frozenset({name_of(b"5-1")}))
    assert not Tries(sqlite).like(profile, tried.strip, 1, liked=True)
    assert studies.outcomes(study)[person.id].shown == [1, 1]
    assert strip(sqlite, study, profile, arms) == tried
    assert studies.outcomes(study)[person.id].shown == [1, 2]


def test_what_is_shown_after_a_deletion_is_not_kept(sqlite: Database, studies: Studies, study: Study) -> None:
    profile = People(sqlite).arrive()[0].profiles[0]
    album = Album("s", 1, "m" * 64, "d", 5, 0.5, None, (Picture("n" * 64, arm=Arm(study.id, 0)),), study=study.id)
    People(sqlite).start_over(profile)
    Tries(sqlite).show(study, profile, album, frozenset())
    assert studies.outcomes(study) == {}


def test_numbers_of_a_study_follow_from_its_key_alone(studies: Studies, study: Study) -> None:
    other = studies.open([A, B | {"policies": RANDOM}], LEVELS.raw)
    assert study.drawn("album", 7) == studies.all()[0].drawn("album", 7)
    assert (
        len({study.drawn("album", 7), other.drawn("album", 7), study.drawn("strip", 7), study.drawn("album", 8)}) == 4
    )


def test_nobody_likes_a_picture_of_somebody_else(sqlite: Database, study: Study) -> None:
    one, other = (People(sqlite).arrive()[0].profiles[0] for _ in range(2))
    tried = strip(sqlite, study, one, (Arm(study.id, 0),))
    assert not Tries(sqlite).like(other, tried.strip, 0, liked=True)
    assert not Tries(sqlite).like(one, tried.strip, 1, liked=True)
    assert strip(sqlite, study, one, (Arm(study.id, 0),)).liked == set()


@pytest.mark.parametrize("how", ["start_over", "delete_profile", "delete"])
def test_what_is_deleted_is_out_of_the_study(sqlite: Database, studies: Studies, study: Study, how: str) -> None:
    person = People(sqlite).arrive()[0]
    profile, arm = person.profiles[0], Arm(study.id, 0)
    strip(sqlite, study, profile, (arm, arm))
    asked(sqlite, profile, arm, Given(picked=(1,)))
    getattr(People(sqlite), how)(person if how == "delete" else profile)
    assert studies.outcomes(study) == {}
    with sqlite.reading() as session:
        assert session.scalar(select(func.count()).select_from(TriedRow)) == 0


def test_an_export_holds_likes_and_no_arm(sqlite: Database, study: Study) -> None:
    person = People(sqlite).arrive()[0]
    profile, arm = person.profiles[0], study.arm_of(person.id)
    asked(sqlite, profile, None, Given(picked=(1,)))
    asked(sqlite, profile, arm, Given(picked=(1,)))
    tried = strip(sqlite, study, profile, (arm, Arm(study.id, 1 - arm.place)))
    Tries(sqlite).like(profile, tried.strip, 1, liked=True)
    told = People(sqlite).everything(person)["profiles"][0]
    before, within = told["questions"]
    assert (before["model"], before["policy"]) == ("m" * 64, "eubo")
    assert (within["model"], within["policy"]) == (None, None)
    assert [told["made"][0][key] for key in ("kind", "model", "decoder", "state", "seed")] == [STRIP, *[None] * 4]
    assert study.key not in str(told)
    assert [(each["place"], each["liked_at"] is not None) for each in told["tried"]] == [(1, False), (2, True)]
    assert not {"arm", "study"} & set(keys(told))


def keys(told: Any) -> list[str]:
    """Of all that is in it."""
    if isinstance(told, dict):
        return [*told, *(key for each in told.values() for key in keys(each))]
    return [key for each in told for key in keys(each)] if isinstance(told, list) else []


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peopled(database: Database, study: Study, people: int = 16) -> None:
    """The second arm asks about what people like: 3 of 4, not 1 of 4. They like as much of what both make."""
    for number in range(people):
        person = People(database).arrive()[0]
        arm, profile = study.arm_of(person.id), person.profiles[0]
        for turn in range(4):
            good = turn < (3 if arm.place else 1) + (number % 3 == 0) - (number % 4 == 0)
            asked(database, profile, arm, Given(rating=5.0 if good else 1.0), "rate", "1")
        tried = strip(database, study, profile, (Arm(study.id, 0), Arm(study.id, 1)))
        Tries(database).like(profile, tried.strip, number // 2 % 2, liked=True)


def test_the_script_finds_the_better_arm(
    script: ModuleType, sqlite: Database, study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    peopled(sqlite, study)
    words = [sqlite.engine.url.render_as_string(), "--effect", "0.2"]
    script.main(words)
    printed = capsys.readouterr().out
    assert f"study {study.id}\n  A: a ({'a' * 12}; nine eubo): " in printed
    rating, made = (printed.split(f"\n{name}: ")[1].split("\n")[:4] for name in ("rating", "made"))
    assert "B has more" in rating[2]
    assert "people, within each" in made[0]
    assert "no difference is shown" in made[2]
    assert "a difference of 0.2 of the range needs" in made[3]
    assert "(p < 0.013: 0.05 shared by all measures)" in made[3]
    assert "not compared, for lack of people in both arms: picked" in printed
    script.main(words)
    assert capsys.readouterr().out == printed
    script.main([*words, "--measure", "rating"])
    alone = capsys.readouterr().out
    assert "liked: " not in alone
    assert "B has more" in alone


def test_what_cannot_be_compared_is_told(
    script: ModuleType, sqlite: Database, studies: Studies, tmp_path: Path
) -> None:
    url = sqlite.engine.url.render_as_string()

    def said(*words: str) -> str:
        with pytest.raises(SystemExit) as caught:
            script.main(list(words))
        return str(caught.value.code)

    assert "there is no database" in said(f"sqlite:///{tmp_path / 'none.sqlite'}")
    assert "begin one with python serve.py 'study=[RUN,RUN]'" in said(url)
    study = studies.open([A, B], LEVELS.raw)
    assert "nobody has been asked anything in arm A" in said(url)
    asked(sqlite, People(sqlite).arrive()[0].profiles[0], Arm(study.id, 0), Given())
    assert "nobody has been asked anything in arm B" in said(url)
    assert f"there is no study 9 in {url}: it has {study.id}" in said(url, "--study", "9")
    assert "did you mean rating?" in said(url, "--measure", "ratings")
    assert "power must be at least" in said(url, "--power", "1")
    assert "seed must be at least 0" in said(url, "--seed", "-1")
    for name, content in (("text", b"no database"), ("nothing", b"")):
        (tmp_path / name).write_bytes(content)
    assert "file is not a database" in said(f"sqlite:///{tmp_path / 'text'}")
    assert "are of no studio" in said(f"sqlite:///{tmp_path / 'nothing'}")
    assert "Give sqlite:///FILE" in said("nonsense")
    assert not (tmp_path / "none.sqlite").exists()
