"""prefprior/data/histories/answers.py: choices are drawn whole, and only what was picked is a target."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prefprior.data.histories.assembler import Assembler
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import PersonScale
from prefprior.data.splits import Splits
from prefprior.history import PreferenceBatch
from prefprior.ratings import RatingsTable
from tests.data.small import module, ratings, same

GRID = 4


def asked(users: int = 30, each: int = 40, none: float = 0.5, share: float = 0.5) -> RatingsTable:
    """Users who rate, and choose among `GRID` items in the rest of their rows; of some questions nothing is picked."""
    random = np.random.default_rng(3)
    table = ratings(users=users, items=200, each=each)
    question_N = np.full(len(table), -1)
    rating_N = table.rating_N.copy()
    for user in range(users):
        rows = np.flatnonzero(table.user_N == user)
        for number, start in enumerate(range(int(len(rows) * (1 - share)), len(rows) - GRID + 1, GRID)):
            shown = rows[start : start + GRID]
            question_N[shown], rating_N[shown] = number, 1
            if random.random() >= none:
                rating_N[random.choice(shown)] = 5
    return replace(table, question_N=question_N, rating_N=rating_N)


def row_of(table: RatingsTable) -> dict[tuple[str, int], int]:
    """The row of each user's item: no user is shown an item twice here."""
    names = zip(table.users[table.user_N], table.item_N, strict=True)
    return {(str(user), int(item)): row for row, (user, item) in enumerate(names)}


def batches(order: str, table: RatingsTable, by: str = "user", alone: float = 0.0) -> list[PreferenceBatch]:
    rule = DrawRule(history_cap=16, targets_per_user=3, order=order, picks_alone=alone)
    data = module(table, splits=Splits(by=by, val=0.2, test=0), batch_size=16, epoch_batches=6, draws=rule)
    return [*data.train_dataloader(), *data.fixed_loader("val")]


@pytest.fixture(scope="module", params=[("set", "user"), ("time", "user"), ("set", "item"), ("time", "item")], ids=str)
def drawn(request: pytest.FixtureRequest) -> tuple[RatingsTable, list[PreferenceBatch]]:
    order, by = request.param
    table = asked()
    return table, batches(order, table, by)


def questions_of(table: RatingsTable, user: str, items: list[int]) -> list[int]:
    assert table.question_N is not None
    rows = row_of(table)
    return [int(table.question_N[rows[user, item]]) for item in items]


def test_a_question_is_in_a_history_whole_or_not_at_all(drawn: tuple[RatingsTable, list[PreferenceBatch]]) -> None:
    table, made = drawn
    seen = 0
    for batch in made:
        history = batch.history
        for b, user in enumerate(history.users):
            items = history.items_BK[b][history.valid_BK[b]].tolist()
            numbers = [number for number in questions_of(table, user, items) if number >= 0]
            assert all(numbers.count(number) == GRID for number in numbers)
            seen += len(numbers)
    assert seen > 0


@pytest.mark.parametrize("order", ["set", "time"])
def test_picks_alone_are_likes(order: str) -> None:
    table, longest = asked(none=0.2, share=0.8), 0
    assert table.question_N is not None
    rows = row_of(table)
    for batch in batches(order, table, alone=1.0):
        history = batch.history
        assert not history.has_questions
        for b, user in enumerate(history.users):
            valid_K = history.valid_BK[b]
            own = np.array([rows[user, item] for item in history.items_BK[b][valid_K].tolist()], dtype=int)
            assert not table.passed_N[own].any()
            picked_K = table.question_N[own] >= 0
            assert (history.ratings_BK[b][valid_K][torch.from_numpy(picked_K)] == 1).all()
            target = [rows[user, item] for item in batch.target_item_BT[b][batch.target_valid_BT[b]].tolist()]
            assert not {*own.tolist()} & {*target}
            longest = max(longest, len(set(table.question_N[own[picked_K]].tolist())))
    assert longest > 16 // GRID, "more questions fit than with all that they showed"


def test_a_share_of_draws_has_picks_alone() -> None:
    table = asked(none=0.0, share=1.0)
    shares = [float(batch.history.question_BK.any(1).float().mean()) for batch in batches("set", table, alone=0.5)]
    assert 0.3 < np.mean(shares) < 0.7
    same(batches("set", table, alone=0.5)[0], batches("set", table, alone=0.5)[0])


def test_no_question_is_history_and_target(drawn: tuple[RatingsTable, list[PreferenceBatch]]) -> None:
    table, made = drawn
    for batch in made:
        for b, user in enumerate(batch.history.users):
            history = batch.history.items_BK[b][batch.history.valid_BK[b]].tolist()
            target = batch.target_item_BT[b][batch.target_valid_BT[b]].tolist()
            both = set(questions_of(table, user, history)) & set(questions_of(table, user, target))
            assert both <= {-1}
            assert not set(history) & set(target)


