"""The collaborative head: who likes what is found without looking at it, for new users and new items too."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from prefprior.history import History, PreferenceBatch
from prefprior.models.collaborative.collaborative_head import CollaborativeHead
from prefprior.models.scale import Standardize
from prefprior.ratings import RatingScale
from prefprior.space import Space
from tests.models.collaborative.conftest import GROUPS, ITEMS, NEW, history_of


@pytest.fixture(scope="module")
def head(space: Space, population: Any) -> CollaborativeHead:
    made = CollaborativeHead(space=space, scale=Standardize(space=space), dim=8)
    made.prepare(population)
    return made


def strangers(population: Any) -> History:
    """A user of each group, who was not trained on: two likes of the own group, a dislike of the next."""
    return history_of(
        population,
        [[group, group + GROUPS, (group + 1) % GROUPS] for group in range(GROUPS)],
        [[1.0, 1.0, -1.0]] * GROUPS,
    )


def mean_by_group(score_BI: torch.Tensor, group_I: np.ndarray, rows: slice) -> torch.Tensor:
    groups_I = torch.from_numpy(group_I)[rows]
    return torch.stack([score_BI[:, rows][:, groups_I == group].mean(1) for group in range(GROUPS)], dim=1)


@pytest.mark.parametrize("rows", [slice(0, ITEMS - NEW), slice(ITEMS - NEW, ITEMS)], ids=["known items", "new items"])
def test_a_new_user_is_given_what_similar_users_like(head: CollaborativeHead, population: Any, rows: slice) -> None:
    score_BI = head.posterior(strangers(population)).liked(population.catalogue.embeddings_ND)
    by_group_BG = mean_by_group(score_BI, population.group_I, rows)
    assert torch.equal(by_group_BG.argmax(1), torch.arange(GROUPS))
    assert bool((by_group_BG.diagonal() > 2 * by_group_BG.topk(2).values[:, 1]).all())


def test_without_a_like_every_score_is_zero(head: CollaborativeHead, population: Any) -> None:
    history = history_of(population, [[0, 1]], [[-1.0, -0.5]])
    assert not head.posterior(history).liked(population.catalogue.embeddings_ND).any()


def test_items_of_each_user_score_as_the_same_items_of_a_catalogue(head: CollaborativeHead, population: Any) -> None:
    score, raw_ID = head.posterior(strangers(population)), population.catalogue.embeddings_ND
    own_BND = raw_ID[None, 5:9].expand(GROUPS, -1, -1)
    torch.testing.assert_close(score.liked(own_BND), score.liked(raw_ID)[:, 5:9])
    torch.testing.assert_close(score.rated(own_BND), score.rated(raw_ID)[:, 5:9])


def test_users_are_independent_of_each_other(
    head: CollaborativeHead, population: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = head.posterior(strangers(population)).liked_BQ
    monkeypatch.setattr("prefprior.factorization.implicit_als.AT_ONCE", 1)
    torch.testing.assert_close(head.posterior(strangers(population)).liked_BQ, together)


def test_what_was_learned_is_in_the_state(head: CollaborativeHead, space: Space, population: Any) -> None:
    again = CollaborativeHead(space=space, scale=Standardize(space=space), dim=8)
    assert not again.has_learned
    again.load_state_dict(head.state_dict())
    raw_ID = population.catalogue.embeddings_ND
    assert again.has_learned
    told, known = again.posterior(strangers(population)), head.posterior(strangers(population))
    assert torch.equal(told.liked(raw_ID), known.liked(raw_ID))
    assert torch.equal(told.rated(raw_ID), known.rated(raw_ID))


def test_a_state_of_another_dim_is_refused(head: CollaborativeHead, space: Space) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        CollaborativeHead(space=space, scale=Standardize(space=space), dim=4).load_state_dict(head.state_dict())


def test_it_learns_nothing_where_nobody_likes_anything(space: Space, population: Any) -> None:
    users = population.training_sequences(10**6)
    users.rating_N[:] = -1
    made = CollaborativeHead(space=space, scale=Standardize(space=space))
    made.prepare(SimpleNamespace(**(vars(population) | {"training_sequences": lambda most: users})))
    assert not made.has_learned


def test_what_is_rated_is_told_from_what_is_liked(head: CollaborativeHead, population: Any) -> None:
    """Each user rated two items of their own group and disliked one of the next."""
    score, raw_ID = head.posterior(strangers(population)), population.catalogue.embeddings_ND
    gain_BI = score.liked(raw_ID) - score.rated(raw_ID)
    gain_BG = mean_by_group(gain_BI, population.group_I, slice(0, ITEMS - NEW))
    assert bool((gain_BG.diagonal() > gain_BG.roll(-1, dims=1).diagonal()).all())


def test_a_table_of_likes_alone_has_no_threshold(space: Space, population: Any) -> None:
    made = CollaborativeHead(space=space, scale=Standardize(space=space), dim=4)
    scale = SimpleNamespace(scale=RatingScale(0, 1, 1, liked_only=True))
    made.prepare(SimpleNamespace(**(vars(population) | {"scale": scale})))
    history = strangers(population)
    assert not made.posterior(history).rated(population.catalogue.embeddings_ND).any()
    assert len(made.liked.items.hash_P) == (population.item_counts() > 0).sum()


def test_the_blend_relies_on_factors_where_the_retriever_knows_nothing(space: Space, population: Any) -> None:
    head = CollaborativeHead(space=space, scale=Standardize(space=space), dim=8)
    head.prepare(population)
    history, raw_ID = strangers(population), population.catalogue.embeddings_ND
    targets_BT = torch.tensor([[group + 2 * GROUPS, group + 5 * GROUPS] for group in range(GROUPS)])
    batch = PreferenceBatch(
        history=history,
        target_BTD=raw_ID[targets_BT],
        target_rating_BT=torch.ones(targets_BT.shape),
        target_valid_BT=torch.ones(targets_BT.shape, dtype=torch.bool),
        target_item_BT=targets_BT,
        target_text_BTD=torch.zeros(*targets_BT.shape, 0),
    )
    generator = torch.Generator().manual_seed(0)
    head.calibrate(batch, lambda raw_ND: torch.zeros(GROUPS, len(raw_ND)), head.posterior(history), generator)
    assert head.blend.weights_2[1] > 0
    # And on the retriever alone where that is certain.
    head.blend.begin()
    group_B1 = torch.arange(GROUPS)[:, None]
    head.calibrate(
        batch,
        lambda raw_ND: 20.0 * (raw_ND[:, :GROUPS].argmax(1)[None] == group_B1),
        head.posterior(history),
        generator,
    )
    assert head.blend.weights_2[0] > 0


def test_a_pick_is_a_like_and_what_was_passed_over_is_nothing(space: Space, population: Any) -> None:
    head = CollaborativeHead(space=space, scale=Standardize(space=space), dim=8)
    head.prepare(population)
    rows, question = torch.tensor([[0, 1, 2]]), torch.tensor([[3, 3, 3]])
    chosen = History.from_rows(
        population.catalogue.embeddings_ND, rows, torch.tensor([[1.0, -1.0, -1.0]]), ["s"], question_BK=question
    )
    liked = history_of(population, [[0]], [[1.0]])
    raw_ND = population.catalogue.embeddings_ND
    one, other = head.posterior(chosen), head.posterior(liked)
    torch.testing.assert_close(one.liked(raw_ND), other.liked(raw_ND), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.rated(raw_ND), other.rated(raw_ND), atol=1e-5, rtol=1e-4)
