"""Shards: the same batches as from memory, resumable, and refused when broken."""

from pathlib import Path

import numpy as np
import pytest
import webdataset

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.hashing import mix
from prefprior.data.histories.loader import DRAW, FixedBatches
from prefprior.data.histories.sequences import Assembler, Sequences
from prefprior.data.scaling import RatingScaling
from prefprior.data.shards.datamodule import ShardDataModule
from prefprior.data.shards.format import ShardSet, digest, read_shards, write_manifest, write_part
from prefprior.data.shards.streaming import FixedShardBatches, ShardBatches
from prefprior.data.splits import Splits
from prefprior.history import join
from prefprior.ratings import RatingsTable
from tests.data.small import SmallSource, module, ratings
from tests.data.test_datamodule import same


def sharded(root: Path, least: int = 6, table: RatingsTable | None = None, **arguments: object) -> PreferenceDataModule:
    data = module(table or ratings(users=60), **arguments)
    folder = root / "small" / "small-space"
    parts = {}
    for name in data.part_names:
        sequences = Sequences.of(data.part(name), None if name == "train" else data.part("train"))
        parts[name] = write_part(
            folder, name, sequences, data.catalogue.embeddings_ND.numpy(), shard_bytes=10**9, least=least
        )
    write_manifest(
        folder, "small", data.space, data.scale, parts, data.item_counts(), data.settled(), digest(data.part("train"))
    )
    return data


def streamed(root: Path, **arguments: object) -> ShardDataModule:
    data = ShardDataModule(source=SmallSource(ratings()), root=str(root), **arguments)  # type: ignore[arg-type]
    data.setup()
    return data


@pytest.mark.parametrize("pairs", [False, True])
def test_both_ways_give_the_same_batches_for_the_same_draws(tmp_path: Path, pairs: bool) -> None:
    data = sharded(tmp_path, table=ratings(users=60, pairs=pairs), batch_size=8, order="time")
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    sequences, vectors = read_shards(shards.parts["train"][:3], shards.space.dim)
    memory = data._assembler(data.part("train"), None)
    key = mix(0, DRAW, 5, sequences.hash_U)
    there = {user: i for i, user in enumerate(memory.sequences.users)}
    one = Assembler(sequences, vectors, shards.scale).batch(np.arange(len(sequences)), key, data.rule)
    other = memory.batch(np.array([there[u] for u in sequences.users]), key, data.rule)
    assert same(one, other)


@pytest.mark.parametrize("by", ["user", "item"])
def test_validation_is_the_same_both_ways(tmp_path: Path, by: str) -> None:
    data = sharded(tmp_path, batch_size=8, splits=Splits(by=by, val=0.3, test=0))
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    fixed = FixedShardBatches(shards, ["val"], data.rule, batch_size=8, seed=0)
    memory = FixedBatches(data._assembler(data.part("val"), data.part("train")), data.rule, batch_size=8, seed=0)
    one, other = (join([batches[i] for i in range(len(batches))]) for batches in (fixed, memory))
    order = [one.history.users.index(user) for user in other.history.users]
    assert one.history.items_BK[order].tolist() == other.history.items_BK.tolist()
    assert one.target_item_BT[order].tolist() == other.target_item_BT.tolist()
    assert one.history.ratings_BK[order].tolist() == other.history.ratings_BK.tolist()