def test_targets_are_ratings_and_picked_items(drawn: tuple[RatingsTable, list[PreferenceBatch]]) -> None:
    table, made = drawn
    rows, picked = row_of(table), 0
    for batch in made:
        assert batch.target_picked_BT is not None
        for b, t in batch.target_valid_BT.nonzero().tolist():
            row = rows[batch.history.users[b], int(batch.target_item_BT[b, t])]
            assert not table.passed_N[row]
            assert bool(batch.target_picked_BT[b, t]) == bool(table.picked_N[row])
            assert not table.picked_N[row] or batch.target_rating_BT[b, t] == 1
            picked += int(table.picked_N[row])
    assert picked > 5


def test_picks_are_1_and_what_was_passed_over_is_minus_1(drawn: tuple[RatingsTable, list[PreferenceBatch]]) -> None:
    table, made = drawn
    rows = row_of(table)
    for batch in made:
        history = batch.history
        for b, k in (history.valid_BK & (history.question_BK > 0)).nonzero().tolist():
            row = rows[history.users[b], int(history.items_BK[b, k])]
            assert history.ratings_BK[b, k] == (1 if table.picked_N[row] else -1)


def test_histories_are_no_longer_than_the_cap(drawn: tuple[RatingsTable, list[PreferenceBatch]]) -> None:
    longest = max(int(batch.history.valid_BK.sum(1).max()) for batch in drawn[1])
    assert 13 <= longest <= 16


def test_users_who_answer_little_have_a_target_wherever_they_can(
    drawn: tuple[RatingsTable, list[PreferenceBatch]],
) -> None:
    assert all(bool(batch.target_valid_BT.any(1).all()) for batch in drawn[1])


def test_who_never_picked_anything_has_no_target() -> None:
    for batch in batches("set", asked(none=1.0, share=1.0)):
        single = batch.history.valid_BK.sum(1) == 0  # one user in five has a single rating
        assert not batch.target_valid_BT[~single].any()


def test_ratings_are_drawn_as_if_there_were_no_questions() -> None:
    table = ratings(users=30, each=40)
    with_column = replace(table, question_N=np.full(len(table), -1))
    scale = PersonScale(table.scale, "person", 5.0, 3.0, 1.4)
    vectors_ND = torch.randn(len(table.items), 4, generator=torch.Generator().manual_seed(0))
    users, keys = np.arange(30), np.arange(30, dtype=np.uint64)
    for order in ("set", "time"):
        rule = DrawRule(history_cap=16, order=order)
        one, other = (
            Assembler(Sequences.of(each), vectors_ND, scale).batch(users, keys, rule) for each in (table, with_column)
        )
        assert same(one, replace(other, target_picked_BT=None))


def test_people_are_scaled_by_their_ratings_alone() -> None:
    table = asked(none=0.0)
    data = module(table, splits=Splits(val=0.2, test=0))
    train = data.part("train")
    assert data.scale.centre == pytest.approx(float(train.rating_N[train.rated_N].mean()))


@pytest.mark.parametrize("by", ["user", "item"])
def test_no_part_splits_a_question(by: str) -> None:
    table = asked()
    parts = Splits(by=by, val=0.2, test=0.2).parts(table)
    begins = np.flatnonzero(table.starts_answer_N)
    assert all(len(set(own)) == 1 for own in np.split(parts, begins[1:]))


def test_training_shows_no_picture_of_the_test_part() -> None:
    table = asked()
    parts = Splits(by="item", val=0.0, test=0.2).parts(table)
    tested = set(table.item_N[parts == "test"][table.rated_N[parts == "test"]].tolist())
    assert tested
    assert not tested & set(table.item_N[parts == "train"].tolist())


@pytest.mark.parametrize("order", ["set", "time"])
def test_histories_of_a_part_keep_questions_whole(order: str) -> None:
    table = asked()
    data = module(table, splits=Splits(by="user", val=0.4, test=0), draws=DrawRule(order=order))
    history, held_out = data.histories("val", data.users("val"), 10)
    assert int(history.valid_BK.sum(1).max()) <= 10
    for b, user in enumerate(history.users):
        items = history.items_BK[b][history.valid_BK[b]].tolist()
        numbers = [number for number in questions_of(table, user, items) if number >= 0]
        assert all(numbers.count(number) == GRID for number in numbers)
        assert not set(numbers) & set(questions_of(table, user, held_out[b].items.tolist()))
        rows = row_of(table)
        assert not any(table.passed_N[rows[user, int(item)]] for item in held_out[b].items)


def test_the_digest_of_the_training_part_tells_what_was_picked() -> None:
    table = asked(none=0.0)
    assert table.question_N is not None
    rating_N = table.rating_N.copy()
    shown = np.flatnonzero((table.user_N == 0) & (table.question_N == 0))
    rating_N[shown] = np.roll(rating_N[shown], 1)
    one, other = (module(each, splits=Splits(val=0, test=0)) for each in (table, replace(table, rating_N=rating_N)))
    assert one.training_digest != other.training_digest
