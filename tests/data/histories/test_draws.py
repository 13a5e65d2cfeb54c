"""Stateless draws: uniform, repeatable, disjoint."""

import numpy as np
import pytest

from prefprior.data.hashing import id_hashes, mix, permuted
from prefprior.data.histories.draws import DrawRule, draw


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 128, 129, 1000])
def test_permuted_is_a_permutation(size: int) -> None:
    for row in permuted(np.tile(np.arange(size), (5, 1)), np.full(5, size), mix(np.arange(5))):
        assert sorted(row) == list(range(size))


def test_permutations_of_few_are_uniform() -> None:
    # All 24 orders of four things, over 24,000 keys: chi-square with 23 degrees of freedom, 99.99 % quantile 56.
    keys = mix(np.arange(24000))
    orders = permuted(np.tile(np.arange(4), (24000, 1)), np.full(24000, 4), keys)
    _, counts = np.unique(orders @ np.array([64, 16, 4, 1]), return_counts=True)
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 56


def test_subsets_of_many_are_uniform() -> None:
    pairs = permuted(np.tile([3, 140], (30000, 1)), np.full(30000, 150), mix(np.arange(30000)))
    for column in pairs.T:
        counts = np.bincount(column, minlength=150)
        assert ((counts - 200) ** 2 / 200).sum() < 220  # 149 degrees of freedom, 99.99 %
    # Which comes second is as likely above the first as below it, and any distance is equally likely.
    distance = np.bincount((pairs[:, 1] - pairs[:, 0]) % 150, minlength=150)[1:]
    assert ((distance - 30000 / 149) ** 2 / (30000 / 149)).sum() < 220


def test_id_hashes_do_not_move() -> None:
    assert id_hashes(["a", "b", "ü"], "user/0").tolist() == id_hashes(["x", "a", "b", "ü"], "user/0").tolist()[1:]
    assert id_hashes(["a"]).tolist() == [3405396810240292928]


COUNTS = np.array([1, 2, 3, 5, 8, 40, 400])


@pytest.mark.parametrize("order", ["set", "time"])
@pytest.mark.parametrize("known", [False, True])
def test_history_and_targets_are_disjoint(order: str, known: bool) -> None:
    count, key = np.tile(COUNTS, 200), mix(np.arange(200 * len(COUNTS)))
    past = count - np.maximum(count // 3, 1) if known else np.zeros_like(count)
    drawn = draw(DrawRule(cap=16, targets=4, order=order), count, past, key)
    for history, target, n, p in zip(drawn.history_BK, drawn.target_BT, count, past):
        history, target = history[history >= 0], target[target >= 0]
        assert len(set(history)) == len(history) <= 16
        assert 1 <= len(set(target)) == len(target) <= 4
        assert not set(history) & set(target)
        assert max(target) < n
        if p > 0:
            assert all(history < p)
            assert all(target >= p)
        if order == "time" and len(history):
            assert max(history) < min(target)
            assert list(history) == list(range(history[0], history[0] - len(history), -1))  # most recent first
    alone = draw(DrawRule(cap=16, targets=4, order=order), count[5:6], past[5:6], key[5:6])
    assert alone.history_BK[0].tolist() == drawn.history_BK[5][: alone.history_BK.shape[1]].tolist()


def test_every_rating_becomes_a_target_equally_often() -> None:
    key = mix(np.arange(12000))
    drawn = draw(DrawRule(cap=8, targets=3), np.full(12000, 12), np.zeros(12000, dtype=int), key)
    counts = np.bincount(drawn.target_BT[drawn.target_BT >= 0], minlength=12)
    assert np.abs(counts / counts.mean() - 1).max() < 0.08
    lengths = (drawn.history_BK >= 0).sum(1)
    assert set(lengths) == set(range(1, 9))
    assert 0.5 < (lengths == 8).mean() < 0.62  # half keep all, and one in eight of the shortened ones does


def test_bad_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean time"):
        DrawRule(cap=4, targets=1, order="times")
    with pytest.raises(ValueError, match="at least 1"):
        DrawRule(cap=0, targets=1)
