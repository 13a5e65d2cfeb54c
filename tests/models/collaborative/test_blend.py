"""The blend: its ratio ranks likes highest, its scale makes it a log-probability, and batches add up."""

import torch
from torch import Tensor

from prefprior.history import History, PreferenceBatch
from prefprior.models.collaborative.blend import Blend
from prefprior.models.retriever.negatives import Candidates

USERS, ITEMS = 300, 40


def case(seed: int = 0, users: int = USERS) -> tuple[Tensor, Tensor, Candidates, PreferenceBatch]:
    """Likes drawn from softmax(score + 8 * factor), and both scores of every item."""
    draws = torch.Generator().manual_seed(seed)
    score_BN = torch.randn(users, ITEMS, generator=draws)
    factor_BN = torch.rand(users, ITEMS, generator=draws)
    items_BT = torch.multinomial((score_BN + 8 * factor_BN).softmax(1), 2, generator=draws)
    return score_BN, factor_BN, *among(items_BT)


def among(items_BT: Tensor) -> tuple[Candidates, PreferenceBatch]:
    users = len(items_BT)
    empty = torch.zeros(users, 1)
    history = History(
        empty[..., None], empty, empty, empty.bool(), empty.long() - 1, [str(user) for user in range(users)]
    )
    candidates = Candidates(
        raw_ND=torch.zeros(ITEMS, 1),
        items_N=torch.arange(ITEMS),
        excluded_mask_BN=torch.zeros(users, ITEMS, dtype=torch.bool).scatter(1, items_BT, value=True),
        exists_N=torch.ones(ITEMS, dtype=torch.bool),
        own_BT=items_BT,
        repeats=False,
        log_q_N=None,
    )
    batch = PreferenceBatch(
        history=history,
        target_BTD=torch.zeros(*items_BT.shape, 1),
        target_rating_BT=torch.ones(items_BT.shape),
        target_valid_BT=torch.ones(items_BT.shape, dtype=torch.bool),
        target_item_BT=items_BT,
        target_text_BTD=torch.zeros(*items_BT.shape, 0),
    )
    return candidates, batch


def test_it_finds_the_weights_that_likes_were_drawn_by() -> None:
    blend = Blend()
    blend.see(*case())
    one, other = blend.weights_2.tolist()
    assert one in (0.75, 1.0)
    assert 6 <= other / one <= 11


def test_a_score_that_is_no_logit_is_weighed_by_how_it_ranks() -> None:
    """The factor alone says which items are liked, in units that make a bad log-probability."""
    _, factor_BN, _, _ = case()
    liked_BT = factor_BN.topk(3).indices[:, 1:]
    blend = Blend()
    noise_BN = 5 * torch.randn(USERS, ITEMS, generator=torch.Generator().manual_seed(1))
    blend.see(noise_BN, factor_BN, *among(liked_BT))
    assert blend.weights_2[0] == 0
    assert blend.weights_2[1] > 0


def test_the_retriever_stands_alone_where_factors_say_nothing() -> None:
    score_BN, factor_BN, _, _ = case()
    blend = Blend()
    blend.see(score_BN, torch.zeros_like(factor_BN), *among(score_BN.topk(2).indices))
    assert blend.weights_2[0] > 0
    assert torch.equal(blend(score_BN, factor_BN * 0).argsort(1), score_BN.argsort(1))


def test_before_validation_the_retriever_stands_alone() -> None:
    score_BN, factor_BN, _, _ = case()
    assert torch.equal(Blend()(score_BN, factor_BN), score_BN)


def test_batches_add_up_and_a_new_pass_forgets_them() -> None:
    first, second = case(1, 100), case(2, 200)
    both, fresh = Blend(), Blend()
    both.see(*first)
    both.see(*second)
    sums_RX = both._sums_RX.clone()
    both.begin()
    both.see(*second)
    fresh.see(*second)
    torch.testing.assert_close(both._sums_RX, fresh._sums_RX)
    assert not torch.equal(sums_RX, fresh._sums_RX)


def test_sampled_candidates_count_for_those_they_were_sampled_from() -> None:
    """Every item sampled twice as often, and counted half: the same sums of gain."""
    score_BN, factor_BN, candidates, batch = case()
    once, twice = Blend(), Blend()
    once.see(score_BN, factor_BN, candidates, batch)
    doubled = Candidates(
        raw_ND=candidates.raw_ND.repeat(2, 1),
        items_N=candidates.items_N.repeat(2),
        excluded_mask_BN=candidates.excluded_mask_BN.repeat(1, 2),
        exists_N=candidates.exists_N.repeat(2),
        own_BT=candidates.own_BT,
        repeats=True,
        log_q_N=torch.full((2 * ITEMS,), 2.0).log(),
    )
    twice.see(score_BN.repeat(1, 2), factor_BN.repeat(1, 2), doubled, batch)
    torch.testing.assert_close(twice._sums_RX[:, 0], once._sums_RX[:, 0])
