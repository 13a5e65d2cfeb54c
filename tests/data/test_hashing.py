"""prefprior/data/hashing.py: numbers and permutations that follow from their keys, and are uniform."""

import numpy as np
import pytest

from prefprior.data.hashing import fraction, id_hashes, mix, permuted


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 128, 129, 1000])
def test_permuted_is_a_permutation(size: int) -> None:
    for row in permuted(np.tile(np.arange(size), (5, 1)), np.full(5, size), mix(np.arange(5))):
        assert sorted(row) == list(range(size))


def test_short_permutations_are_uniform() -> None:
    # All 24 orders of four things, over 24,000 keys: chi-square with 23 degrees of freedom, 99.99 % quantile 56.
    keys = mix(np.arange(24000))
    orders = permuted(np.tile(np.arange(4), (24000, 1)), np.full(24000, 4), keys)
    _, counts = np.unique(orders @ np.array([64, 16, 4, 1]), return_counts=True)
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 56


@pytest.fixture(scope="module")
def pairs() -> np.ndarray:
    """Where 30,000 permutations of 150 take 3 and 140."""
    return permuted(np.tile([3, 140], (30000, 1)), np.full(30000, 150), mix(np.arange(30000)))


@pytest.mark.parametrize("column", [0, 1])
def test_positions_in_long_permutations_are_uniform(pairs: np.ndarray, column: int) -> None:
    counts = np.bincount(pairs[:, column], minlength=150)
    assert ((counts - 200) ** 2 / 200).sum() < 220  # 149 degrees of freedom, 99.99 %


def test_distances_in_long_permutations_are_uniform(pairs: np.ndarray) -> None:
    distance = np.bincount((pairs[:, 1] - pairs[:, 0]) % 150, minlength=150)[1:]
    assert ((distance - 30000 / 149) ** 2 / (30000 / 149)).sum() < 220


def test_a_permutation_does_not_depend_on_its_batch() -> None:
    index_BK, key_B = np.tile(np.arange(5), (3, 1)), mix(np.arange(3))
    together = permuted(index_BK, np.array([5, 200, 1000]), key_B)
    assert permuted(index_BK[1:2], np.array([200]), key_B[1:2]).tolist() == together[1:2].tolist()


def test_an_ids_hash_does_not_depend_on_the_others() -> None:
    assert id_hashes(["a", "b", "ü"], "user/0").tolist() == id_hashes(["x", "a", "b", "ü"], "user/0").tolist()[1:]


def test_an_ids_hash_is_the_same_in_every_version() -> None:
    assert id_hashes(["a"]).tolist() == [3405396810240292928]


def test_salt_changes_the_hash() -> None:
    assert id_hashes(["a"], "user/0").tolist() != id_hashes(["a"], "user/1").tolist()


def test_mix_depends_on_the_order_of_its_parts() -> None:
    assert mix(1, 2).tolist() != mix(2, 1).tolist()


def test_fractions_fill_the_unit_interval() -> None:
    drawn = fraction(mix(np.arange(10000)))
    assert 0 <= drawn.min() < 0.001
    assert 0.999 < drawn.max() < 1
