"""Choosing candidates: no near-copies, the best first, then the best of what is different."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from prefprior.inference.selection import (
    ROUNDS,
    Candidates,
    distinct_candidates,
    maximal_marginal_relevance,
    quality,
    similarity_to_rated,
)
from prefprior.space import Space
from tests.models.conftest import DIM, make_history

THRESHOLD = 0.95


def test_the_first_two_come_from_different_clusters() -> None:
    left, right = torch.tensor([[-5.0, 0.1], [-5.0, -0.1], [-4.9, 0.0]]), torch.tensor([[5.0, 0.1], [5.0, -0.1]])
    candidates = torch.cat([left, right])[None]
    scores = torch.tensor([[3.0, 2.9, 2.8, 1.0, 0.9]])
    assert maximal_marginal_relevance(candidates, scores, 2, diversity=3.0).tolist() == [[0, 3]]


def test_with_diversity_0_the_scores_alone_select() -> None:
    candidates, scores = torch.randn(1, 5, 2), torch.tensor([[1.0, 3.0, 2.0, 5.0, 4.0]])
    assert maximal_marginal_relevance(candidates, scores, 3, diversity=0.0).tolist() == [[3, 4, 1]]


def random_candidates() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(3, 20, 4, generator=g), torch.randn(3, 20, generator=g)


def test_nothing_is_selected_twice() -> None:
    rows = maximal_marginal_relevance(*random_candidates(), 20, 1.0)
    assert (rows.sort(1).values == torch.arange(20)).all()


def test_a_selection_does_not_depend_on_other_users() -> None:
    candidates, scores = random_candidates()
    together = maximal_marginal_relevance(candidates, scores, 6, 1.0)
    assert torch.equal(together[1:2], maximal_marginal_relevance(candidates[1:2], scores[1:2], 6, 1.0))


def test_a_selection_does_not_depend_on_the_scale_of_scores() -> None:
    candidates, scores = random_candidates()
    plain = maximal_marginal_relevance(candidates, scores, 6, 1.0)
    assert torch.equal(plain, maximal_marginal_relevance(candidates, 10 * scores + 3, 6, 1.0))


def test_selecting_more_than_the_candidates_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot select 5 of 4"):
        maximal_marginal_relevance(torch.randn(1, 4, 2), torch.randn(1, 4), 5, 1.0)


def test_disallowed_candidates_do_not_change_the_selection() -> None:
    raw, scores = random_candidates()
    near = raw[..., 0]
    allowed = torch.ones(3, 20, dtype=torch.bool)
    allowed[1, :7] = False
    counts = torch.zeros(3, dtype=torch.long)
    all_of_them = Candidates(raw, scores, allowed, counts, counts)
    without = Candidates(raw[1:2, 7:], scores[1:2, 7:], None, counts[:1], counts[:1])
    made = all_of_them.best(5, scaled_BMD=raw, diversity=1.0, near_BM=near, text_weight=0.3)
    alone = without.best(5, scaled_BMD=raw[1:2, 7:], diversity=1.0, near_BM=near[1:2, 7:], text_weight=0.3)
    assert torch.equal(made.raw_BnD[1], alone.raw_BnD[0])


def test_a_weight_mixes_score_and_closeness() -> None:
    score, near = torch.tensor([[0.0, 1.0]]), torch.tensor([[7.0, 3.0]])
    assert torch.equal(quality(score, near, 0.0), quality(score, None, 0.5))
    assert quality(score, near, 1.0).tolist() == [[1.0, -1.0]]
    assert quality(score, near, 0.5).tolist() == [[0.0, 0.0]]


def test_similarity_is_the_largest_cosine_in_standardised_coordinates(space: Space) -> None:
    history = make_history(2, 4)
    raw_BMD = torch.randn(2, 3, DIM)
    found = similarity_to_rated(space, raw_BMD, history)
    for user in range(2):
        rated = space.to_model(history.embeddings_BKD[user][history.valid_BK[user]])
        cosine = torch.cosine_similarity(space.to_model(raw_BMD[user])[:, None], rated[None], dim=-1)
        torch.testing.assert_close(found[user], cosine.amax(1))


def test_nothing_is_similar_to_an_empty_history(space: Space) -> None:
    history = make_history(1, 4)
    history = replace(history, valid_BK=torch.zeros_like(history.valid_BK))
    assert (similarity_to_rated(space, history.embeddings_BKD, history) == -1).all()


def drawing(copies: list[int], calls: list[list[int]]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Six candidates a round, of which user b's first `copies[b]` are a rated item."""
    history, generator = make_history(len(copies), 4), torch.Generator().manual_seed(1)

    def draw(rows: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(rows.tolist())
        raw_bMD = torch.randn(len(rows), 6, DIM, generator=generator) * 3 + 1
        for place, user in enumerate(rows.tolist()):
            raw_bMD[place, : copies[user]] = history.embeddings_BKD[user, 0] * 1.001
        return raw_bMD, torch.zeros(len(rows), 6)

    return draw


def distinct(space: Space, copies: list[int]) -> tuple[Candidates, list[list[int]]]:
    calls: list[list[int]] = []
    history = make_history(len(copies), 4)
    return distinct_candidates(drawing(copies, calls), history, space, 4, THRESHOLD), calls


def test_only_users_with_too_few_candidates_get_more(space: Space) -> None:
    found, calls = distinct(space, [0, 4, 1])
    assert calls == [[0, 1, 2], [1]]
    assert found.proposed_B.tolist() == [6, 12, 6]


def test_near_copies_are_counted_and_not_allowed(space: Space) -> None:
    found, _ = distinct(space, [0, 4, 1])
    assert found.allowed_BM is not None
    assert found.near_copies_B.tolist() == [0, 8, 1]
    assert found.allowed_BM.sum(1).tolist() == [6, 4, 5]


def test_near_copies_are_selected_if_nothing_else_is_left(space: Space) -> None:
    found, calls = distinct(space, [6])
    assert found.allowed_BM is not None
    assert len(calls) == ROUNDS
    assert found.allowed_BM.sum(1).tolist() == [4]
