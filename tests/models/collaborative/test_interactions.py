"""What users came to, and the settings chosen by what is held out of it."""

import numpy as np
import pytest
import torch

from prefprior.data.histories.sequences import Sequences
from prefprior.factorization.implicit_als import ImplicitAls
from prefprior.models.collaborative.interactions import Interactions
from prefprior.ratings import RatingScale, RatingsTable

SCALE = RatingScale(low=1, high=5, likes_from=4)


def sequences(user_N: list[int], item_N: list[int], rating_N: list[float]) -> Sequences:
    names = np.array([f"{i}" for i in range(10)])
    return Sequences.of(
        RatingsTable(
            "test", SCALE, names, names, np.array(user_N, dtype=np.int32), np.array(item_N, dtype=np.int32),
            np.array(rating_N, dtype=np.float32),
        )
    )  # fmt: skip


def liked(users: Sequences) -> Interactions:
    return Interactions.of(users, users.rating_N >= SCALE.likes_from)


def test_what_is_counted_counts_once() -> None:
    likes = liked(sequences([0, 0, 0, 1], [3, 3, 5, 3], [5, 4, 3, 4.5]))
    assert list(zip(likes.user_N.tolist(), likes.item_N.tolist())) == [(0, 3), (1, 3)]


def test_the_first_users_are_whole() -> None:
    likes = liked(sequences([0, 0, 1, 1, 1, 2], [0, 1, 0, 1, 2, 0], [5] * 6))
    first = likes.first(4)
    assert first.user_N.tolist() == [0, 0]
    assert first.users == 1
    assert likes.first(6) is likes


def test_settings_that_predict_held_out_likes_are_chosen() -> None:
    draws = np.random.default_rng(0)
    users, items = 150, 60
    user_N = np.repeat(np.arange(users), 10)
    item_N = np.concatenate(
        [draws.permutation(np.flatnonzero(np.arange(items) % 3 == u % 3))[:10] for u in range(users)]
    )
    likes = Interactions._distinct(user_N, item_N, users, items)
    # A ridge that leaves nothing of the factors ranks at random.
    sensible, flat = ImplicitAls(8, 0.1, 0.01, 4), ImplicitAls(8, 0.1, 1e6, 4)
    assert likes.best_of([flat, sensible]) == (0.1, 0.01)
    assert likes.best_of([sensible, flat]) == (0.1, 0.01)


def test_factors_are_the_same_each_time() -> None:
    likes = Interactions._distinct(np.repeat(np.arange(20), 4), np.arange(80) % 17, 20, 17)
    als = ImplicitAls(4, 0.1, 0.01, 3)
    assert torch.equal(likes.factors(als), likes.factors(als))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_likes_to_hold_any_out_keep_the_first_settings(count: int) -> None:
    likes = Interactions._distinct(np.zeros(count, dtype=np.int64), np.arange(count), 1, 3)
    assert likes.best_of([ImplicitAls(2, 0.03, 0.01, 1), ImplicitAls(2, 0.1, 0.01, 1)]) == (0.03, 0.01)


def test_users_of_one_interaction_each_keep_the_first_settings() -> None:
    """Whoever has something held out has nothing left to be folded in by."""
    users = 40
    likes = Interactions._distinct(np.arange(users), np.arange(users) % 3, users, 3)
    assert likes.best_of([ImplicitAls(2, 0.03, 0.01, 1), ImplicitAls(2, 0.1, 0.01, 1)]) == (0.03, 0.01)
