"""What `experiment=table` chooses: by what ratings are like, never against the user's own words."""

import numpy as np
import pytest

from prefprior.data_settings import settings_for, without_given
from prefprior.ratings import RatingScale, RatingsTable


def table(counts: list[int], *, liked_only: bool) -> RatingsTable:
    user_N = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    return RatingsTable(
        "table", RatingScale(0, 1, 1, liked_only=liked_only), np.arange(len(counts)).astype(str), np.array(["i"]),
        user_N, np.zeros_like(user_N), np.ones(len(user_N), dtype=np.float32),
    )  # fmt: skip


@pytest.mark.parametrize(("median", "cap"), [(1, 8), (8, 8), (9, 16), (25, 32), (1000, 64)])
def test_histories_of_likes_are_as_long_as_those_of_half_of_the_users(median: int, cap: int) -> None:
    words, reason = settings_for(table([1, median, median, 2 * median], liked_only=True))
    assert words[:2] == ["experiment=likes", f"data.draws.history_cap={cap}"]
    assert f"{median} per user" in reason


@pytest.mark.parametrize(("median", "members", "epochs"), [(8, 4, 6), (16, 2, 6), (32, 1, 3), (100, 1, 3)])
def test_longer_histories_of_likes_are_trained_by_fewer_members(median: int, members: int, epochs: int) -> None:
    words, _ = settings_for(table([median] * 3, liked_only=True))
    assert words[2:] == [f"retriever.retriever.n={members}", f"trainer.max_epochs={epochs}"]


def test_few_graded_ratings_get_a_small_prior_and_few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefprior.data_settings.VERY_FEW_RATINGS", 8)
    words, reason = settings_for(table([3, 5], liked_only=False))
    assert words == ["prior=tiny", "trainer.max_epochs=5"]
    assert "8 graded ratings" in reason


def test_very_few_graded_ratings_are_drawn_often_enough_to_train() -> None:
    words, _ = settings_for(table([3, 5], liked_only=False))
    assert words == ["prior=tiny", "trainer.max_epochs=5", "data.batch_size=64", "data.epoch_batches=100"]


def test_many_graded_ratings_keep_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefprior.data_settings.FEW_RATINGS", 8)
    assert settings_for(table([3, 5], liked_only=False))[0] == []


def test_what_the_user_gives_is_not_chosen() -> None:
    chosen = ["prior=tiny", "trainer.max_epochs=5"]
    assert without_given(chosen, ["experiment=table", "trainer.max_epochs=2"]) == ["prior=tiny"]
    assert without_given(chosen, ["prior=base", "++trainer.max_epochs=2"]) == []


def test_the_experiment_itself_may_be_chosen() -> None:
    assert without_given(["experiment=likes"], ["experiment=table"]) == ["experiment=likes"]


def test_an_experiment_does_not_replace_components_of_the_users_choice() -> None:
    chosen = ["experiment=likes", "data.draws.history_cap=8"]
    assert without_given(chosen, ["experiment=table", "retriever=two_tower"]) == []
    assert without_given(chosen, ["experiment=table", "retriever.share=0"]) == chosen
