"""Shards: the same batches as from memory, resumable, and refused when broken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.hashing import mix
from prefprior.data.histories.assembler import Assembler
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.loader import DRAW, FixedBatches
from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import RatingScaling
from prefprior.data.shards.manifest import COUNTS, MANIFEST, Shard, ShardSet
from prefprior.data.shards.stored import StoredShards
from prefprior.data.shards.streaming import FixedShardBatches, ShardBatches
from prefprior.data.shards.tars import RECORD, read_shards
from prefprior.data.shards.write import write_shards
from prefprior.data.splits import Splits
from prefprior.files import read_json, write_json
from prefprior.history import concatenate
from prefprior.ratings import RatingsTable
from tests.data.small import SmallSource, module, ratings, same

TWO = np.zeros(2, RECORD)  # one question of two items, of which none was picked
TWO["propensity"] = np.nan


def sharded(root: Path, least: int = 6, table: RatingsTable | None = None, **arguments: object) -> PreferenceDataModule:
    data = module(table or ratings(users=60), **arguments)
    write_shards(data.tables, root / "small" / "small-space", shard_bytes=10**9, least=least)
    return data


def streamed(
    root: Path, window: int = 4, table: RatingsTable | None = None, **arguments: object
) -> PreferenceDataModule:
    shards = StoredShards(root=str(root), window=window)
    data = PreferenceDataModule(source=SmallSource(table or ratings()), shards=shards, **arguments)
    data.setup()
    return data


@pytest.mark.parametrize("pairs", [False, True])
def test_shards_and_memory_give_the_same_batches(tmp_path: Path, pairs: bool) -> None:
    data = sharded(tmp_path, table=ratings(users=60, pairs=pairs), batch_size=8, draws=DrawRule(order="time"))
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    sequences, vectors = read_shards(shards.parts["train"][:3], shards.space.dim)
    memory = data.tables.assembler("train")
    key = mix(0, DRAW, 5, sequences.hash_U)
    there = {user: i for i, user in enumerate(memory.sequences.users)}
    one = Assembler(sequences, vectors, shards.scale).batch(np.arange(len(sequences)), key, data.draws)
    other = memory.batch(np.array([there[u] for u in sequences.users]), key, data.draws)
    assert same(one, other)


def test_shards_keep_how_ratings_came_about(tmp_path: Path) -> None:
    rule = DrawRule(shown_histories=0.5, weighting="ips")
    data = sharded(tmp_path, table=ratings(users=60, origins=True), batch_size=8, draws=rule)
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    sequences, vectors = read_shards(shards.parts["train"][:3], shards.space.dim)
    memory = data.tables.assembler("train")
    key = mix(0, DRAW, 5, sequences.hash_U)
    there = {user: i for i, user in enumerate(memory.sequences.users)}
    one = Assembler(sequences, vectors, shards.scale).batch(np.arange(len(sequences)), key, rule)
    other = memory.batch(np.array([there[u] for u in sequences.users]), key, rule)
    assert one.target_weight_BT is not None
    assert same(one, other)


@pytest.mark.parametrize("by", ["user", "item"])
def test_shards_and_memory_have_the_same_validation(tmp_path: Path, by: str) -> None:
    data = sharded(tmp_path, batch_size=8, splits=Splits(by=by, val=0.3, test=0))
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    fixed = FixedShardBatches(shards, ["val"], data.draws, batch_size=8, seed=0)
    memory = FixedBatches(data.tables.assembler("val"), data.draws, batch_size=8, seed=0)
    one, other = (concatenate([batches[i] for i in range(len(batches))]) for batches in (fixed, memory))
    order = [one.history.users.index(user) for user in other.history.users]
    assert one.history.items_BK[order].tolist() == other.history.items_BK.tolist()
    assert one.target_item_BT[order].tolist() == other.target_item_BT.tolist()
    assert one.history.ratings_BK[order].tolist() == other.history.ratings_BK.tolist()


def test_each_pass_contains_each_user_once(tmp_path: Path) -> None:
    data = sharded(tmp_path)
    people = sorted(data.users("train"))
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    batches = ShardBatches(shards, data.draws, batch_size=1, seed=0, window=2)
    passes = [[batches[p * len(people) + i].history.users[0] for i in range(len(people))] for p in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == people
    assert passes[0] != passes[1]


@pytest.mark.parametrize(("world", "workers"), [(2, 0), (1, 3), (3, 2)])
def test_workers_and_ranks_partition_the_shards(tmp_path: Path, world: int, workers: int) -> None:
    data = sharded(tmp_path)
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    lanes: list[set[str]] = []
    for rank in range(world):
        batches = ShardBatches(
            shards, data.draws, batch_size=world, seed=0, window=2, rank=rank, world=world, workers=workers
        )
        for worker in range(max(workers, 1)):
            shards_of_lane = batches._shards_of(rank * max(workers, 1) + worker, 0)
            users = sum(shard.users for shard in shards_of_lane)
            places = [(i * max(workers, 1) + worker) * world for i in range(users)]
            lanes.append({batches[place].history.users[0] for place in places})
    assert sum(map(len, lanes)) == len(data.users("train"))
    assert set.union(*lanes) == set(data.users("train"))
    with pytest.raises(ValueError, match="make more"):
        ShardBatches(shards, data.draws, batch_size=7, seed=0, window=2, world=7)


def test_the_stream_resumes_and_repeats(tmp_path: Path) -> None:
    sharded(tmp_path)
    settings = {"batch_size": 8, "epoch_batches": 12, "window": 2}
    whole = list(streamed(tmp_path, **settings).train_dataloader())
    stopped = streamed(tmp_path, **settings)
    iterator = iter(stopped.train_dataloader())
    for _ in range(5):
        next(iterator)
    resumed = streamed(tmp_path, **settings)
    resumed.load_state_dict(stopped.state_dict())
    assert all(same(a, b) for a, b in zip(whole[5:], resumed.train_dataloader()))
    helped = streamed(tmp_path, **settings, workers=2)
    assert all(
        same(a, b)
        for a, b in zip(helped.train_dataloader(), streamed(tmp_path, **settings, workers=2).train_dataloader())
    )
    assert len(list(helped.val_dataloader())) >= 1
    assert helped.item_counts().sum() == helped.stored.rating_count("train")
    assert len(helped.catalogue) == len(helped.item_counts())


def test_shards_and_memory_give_the_same_ratings_to_learn_from(tmp_path: Path) -> None:
    def rated(found: Sequences) -> dict[str, list[tuple[int, float]]]:
        return {
            user: list(zip(found.item_N[rows].tolist(), found.rating_N[rows].tolist()))
            for user, start, count in zip(found.users, found.start_U, found.count_U)
            for rows in [slice(start, start + count)]
        }

    data = sharded(tmp_path)
    assert rated(streamed(tmp_path).training_sequences(10**9)) == rated(data.training_sequences(10**9))


def test_few_ratings_to_learn_from_are_those_of_the_first_shards(tmp_path: Path) -> None:
    data = sharded(tmp_path)
    most = len(data.part("train")) // 2
    some = streamed(tmp_path).training_sequences(most)
    assert 0 < len(some.rating_N) <= most
    assert set(some.users) < set(data.users("train"))


def test_webdataset_reads_the_shards(tmp_path: Path) -> None:
    data = sharded(tmp_path, least=1)
    pipeline = webdataset.WebDataset(
        str(tmp_path / "small" / "small-space" / "train-000000.tar"), shardshuffle=False, empty_check=False
    )
    samples = list(pipeline.decode().to_tuple("__key__", "ratings.npy", "embeddings.npy"))
    train = data.part("train")
    assert sorted(user for user, _, _ in samples) == sorted(data.users("train"))
    for user, ratings_N, vectors_ND in samples:
        rows = train.user_N == train.users.tolist().index(user)
        assert ratings_N["item"].tolist() == train.item_N[rows].tolist()
        assert ratings_N["rating"].tolist() == train.rating_N[rows].tolist()
        assert np.array_equal(vectors_ND, data.catalogue.embeddings_ND.numpy()[ratings_N["item"]])


def test_any_user_id_can_be_a_key(tmp_path: Path) -> None:
    strange = ratings(users=5, each=2)
    strange.users[:] = ["a/b c.d", "..", "long" * 60, "__x__", "\u00fc~%2E"]
    data = sharded(tmp_path, table=strange, least=1, splits=Splits(by="user", val=0, test=0))
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    sequences, _ = read_shards(shards.parts["train"], shards.space.dim)
    assert sorted(sequences.users) == sorted(data.users("train")) == sorted(strange.users)


def test_writing_shards_is_deterministic(tmp_path: Path) -> None:
    for name in ("one", "two"):
        sharded(tmp_path / name)
    one, two = (sorted((tmp_path / name).rglob("*.*")) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def manifest_with(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = read_json(folder / MANIFEST)
    change(value)
    write_json(folder / MANIFEST, value)


def test_a_truncated_or_missing_tar_is_refused_by_name(tmp_path: Path) -> None:
    sharded(tmp_path)
    folder = tmp_path / "small" / "small-space"
    path = folder / "train-000001.tar"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"train-000001.tar has \d+ bytes instead of"):
        ShardSet.open(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"train-000001.tar is missing"):
        ShardSet.open(folder)


def test_a_tar_with_one_changed_bit_is_refused_by_name(tmp_path: Path) -> None:
    sharded(tmp_path)
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    path = shards.parts["train"][1].path
    changed = bytearray(path.read_bytes())
    changed[changed.index(b"NUMPY") + 200] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ValueError, match=r"train-000001.tar has changed since"):
        read_shards(shards.parts["train"], 8)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"npy": np.zeros(3)}, "does not contain ratings"),
        ({"ratings.npy": TWO}, "does not contain ratings"),
        ({"ratings.npy": TWO, "embeddings.npy": np.zeros((2, 7))}, "embeddings of 8 dimensions"),
        ({"ratings.npy": TWO, "embeddings.npy": np.zeros((3, 8))}, "does not contain ratings"),
        ({"ratings.npy": np.zeros(2), "embeddings.npy": np.zeros((2, 8))}, "does not contain ratings"),
        ({"ratings.npy": np.zeros(0, RECORD), "embeddings.npy": np.zeros((0, 8))}, "does not contain ratings"),
        ({"ratings.npy": b"junk", "embeddings.npy": np.zeros((2, 8))}, "does not contain ratings"),
        (
            {"ratings.npy": TWO, "embeddings.npy": np.zeros((2, 8))},
            "contains 1 users with 2 ratings",
        ),
    ],
)
def test_a_foreign_tar_is_refused_by_name(tmp_path: Path, sample: dict[str, Any], message: str) -> None:
    path = tmp_path / "x.tar"
    with webdataset.TarWriter(str(path)) as tar:
        tar.write({"__key__": "a", **sample})
    with pytest.raises(ValueError, match=f"x.tar .*{message}"):
        read_shards([Shard.of(path, users=2, ratings=2)], 8)


def test_a_file_that_is_not_a_tar_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"x" * 2000)
    with pytest.raises(ValueError, match=r"x.tar does not contain ratings"):
        read_shards([Shard.of(path, users=2, ratings=2)], 8)


def test_reading_unpickles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    sample = {"ratings.npy": TWO, "embeddings.npy": np.zeros((2, 8))}
    with webdataset.TarWriter(str(path)) as tar:
        tar.write({"__key__": "a", **sample, "pyd": b"not to be read", "npy.gz": b"neither"})
    assert read_shards([Shard.of(path, users=1, ratings=2)], 8)[0].users == ["a"]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("parts"),
        lambda value: value.update(parts=[]),
        lambda value: value.update(space={}),
        lambda value: value.update(rating_scale={"low": 1}),
        lambda value: value.update(person_scale=None),
        lambda value: value["parts"]["train"][0].pop("sha256"),
        lambda value: value["parts"]["train"][0].update(users="9"),
        lambda value: value["parts"]["train"][0].update(users=-1),
        lambda value: value["parts"]["train"][0].update(name="../x.tar"),
        lambda value: value["parts"]["train"][0].update(name=5),
        lambda value: value.update(format=1),
    ],
)
def test_a_broken_manifest_is_refused_by_name(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    sharded(tmp_path)
    folder = tmp_path / "small" / "small-space"
    manifest_with(folder, change)
    with pytest.raises(ValueError, match=r"manifest\.json(:| is not) .*python shard\.py"):
        ShardSet.open(folder)


def test_missing_item_counts_are_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / "small" / "small-space" / COUNTS).unlink()
    with pytest.raises(ValueError, match=r"item_counts\.npy is missing"):
        streamed(tmp_path).item_counts()


def test_without_shards_the_error_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"python shard\.py"):
        streamed(tmp_path / "nowhere")


def test_split_and_scaling_of_existing_shards_cannot_be_changed(tmp_path: Path) -> None:
    sharded(tmp_path)
    with pytest.raises(ValueError, match=r"data\.splits\.by=auto, .*python shard\.py .*data\.splits\.by=item"):
        streamed(tmp_path, splits=Splits(by="item"))
    with pytest.raises(ValueError, match=r"made with data\.scaling\.how=person"):
        streamed(tmp_path, scaling=RatingScaling(how="scale"))


def test_shards_of_other_ratings_are_refused(tmp_path: Path) -> None:
    sharded(tmp_path)
    same_people = streamed(tmp_path, table=ratings(users=60))
    assert len(same_people.part("train")) == same_people.stored.rating_count("train")
    for read in (lambda data: data.part("train"), lambda data: data.ratings):
        with pytest.raises(ValueError, match=r"not that of the shards.*python shard\.py"):
            read(streamed(tmp_path, table=ratings(users=59)))


def test_shards_of_other_embeddings_are_refused(tmp_path: Path) -> None:
    made = sharded(tmp_path)
    source = SmallSource(ratings(users=60))
    shards = StoredShards(root=str(tmp_path))
    assert PreferenceDataModule(source=source, shards=shards).catalogue.ids == made.catalogue.ids
    source.ids, source.vectors = source.ids[1:], source.vectors[1:]  # each row is another picture now
    with pytest.raises(ValueError, match=r"rows may refer to other pictures.*python shard\.py"):
        _ = PreferenceDataModule(source=source, shards=shards).catalogue


def test_tars_of_an_earlier_set_are_removed(tmp_path: Path) -> None:
    sharded(tmp_path, least=6)
    sharded(tmp_path, least=2)
    found = sorted(path.name for path in (tmp_path / "small" / "small-space").glob("train-*"))
    assert found == ["train-000000.tar", "train-000001.tar"]


def test_shards_hold_equal_numbers_of_users(tmp_path: Path) -> None:
    data = sharded(tmp_path, least=7)
    users = [shard.users for shard in ShardSet.open(tmp_path / "small" / "small-space").parts["train"]]
    assert len(users) == 7
    assert sum(users) == len(data.users("train"))
    assert max(users) - min(users) <= 1
