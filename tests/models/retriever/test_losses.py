"""The retriever's loss: against plain loops, and what each part of it may and may not move."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from prefprior.history import PreferenceBatch
from prefprior.models.model import PreferenceModel
from prefprior.models.retriever.losses import ContrastiveLoss
from prefprior.models.retriever.negatives import Negatives
from prefprior.models.retriever.retriever import RetrieverOutput
from prefprior.models.retriever.two_tower import TwoTower
from prefprior.space import Space
from tests.models.conftest import DIM, make_batch, make_model, make_retriever, training_data


def softmax_only(count: int = 0, **changes: bool) -> ContrastiveLoss:
    return ContrastiveLoss(softmax_weight=1.0, pairwise_weight=0.0, negatives=Negatives(count=count, **changes))


def model_with(space: Space, loss: ContrastiveLoss, catalogue: Tensor, counts: Tensor) -> PreferenceModel:
    model = make_model(space, make_retriever(space, loss=loss))
    model.prepare(training_data(space, catalogue, counts))
    return model


def step(model: PreferenceModel, batch: PreferenceBatch) -> RetrieverOutput:
    assert model.retriever is not None
    tokens = model.encode(batch.history).tokens_BIW
    assert tokens is not None
    return model.retriever.training_step(tokens, batch, torch.Generator().manual_seed(0))


def scores(model: PreferenceModel, batch: PreferenceBatch, raw: Tensor) -> Tensor:
    assert model.retriever is not None
    tokens = model.encode(batch.history).tokens_BIW
    assert tokens is not None
    return model.retriever.score(tokens, raw)


def liked_by(batch: PreferenceBatch, user: int) -> set[int]:
    """Items that a user is known to like."""
    before = batch.history.items_BK[user][batch.history.liked_BK[user]]
    targets = batch.target_item_BT[user][batch.target_valid_BT[user] & (batch.target_rating_BT[user] > 0)]
    return {int(i) for i in torch.cat([before, targets])}


def with_shared_items(batch: PreferenceBatch) -> PreferenceBatch:
    """Users whose histories hold targets of others, liked by one and disliked by another."""
    batch.history.valid_BK[:, :2] = True
    batch.history.items_BK[:, 0] = batch.target_item_BT[:, 0].roll(1)
    batch.history.items_BK[:, 1] = batch.target_item_BT[:, 0].roll(2)
    batch.history.ratings_BK[:, 0], batch.history.ratings_BK[:, 1] = 0.5, -0.5
    batch.target_item_BT[1, 0] = batch.target_item_BT[0, 1]  # and two who like, or not, the same as targets
    batch.target_item_BT[2, 0] = batch.target_item_BT[0, 0]
    return batch


def test_popularity_and_personal_score_are_trained_separately(space: Space) -> None:
    batch, model = make_batch(users=16), make_model(space)
    terms, towers = step(model, batch).terms, model.retriever
    assert isinstance(towers, TwoTower)
    personal = [*towers.item_tower.parameters(), *towers.user_head.parameters()]
    popular = list(towers.popularity_tower.parameters())
    score = terms["score_softmax"] + terms["score_pairwise"]
    grads = torch.autograd.grad(score, popular + personal, retain_graph=True, allow_unused=True)
    assert [g is None for g in grads] == [True] * len(popular) + [False] * len(personal)
    popularity = terms["popularity_softmax"] + terms["popularity_pairwise"]
    grads = torch.autograd.grad(popularity, popular + personal, allow_unused=True)
    assert [g is None for g in grads] == [False] * len(popular) + [True] * len(personal)


def test_sampled_softmax_agrees_with_a_plain_loop(space: Space) -> None:
    batch = with_shared_items(make_batch(users=6, targets=3))
    g = torch.Generator().manual_seed(3)
    catalogue = torch.randn(50, DIM, generator=g)
    counts = torch.randint(1, 9, (50,), generator=g)
    model = model_with(space, softmax_only(10), catalogue, counts)
    found = step(model, batch).terms["score_softmax"]

    rows = torch.randint(50, (10,), generator=torch.Generator().manual_seed(0))
    raw = torch.cat([batch.target_BTD.flatten(0, 1), catalogue[rows]])
    items = torch.cat([batch.target_item_BT.flatten(), rows])
    valid = torch.cat([batch.target_valid_BT.flatten(), torch.ones(10, dtype=torch.bool)])
    user = torch.cat([torch.arange(6).repeat_interleave(3), torch.full((10,), -1)])
    liked = torch.cat([(batch.target_rating_BT > 0).flatten(), torch.zeros(10, dtype=torch.bool)])
    score = scores(model, batch, raw)
    log_q = (18 * counts / counts.sum() + 10 / 50).log()
    losses = []
    for i in range(18):
        if not (valid[i] and liked[i]):
            continue
        kept = [i]
        for j in range(28):
            own_like = bool(user[j] == user[i] and liked[j])
            own_like = own_like or int(items[j]) in liked_by(batch, int(user[i]))
            if valid[j] and not own_like and items[j] != items[i]:
                kept.append(j)
        logits = (score[user[i]] - log_q[items.clamp(min=0)])[kept]
        losses.append(torch.logsumexp(logits, 0) - logits[0])
    torch.testing.assert_close(found, torch.stack(losses).mean())


@pytest.mark.parametrize("count", [5, 40])
@pytest.mark.parametrize("included", [False, True])
def test_unrated_items_are_negatives_only_if_included(space: Space, count: int, included: bool) -> None:
    batch = make_batch(users=6, targets=3)
    catalogue = torch.randn(30, DIM, generator=torch.Generator().manual_seed(3))
    batch.target_item_BT = torch.arange(18).view(6, 3)
    batch.target_BTD = catalogue[:18].view(6, 3, -1)
    catalogue.requires_grad_()
    model = model_with(space, softmax_only(count, include_unrated=included), catalogue, torch.arange(30) < 18)
    step(model, batch).terms["score_softmax"].backward()
    assert catalogue.grad is not None
    assert bool(catalogue.grad[18:].any()) == included


def test_with_enough_negatives_the_softmax_is_exact(space: Space) -> None:
    batch = make_batch(users=6, targets=3)
    catalogue = torch.randn(30, DIM, generator=torch.Generator().manual_seed(3))
    batch.target_item_BT = torch.arange(18).view(6, 3) % 7  # items that several users like, row 0 among them
    batch = with_shared_items(batch)
    batch.target_item_BT[5, 2] = 29  # and one that nobody rated in training, as there are in validation
    batch.target_BTD = catalogue[batch.target_item_BT]
    batch.target_valid_BT[0, 0] = False
    batch.target_item_BT[0, 0] = -1
    batch.target_BTD[0, 0] = torch.nan
    model = model_with(space, softmax_only(27), catalogue, torch.arange(30) < 27)
    found = step(model, batch).terms["score_softmax"]

    score = scores(model, batch, catalogue)
    losses = []
    for user in range(6):
        liked = [
            int(batch.target_item_BT[user, t])
            for t in range(3)
            if batch.target_valid_BT[user, t] and batch.target_rating_BT[user, t] > 0
        ]
        for item in liked:
            rivals = [j for j in [*range(27), 29] if j == item or j not in liked_by(batch, user)]
            losses.append(score[user, rivals].logsumexp(0) - score[user, item])
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_pairwise_loss_agrees_with_a_plain_loop(space: Space) -> None:
    batch = make_batch(users=6, targets=3)
    loss = ContrastiveLoss(softmax_weight=0.0, pairwise_weight=1.0)
    model = make_model(space, make_retriever(space, loss=loss))
    found = step(model, batch).terms["score_pairwise"]
    losses, weights = [], []
    for user in range(6):
        score = scores(model, batch, batch.target_BTD[user])[user]
        rating, valid = batch.target_rating_BT[user], batch.target_valid_BT[user]
        for i in range(3):
            for j in range(3):
                if valid[i] and valid[j] and rating[i] > rating[j]:
                    weights.append(rating[i] - rating[j])
                    losses.append(weights[-1] * torch.log1p((score[j] - score[i]).exp()))
    torch.testing.assert_close(found, torch.stack(losses).sum() / torch.stack(weights).sum())


@pytest.mark.parametrize("term", ["score_softmax", "score_pairwise"])
def test_a_target_counts_by_its_weight(space: Space, term: str) -> None:
    batch = make_batch(users=6, targets=3)
    model = make_model(space, make_retriever(space, loss=ContrastiveLoss(softmax_weight=1.0, pairwise_weight=1.0)))
    plain, doubled = (
        step(model, replace(batch, target_weight_BT=torch.full((6, 3), weight))).terms[term] for weight in (1.0, 2.0)
    )
    torch.testing.assert_close(plain, step(model, batch).terms[term])
    torch.testing.assert_close(plain, doubled)
    alone = torch.zeros(6, 3)
    alone[2] = 1
    rows = torch.zeros_like(batch.target_valid_BT)
    rows[2] = batch.target_valid_BT[2]
    weighted = step(model, replace(batch, target_weight_BT=alone)).terms[term]
    assert not torch.isclose(weighted, plain)
    if term == "score_pairwise":  # pairs of the other users do not count; as softmax negatives their items stay
        torch.testing.assert_close(weighted, step(model, replace(batch, target_valid_BT=rows)).terms[term])


def test_a_catalogue_of_another_size_is_refused_with_the_command() -> None:
    with pytest.raises(ValueError, match=r"50 items, but training counts 49[^$]*python shard\.py"):
        Negatives().use_catalogue(torch.zeros(50, 4), torch.ones(49))


def test_negatives_need_a_rated_item() -> None:
    with pytest.raises(ValueError, match="no item was rated"):
        Negatives(count=4).use_catalogue(torch.zeros(50, 4), torch.zeros(50))


def test_sampled_negatives_need_a_catalogue() -> None:
    with pytest.raises(ValueError, match="Call prepare first"):
        Negatives(count=4).candidates(make_batch(), torch.Generator())


def test_a_loss_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="retriever=none"):
        ContrastiveLoss(softmax_weight=0.0, pairwise_weight=0.0)
