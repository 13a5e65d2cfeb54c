"""scripts/synthetic_ratings.py: the published counts in the published layout, and ratings that follow the truth."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.sources.flickr_aes import FlickrAesSource
from prefprior.data.sources.pamela import PamelaSource
from prefprior.history import History
from prefprior.ratings import RatingsTable
from scripts import synthetic_ratings
from scripts.synthetic_ratings import Law, Truth, World, assign

DIM = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    for name, write in (("flickr_aes", synthetic_ratings.write_flickr), ("pamela", synthetic_ratings.write_pamela)):
        (folder / name).mkdir()
        write(folder / name, DIM, np.random.default_rng(0))
    return folder


@pytest.fixture(scope="module")
def flickr(folder: Path) -> RatingsTable:
    return FlickrAesSource(root=str(folder / "flickr_aes")).ratings()


@pytest.fixture(scope="module")
def pamela(folder: Path) -> RatingsTable:
    return PamelaSource(root=str(folder / "pamela")).ratings()


def part(table: RatingsTable, name: str) -> RatingsTable:
    assert table.part_N is not None
    return table.take(np.flatnonzero(table.part_N == name))


def test_flickr_aes_has_the_published_counts(flickr: RatingsTable) -> None:
    assert (len(flickr), len(flickr.users), len(flickr.items)) == (193_208, 210, 40_000)
    assert set(np.unique(flickr.rating_N)) == {1, 2, 3, 4, 5}
    assert set(np.bincount(flickr.item_N)) == {4, 5}


def test_flickr_aes_has_the_published_test_workers(flickr: RatingsTable) -> None:
    test = part(flickr, "test")
    counts = np.bincount(test.user_N)
    counts = counts[counts > 0]
    assert (len(counts), counts.min(), counts.max()) == (37, 105, 171)
    assert len(np.unique(test.item_N)) == 4_737
    assert len(np.unique(part(flickr, "train").user_N)) == 173


def test_pictures_of_test_workers_can_be_left_out_of_training(folder: Path) -> None:
    table = FlickrAesSource(root=str(folder / "flickr_aes"), unseen_pictures=True).ratings()
    assert len(np.unique(part(table, "train").item_N)) == 35_263


def test_pamela_has_the_published_counts(pamela: RatingsTable) -> None:
    assert pamela.part_N is not None
    names, counts = np.unique(pamela.part_N, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == synthetic_ratings.PARTS
    assert (len(pamela), len(pamela.users), len(pamela.items)) == (69_904, 199, 5_077)


def test_pamelas_parts_are_apart(pamela: RatingsTable) -> None:
    train = part(pamela, "train")
    for name in ("val_seen", "test_seen"):
        assert not np.isin(part(pamela, name).item_N, train.item_N).any()
        assert np.isin(part(pamela, name).user_N, train.user_N).all()
    for name in ("val_unseen", "test_unseen"):
        assert not np.isin(part(pamela, name).user_N, train.user_N).any()


def test_embeddings_are_where_training_looks_for_them(folder: Path, flickr: RatingsTable) -> None:
    table = EmbeddingTable.open(folder / "embeddings" / "flickr_aes" / f"synthetic-{DIM}")
    assert set(table.ids) == set(flickr.items)
    assert table.space.dim == DIM


def test_nobody_rates_a_picture_twice() -> None:
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(4), 10), np.repeat(np.arange(20), 2)
    given = assign(users, items, rng)
    assert np.bincount(given).tolist() == [10] * 4
    assert len(set(zip(given.tolist(), items.tolist(), strict=True))) == 40


def test_pictures_too_few_for_all_ratings_are_refused() -> None:
    with pytest.raises(ValueError, match="too few pictures"):
        assign(np.zeros(4, dtype=int), np.repeat(np.arange(2), 2), np.random.default_rng(0))


def test_ratings_follow_the_truth(folder: Path, flickr: RatingsTable) -> None:
    truth = Truth(path=str(folder / "flickr_aes" / "truth.npz"))
    rows = np.flatnonzero(flickr.user_N == np.bincount(flickr.user_N).argmax())
    user = truth.row[str(flickr.users[flickr.user_N[rows[0]]])]
    columns = [truth.column[str(flickr.items[item])] for item in flickr.item_N[rows]]
    assert spearmanr(truth.utility_UI[user, columns], flickr.rating_N[rows]).statistic > 0.6


def test_the_law_learns_a_taste_from_ratings(tmp_path: Path) -> None:
    world = World.draw(users=6, items=400, dim=DIM, rng=np.random.default_rng(0))
    items = [f"i{i}" for i in range(400)]
    world.save(tmp_path / "truth.npz", list("abcdef"), items)
    table = EmbeddingTable.of("toy", items, world.embeddings_ID)
    law = Law(path=str(tmp_path / "truth.npz"))
    utility_UI = torch.from_numpy(world.utility_UI)

    def agreement(count: int) -> float:
        rows_BK = torch.arange(count).expand(6, -1) if count else torch.full((6, 1), -1)
        ratings_BK = 0.5 * utility_UI[:, : max(count, 1)]
        history = History.from_rows(table.catalogue().embeddings_ND, rows_BK, ratings_BK, list("abcdef"))
        scores_BN = law.rank(history, table.catalogue())
        return float(np.mean([spearmanr(s, u).statistic for s, u in zip(scores_BN, utility_UI, strict=True)]))

    assert agreement(0) < agreement(10) < agreement(100)
    assert agreement(100) > 0.9
