"""The world as a source: repeatable, cached, honest about its scale, and telling the truth about its people."""

from pathlib import Path

import numpy as np
import pytest
import torch

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.pictures import Pictures
from prefprior.data.sources.source import Source
from prefprior.world import catalogue, clip
from prefprior.world.source import BEST, WorldSource


@pytest.fixture(scope="module", autouse=True)
def few_references() -> object:
    """Fewer pictures stand for each school: this is about the machinery."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "EXAMPLES", 4)
        patch.setattr(catalogue, "FINE_EXAMPLES", 32)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embeddings")


@pytest.fixture(scope="module")
def world(root: Path) -> WorldSource:
    return WorldSource(people=60, pictures=400, root=str(root))


@pytest.fixture(scope="module")
def data(world: WorldSource) -> PreferenceDataModule:
    module = PreferenceDataModule(source=world)
    module.setup()
    return module


def test_the_world_is_a_source_with_pictures(world: WorldSource) -> None:
    assert isinstance(world, Source)
    pictures = world.pictures()
    assert isinstance(pictures, Pictures)
    first = pictures.open(pictures.ids[0])
    assert first.mode == "RGB"
    assert first.size == (64, 64)
    assert len({pictures.digest(item) for item in pictures.ids[:40]}) == 40
    with pytest.raises(ValueError, match="no picture"):
        pictures.open("picture-99999")


def test_stored_embeddings_are_those_of_the_pictures(world: WorldSource) -> None:
    table, pictures = world.embeddings(), world.pictures()
    model, preprocess, _ = clip.load()
    with torch.no_grad():
        one = model.encode_image(preprocess(pictures.open(table.ids[7]))[None]).numpy()[0]
    assert np.allclose(one, table.vectors[7], atol=1e-2 * np.abs(one).max())


def test_the_same_seed_gives_the_same_world_and_embeds_once(
    world: WorldSource, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.ratings()

    def never(*_: object) -> None:
        raise AssertionError("embeddings were made again")

    monkeypatch.setattr(clip, "embed_pictures", never)
    again = WorldSource(people=60, pictures=400, root=str(root)).ratings()
    for column in ("user_N", "item_N", "rating_N", "time_N", "users", "items"):
        assert np.array_equal(getattr(before, column), getattr(again, column))


def test_another_seed_gives_another_world_and_replaces_stale_embeddings(tmp_path: Path) -> None:
    one, other = (WorldSource(people=5, pictures=200, seed=seed, root=str(tmp_path)) for seed in (0, 1))
    first = np.array(one.embeddings().vectors)
    second = np.array(other.embeddings().vectors)
    assert not np.allclose(first, second)
    assert np.array_equal(first, one.embeddings().vectors)


def test_ratings_are_a_valid_table(world: WorldSource) -> None:
    table = world.ratings()
    assert set(np.unique(table.rating_N)) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert len(np.unique(table.user_N)) == 60
    assert table.time_N is not None
    assert (np.diff(table.time_N)[np.diff(table.user_N) == 0] > 0).all()
    assert 0.1 < table.liked_N.mean() < 0.7


def test_ratings_say_which_pictures_were_shown(world: WorldSource) -> None:
    shown_N = world.ratings().shown_N
    assert shown_N is not None
    assert 0.4 < shown_N.mean() < 0.9  # a share of .4 and more, for of 400 pictures few are near a taste


def test_settings_of_one_root_do_not_mix(world: WorldSource, root: Path) -> None:
    before = world.ratings()
    others = ({"sought": 0.0}, {"shown": 1.0}, {"noise": 0.5})
    one, other, noisy = (WorldSource(people=60, pictures=400, root=str(root), **given).ratings() for given in others)
    assert one.shown_N is not None
    assert one.shown_N.all()
    assert np.array_equal(one.item_N, other.item_N)  # two ways to say the same
    assert not np.array_equal(one.item_N, before.item_N)
    assert np.array_equal(noisy.item_N, before.item_N)
    assert (noisy.rating_N != before.rating_N).mean() > 0.2
    assert np.array_equal(world.ratings().rating_N, before.rating_N)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sought": 1.2}, r"source\.sought must be at least 0 and at most 1, got 1\.2"),
        ({"shown": -0.1}, r"source\.shown must be at least 0 and at most 1, got -0\.1"),
        ({"noise": -1.0}, r"source\.noise must be at least 0, got -1"),
        ({"noise": float("nan")}, r"source\.noise must be at least 0, got nan"),
    ],
)
def test_impossible_settings_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldSource(**given)


def test_utility_is_zero_for_random_pictures_and_one_for_the_best(world: WorldSource) -> None:
    all_N = world.embeddings().vectors
    for user in ("person-0000", "person-0011", "person-0059"):
        scaled_N = world.scaled_utility(user, all_N, 16)
        assert scaled_N.mean() == pytest.approx(0, abs=1e-6)
        assert np.sort(scaled_N)[-max(round(BEST * len(all_N)), 1) :].mean() == pytest.approx(1)
        assert np.array_equal(np.argsort(scaled_N), np.argsort(world.utility(user, all_N, 16)))


def test_utility_is_the_same_for_torch_and_numpy(world: WorldSource) -> None:
    some = np.array(world.embeddings().vectors[:20])
    assert np.allclose(world.utility("person-0001", some), world.utility("person-0001", torch.from_numpy(some)))


def test_the_catalogue_covers_all_modes(world: WorldSource) -> None:
    all_N = world.embeddings().vectors
    covered = []
    for person in range(20):
        user = f"person-{person:04d}"
        modes = world.modes(user)
        assert 1 <= len(modes) <= 4
        assert all(mode in world.taste_in_words(user) for mode in modes)
        assert set(world.mode_of(user, all_N)) <= set(range(len(modes)))
        assert len(world.modes_covered(user, all_N)) == len(modes)
        assert not world.modes_covered(user, all_N[:0]).any()
        covered.append(world.modes_covered(user, all_N).mean())
    assert np.mean(covered) > 0.9


def test_unknown_users_and_tiny_worlds_are_refused(world: WorldSource, tmp_path: Path) -> None:
    for stranger in ("bob", "person-60", "person-0060", "person-00001"):
        with pytest.raises(ValueError, match=r"person-0000 to person-0059"):
            world.utility(stranger, world.embeddings().vectors[:1])
    with pytest.raises(ValueError, match="200 pictures"):
        WorldSource(pictures=10, root=str(tmp_path))


def test_a_share_of_the_users_chooses(root: Path, world: WorldSource) -> None:
    table, plain = WorldSource(people=60, pictures=400, choices=0.5, root=str(root)).ratings(), world.ratings()
    assert plain.question_N is None
    assert table.question_N is not None
    asks_U = np.bincount(table.user_N, weights=table.question_N >= 0, minlength=60) > 0
    assert 0.2 < asks_U.mean() < 0.8
    for user in np.flatnonzero(~asks_U):
        own, before = table.user_N == user, plain.user_N == user
        assert np.array_equal(table.item_N[own], plain.item_N[before])
        assert np.array_equal(table.rating_N[own], plain.rating_N[before])
    assert table.picked_N.any()
    assert np.array_equal(table.liked_N[table.question_N >= 0], table.picked_N[table.question_N >= 0])


SESSION = "user,item,rating,question,picked,time"


def answered(root: Path, *rows: str, header: str = SESSION, choices: float = 0.0) -> WorldSource:
    path = root / "sessions.csv"
    path.write_text("\n".join([header, *rows, ""]))
    return WorldSource(people=60, pictures=400, root=str(root), sessions=str(path), choices=choices)


def new_pictures(world: WorldSource, person: int, count: int) -> list[str]:
    table = world.ratings()
    return [str(i) for i in np.delete(table.items, table.item_N[table.user_N == person])[:count]]


@pytest.mark.parametrize("choices", [0.0, 1.0])
def test_sessions_are_appended_to_the_histories_of_their_users(root: Path, world: WorldSource, choices: float) -> None:
    a, b, c = new_pictures(world, 3, 3)
    rows = (f"person-0003,{a},4,,,1900000000", f"person-0003,{b},,q,0,1900000060", f"person-0003,{c},,q,1,1900000060")
    asked = answered(root, *rows, choices=choices).ratings()
    before = WorldSource(people=60, pictures=400, root=str(root), choices=choices).ratings()
    assert len(asked) == len(before) + 3
    assert asked.question_N is not None
    own = np.flatnonzero(asked.user_N == 3)[-3:]
    assert asked.items[asked.item_N[own]].tolist() == [a, b, c]
    assert asked.rating_N[own].tolist() == [4, 1, 5]
    assert asked.question_N[own][0] == -1
    assert len(set(asked.question_N[own][1:])) == 1
    assert asked.starts_answer_N[own].tolist() == [True, True, False]
    assert asked.shown_N is not None
    assert asked.shown_N[own].all()


def test_the_first_rating_of_a_picture_stands(root: Path, world: WorldSource) -> None:
    table = world.ratings()
    item = table.items[table.item_N[table.user_N == 3][0]]
    asked = answered(root, f"person-0003,{item},1,,,1900000000").ratings()
    assert len(asked) == len(table)
    assert asked.counts["rating in a session of a picture that was rated before"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("person-0099,picture-00001,3,,,1", r"sessions\.csv:2: .*no user 'person-0099'.*person-0000 to person-0059"),
        ("person-0001,picture-99999,3,,,1", r"sessions\.csv:2: the world has no item 'picture-99999'"),
        ("person-0001,picture-00001,,,,1", r"sessions\.csv:2: the row has neither a rating nor a question"),
        ("person-0001,picture-00001,7,,,1", r"sessions\.csv:2: the rating 7 is outside the scale 1 to 5"),
        ("person-0001,picture-00001,3,,,", r"sessions\.csv:2: the time is missing"),
        ("person-0001,picture-00001,,q,1,1", r"sessions\.csv:2: the question of user 'person-0001' shows this"),
        ("person-0001,picture-00001,,q,2,1", r"sessions\.csv:2: picked is '2'"),
    ],
)  # fmt: skip
def test_sessions_of_another_world_and_impossible_answers_are_refused(root: Path, row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answered(root, row).ratings()
