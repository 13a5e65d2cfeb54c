"""The few-shot protocol on ratings whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from prefprior.baselines.baseline import Baseline
from prefprior.data.scaling import RatingScaling
from prefprior.evaluation.protocol.few_shot import FewShot
from prefprior.evaluation.protocol.results import Results
from prefprior.history import History
from prefprior.predictor import By, Catalogue
from prefprior.ratings import RatingScale, RatingsTable
from tests.evaluation.tastes import make_tastes

ITEMS, RATED = 40, 12


class Data:
    """Four users rate twelve pictures each, from 1 to 5; the last two are in the test part alone, the first in both."""

    def __init__(self, rated: tuple[int, ...] = (RATED, RATED, RATED, RATED), scale: RatingScale | None = None) -> None:
        self.catalogue = make_tastes(users=2, items=ITEMS).catalogue
        rng = np.random.default_rng(0)
        user_N = np.repeat(np.arange(4), rated).astype(np.int32)
        item_N = np.concatenate([rng.choice(ITEMS, count, replace=False) for count in rated]).astype(np.int32)
        self.ratings = RatingsTable(
            source="toy", scale=scale or RatingScale(1, 5, 4), users=np.array(list("abcd")),
            items=np.array(self.catalogue.ids), user_N=user_N, item_N=item_N,
            rating_N=(1 + item_N % 5).astype(np.float32),
        )  # fmt: skip
        first = np.r_[True, user_N[1:] != user_N[:-1]].nonzero()[0]
        place_N = np.arange(len(user_N)) - np.repeat(first, rated)
        self.parts = np.where((user_N >= 2) | ((user_N == 0) & (place_N >= 6)), "test", "train")
        self.scale = RatingScaling().fit(self.part("train"))
        self.source, self.part_names = SimpleNamespace(name="toy"), ["train", "test"]

    def part(self, name: str) -> RatingsTable:
        return self.ratings.take(np.flatnonzero(self.parts == name))

    def has_part(self, name: str) -> bool:
        return name in self.part_names


class Known(Baseline):
    """Scores by rating as everybody rates; by interaction the reverse."""

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__(name="known")
        self.sign = sign

    @property
    def two_scores(self) -> bool:
        return True

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        assert by == "rating"
        return (self.sign * (torch.arange(len(catalogue)) % 5).float()).expand(len(history), -1)


def test_a_predictor_that_knows_has_spearman_1_and_all_pairs() -> None:
    protocol = FewShot(shots=(3,))
    (task,) = protocol.tasks(Data(), 512)
    outcome = protocol.run(Known(), task)
    assert outcome.by_user["spearman"] == pytest.approx([1, 1])
    assert outcome.by_user["pairwise"] == pytest.approx([1, 1])
    assert protocol.run(Known(-1), task).by_user["spearman"] == pytest.approx([-1, -1])


def test_the_history_has_k_ratings_and_all_others_are_held_out() -> None:
    for task in FewShot(shots=(3, 10), repetitions=2).tasks(Data(), 512):
        for people in task.draws:
            assert people.users == ["c", "d"]
            assert people.history().valid_BK.sum(1).tolist() == [task.condition.length] * 2
            assert people.held_valid_BT.sum(1).tolist() == [RATED - (task.condition.length or 0)] * 2


def test_zero_shots_are_an_empty_history_and_one_draw() -> None:
    (task,) = FewShot(shots=(0,)).tasks(Data(), 512)
    (people,) = task.draws
    assert not people.history().valid_BK.any()
    assert people.held_valid_BT.sum(1).tolist() == [RATED, RATED]


def test_draws_differ_and_a_seed_repeats_them() -> None:
    def drawn(seed: int) -> list[list[int]]:
        (task,) = FewShot(shots=(3,), repetitions=4, seed=seed).tasks(Data(), 512)
        return [sorted(people.item_BK[0].tolist()) for people in task.draws]

    assert drawn(0) == drawn(0)
    assert len({tuple(items) for items in drawn(0)}) > 1
    assert drawn(0) != drawn(1)


def test_users_who_were_trained_on_have_their_training_ratings() -> None:
    seen, few = FewShot(parts=("test",), shots=(3,)).tasks(Data(), 512)
    (people,) = seen.draws
    assert (seen.part, few.part) == ("test", "test (unseen)")
    assert people.users == ["a"]
    assert people.valid_BK.sum() == 6
    assert seen.condition.length is None


def test_held_out_ratings_are_as_they_were_given() -> None:
    """Scaled by a history and clipped, the highest ratings of somebody who rates low would be tied."""
    data = Data()
    data.ratings.rating_N[data.ratings.user_N >= 2] = np.tile([1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 5], 2)
    (task,) = FewShot(shots=(1,), repetitions=3).tasks(data, 512)
    for people in task.draws:
        assert len(people.held_rating_BT[0].unique()) >= 4


def test_figures_are_means_over_users_with_intervals() -> None:
    protocol, data = FewShot(shots=(3, 5)), Data()
    tasks = protocol.tasks(data, 512)
    outcomes = [protocol.run(Known(), task) for task in tasks]
    found = Results("toy", "unseen", tasks[0].draws[0], outcomes)
    assert found.figures["toy/unseen/known/spearman@5"].value == pytest.approx(1)
    assert found.figures["toy/unseen/known/spearman@5"].people == 2
    assert found.figures["toy/unseen/known/spearman_sd_of_draws@3"].value == pytest.approx(0)


def test_too_few_ratings_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"1 of the 2 users of unseen have fewer than 11 ratings, such as d with 8"):
        FewShot(shots=(10,)).tasks(Data((12, 12, 12, 8)), 512)


def test_users_with_too_few_ratings_are_left_out_and_counted() -> None:
    data = Data((12, 12, 12, 8))
    protocol = FewShot(shots=(3, 9), leave_out=True)
    few, many = protocol.tasks(data, 512)
    assert (few.left_out, many.left_out) == (0, 1)
    assert many.draws[0].users == ["c"]
    assert np.isnan(protocol.run(Known(), many).by_user["spearman"]).tolist() == [False, True]


def test_nobody_with_enough_ratings_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no user of unseen has 31 ratings or more"):
        FewShot(shots=(30,), leave_out=True).tasks(Data(), 512)


def test_no_test_user_is_refused() -> None:
    data = Data()
    data.parts[data.ratings.user_N >= 2] = "train"
    with pytest.raises(ValueError, match="the part unseen of toy has no user who was not trained on"):
        FewShot().tasks(data, 512)


def test_likes_alone_are_refused() -> None:
    data = Data(scale=RatingScale(1, 1, 1, liked_only=True))
    with pytest.raises(ValueError, match="all ratings of toy are likes"):
        FewShot().tasks(data, 512)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shots": (10, 10)}, "shots different numbers"),
        ({"shots": (-1,)}, "at least 0"),
        ({"repetitions": 0}, "protocol.repetitions must be at least 1"),
        ({"figures": ("auc",)}, "a figure of protocol.figures"),
    ],
)
def test_arguments_are_checked(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FewShot(**arguments)


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a part of protocol\.parts"):
        FewShot(parts=("tset",)).tasks(Data(), 512)