def test_each_pass_shows_everybody_once(tmp_path: Path) -> None:
    data = sharded(tmp_path)
    people = sorted(data.users("train"))
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    batches = ShardBatches(shards, data.rule, batch_size=1, seed=0, window=2)
    passes = [[batches[p * len(people) + i].history.users[0] for i in range(len(people))] for p in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == people
    assert passes[0] != passes[1]


@pytest.mark.parametrize(("world", "workers"), [(2, 0), (1, 3), (3, 2)])
def test_lanes_share_the_shards(tmp_path: Path, world: int, workers: int) -> None:
    data = sharded(tmp_path)
    shards = ShardSet.open(tmp_path / "small" / "small-space")
    lanes: list[set[str]] = []
    for rank in range(world):
        batches = ShardBatches(
            shards, data.rule, batch_size=world, seed=0, window=2, rank=rank, world=world, workers=workers
        )
        for worker in range(max(workers, 1)):
            shards_of_lane = batches._dealt(rank * max(workers, 1) + worker, 0)
            users = sum(shard.users for shard in shards_of_lane)
            places = [(i * max(workers, 1) + worker) * world for i in range(users)]
            lanes.append({batches[place].history.users[0] for place in places})
    assert sum(map(len, lanes)) == len(data.users("train"))
    assert set.union(*lanes) == set(data.users("train"))
    with pytest.raises(ValueError, match="make more"):
        ShardBatches(shards, data.rule, batch_size=7, seed=0, window=2, world=7)


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
    assert helped.item_counts().sum() == helped.shards.ratings["train"]
    assert len(helped.catalogue) == len(helped.item_counts())


def test_shards_are_webdataset_tars(tmp_path: Path) -> None:
    strange = ratings(users=3, each=2)
    strange.users[:] = ["a/b c.d", "..", "long" * 60]
    data = sharded(tmp_path, table=strange, least=1, splits=Splits(by="user", val=0, test=0))
    folder = tmp_path / "small" / "small-space"
    samples = list(webdataset.WebDataset(str(folder / "train-000000.tar"), shardshuffle=False).decode())
    assert len(samples) == 3
    assert {"__key__", "npy"} <= set(samples[0])
    shards = ShardSet.open(folder)
    sequences, _ = read_shards(shards.parts["train"], shards.space.dim)
    assert {"a/b c.d", ".."} <= set(sequences.users)
    known = Sequences.of(data.part("train"))
    assert sorted(sequences.hash_U) == sorted(known.hash_U)  # draws do not depend on how a user is called


def test_broken_shards_are_refused_by_name(tmp_path: Path) -> None:
    sharded(tmp_path)
    folder = tmp_path / "small" / "small-space"
    path = folder / "train-000001.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2000])
    with pytest.raises(ValueError, match=r"train-000001.tar has \d+ bytes instead of"):
        ShardSet.open(folder)
    path.write_bytes(b"x" * len(whole))
    with pytest.raises(ValueError, match=r"train-000001.tar is not a tar"):
        read_shards(ShardSet.open(folder).parts["train"], 8)
    changed = bytearray(whole)
    changed[whole.index(b"NUMPY") + 200] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ValueError, match=r"train-000001.tar is not what it was"):
        read_shards(ShardSet.open(folder).parts["train"], 8)
    path.unlink()
    with pytest.raises(ValueError, match=r"train-000001.tar is missing"):
        ShardSet.open(folder)
    with pytest.raises(ValueError, match=r"python shard\.py"):
        streamed(tmp_path / "nowhere")


def test_shards_hold_one_way_of_parting_and_scaling_for_good(tmp_path: Path) -> None:
    sharded(tmp_path)
    with pytest.raises(ValueError, match=r"data\.splits\.by=auto, .*python shard\.py .*data\.splits\.by=item"):
        streamed(tmp_path, splits=Splits(by="item"))
    with pytest.raises(ValueError, match=r"made with data\.scaling\.how=person"):
        streamed(tmp_path, scaling=RatingScaling(how="scale"))


def test_shards_of_other_ratings_are_refused_where_the_source_is_read(tmp_path: Path) -> None:
    sharded(tmp_path)
    same_people = ShardDataModule(source=SmallSource(ratings(users=60)), root=str(tmp_path))
    assert len(same_people.part("train")) == same_people.shards.ratings["train"]
    others = ShardDataModule(source=SmallSource(ratings(users=59)), root=str(tmp_path))
    with pytest.raises(ValueError, match=r"no longer that of the shards.*python shard\.py"):
        others.part("train")


def test_shards_of_other_embeddings_are_refused_where_rows_are_looked_up(tmp_path: Path) -> None:
    made = sharded(tmp_path)
    source = SmallSource(ratings(users=60))
    same_rows = ShardDataModule(source=source, root=str(tmp_path))
    assert same_rows.catalogue.ids == made.catalogue.ids
    source.ids, source.vectors = source.ids[1:], source.vectors[1:]  # each row is another picture now
    with pytest.raises(ValueError, match=r"rows may stand for other pictures.*python shard\.py"):
        _ = ShardDataModule(source=source, root=str(tmp_path)).catalogue
