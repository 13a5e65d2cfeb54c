"""Who is asked about what: what judges is never asked, and utilities are those of the pool."""

import numpy as np
import pytest

from prefprior.elicitation.cast import replays
from prefprior.ratings import RatingScale, RatingsTable

ITEMS, USERS, EACH = 60, 5, 20


def table(*, likes: bool) -> RatingsTable:
    draws = np.random.default_rng(0)
    item_N = np.concatenate([draws.permutation(ITEMS)[:EACH] for _ in range(USERS)]).astype(np.int32)
    return RatingsTable(
        source="test",
        scale=RatingScale(low=1, high=1, likes_from=1, liked_only=True) if likes else RatingScale(1, 5, 4),
        users=np.array([f"u{user}" for user in range(USERS)]),
        items=np.array([f"i{item}" for item in range(ITEMS)]),
        user_N=np.repeat(np.arange(USERS), EACH).astype(np.int32),
        item_N=item_N,
        rating_N=(np.ones(USERS * EACH) if likes else draws.integers(1, 6, USERS * EACH)).astype(np.float32),
    )


@pytest.mark.parametrize("likes", [False, True])
def test_what_judges_is_never_asked(likes: bool) -> None:
    for one in replays(table(likes=likes), ["u1", "u3"], ITEMS, most=100, others=15, seed=0):
        assert not set(one.judged) & (set(one.item) | set(one.others))
        assert len(one.item) + len(one.judged_rating) == EACH


def test_a_like_stands_among_items_that_its_user_did_not_come_to() -> None:
    data = table(likes=True)
    for user, one in enumerate(
        replays(data, [f"u{user}" for user in range(USERS)], ITEMS, most=100, others=15, seed=0)
    ):
        own = set(data.item_N[data.user_N == user])
        assert len(one.others)
        assert not own & set(one.others)
        assert set(one.judged[one.judged_liked]) | set(one.item) == own
        assert not own & set(one.judged[~one.judged_liked])


def test_the_division_does_not_depend_on_other_users_or_on_the_seed_of_the_others() -> None:
    data = table(likes=False)
    (alone,) = replays(data, ["u2"], ITEMS, most=100, others=15, seed=0)
    together = replays(data, ["u4", "u2"], ITEMS, most=100, others=15, seed=1)[1]
    assert alone.user == together.user == "u2"
    np.testing.assert_array_equal(alone.item, together.item)
    np.testing.assert_array_equal(alone.judged, together.judged)


def test_graded_ratings_keep_theirs() -> None:
    data = table(likes=False)
    (one,) = replays(data, ["u0"], ITEMS, most=4, others=15, seed=0)
    assert len(one.item) == 4
    said = dict(zip(data.item_N[:EACH], data.rating_N[:EACH], strict=True))
    assert [said[item] for item in one.item] == list(one.rating)
    assert list(one.judged_liked) == [said[item] >= 4 for item in one.judged]
