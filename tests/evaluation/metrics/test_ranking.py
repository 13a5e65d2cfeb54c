import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from prefprior.baselines.random import RandomPredictor
from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.metrics.ranking import ranking
from prefprior.evaluation.metrics.scoring import SampledCandidates, Scored, reduce_scores, score
from prefprior.history import History
from prefprior.predictor import By, Catalogue
from tests.evaluation.tastes import Oracle, make_tastes


def test_ranks_agree_with_sorting_and_skip_seen_items() -> None:
    people = make_tastes().people
    scores = torch.rand(len(people), len(people.catalogue), generator=torch.Generator().manual_seed(0))
    scored = reduce_scores(scores, people, k=7)
    for b in range(len(people)):
        seen = set(people.seen_item_BS[b].tolist())
        order = [i for i in scores[b].argsort(descending=True).tolist() if i not in seen]
        assert scored.top_BK[b].tolist() == order[:7]
        assert int(scored.candidates_B[b]) == len(order)
        for t, item in enumerate(people.held_item_BT[b].tolist()):
            expected = order.index(item) + 1 if people.held_liked_BT[b, t] else torch.inf
            assert scored.rank_BT[b, t] == expected


def test_equal_scores_share_their_mean_rank() -> None:
    people = make_tastes().people
    scored = reduce_scores(torch.zeros(len(people), len(people.catalogue)), people, k=1)
    expected_BT = ((scored.candidates_B + 1) / 2)[:, None].expand_as(scored.rank_BT)
    assert torch.equal(scored.rank_BT[people.held_liked_BT], expected_BT[people.held_liked_BT].double())


def test_ranking_agrees_with_torchmetrics() -> None:
    people = make_tastes().people
    scores = torch.rand(len(people), len(people.catalogue), generator=torch.Generator().manual_seed(3))
    scored = reduce_scores(scores, people, k=1)
    ours = ranking(scored.rank_BT, people.held_liked_BT, (5, 20))
    for b in range(len(people)):
        candidates = torch.ones(len(people.catalogue), dtype=torch.bool)
        candidates[people.seen_item_BS[b][people.seen_item_BS[b] >= 0]] = False
        target = torch.zeros(len(people.catalogue), dtype=torch.bool)
        target[people.held_item_BT[b][people.held_liked_BT[b]]] = True
        preds, wanted = scores[b][candidates], target[candidates]
        for k in (5, 20):
            assert ours[f"recall_{k}"][b] == pytest.approx(float(retrieval_recall(preds, wanted, top_k=k)))
            assert ours[f"ndcg_{k}"][b] == pytest.approx(float(retrieval_normalized_dcg(preds, wanted, top_k=k)))
            assert ours[f"hit_{k}"][b] == float(retrieval_hit_rate(preds, wanted, top_k=k))
        assert ours["mrr"][b] == pytest.approx(float(retrieval_reciprocal_rank(preds, wanted)))
        everything = ranking(scored.rank_BT, people.held_liked_BT, (len(candidates),))
        assert everything[f"map_{len(candidates)}"][b] == pytest.approx(
            float(retrieval_average_precision(preds, wanted)), abs=1e-6
        )


def test_map_at_k_by_hand() -> None:
    rank = torch.tensor([[1.0, 3.0, 12.0]])
    assert float(ranking(rank, torch.ones(1, 3, dtype=torch.bool), (3,))["map_3"]) == pytest.approx((1 + 2 / 3) / 3)


def test_an_oracle_ranks_every_like_above_every_dislike() -> None:
    tastes = make_tastes()
    scored = score(Oracle(tastes), tastes.people, k=20)
    likes = scored.score_BT.masked_fill(~tastes.people.held_liked_BT, torch.inf).amin(1)
    dislikes = scored.score_BT.masked_fill(~tastes.people.held_disliked_BT, -torch.inf).amax(1)
    assert (likes > dislikes).all()


def test_an_oracle_finds_the_likes() -> None:
    tastes = make_tastes()
    scored = score(Oracle(tastes), tastes.people, k=20)
    # Likes are half of the catalogue, so that even a perfect list of k holds a few of the held-out ones only.
    top = ranking(scored.rank_BT, tastes.people.held_liked_BT, (100,))["recall_100"]
    assert float(top.nanmean()) > 0.9


@pytest.fixture(scope="module")
def random() -> tuple[HeldOutUsers, Scored]:
    """What random scores say of four hundred people."""
    tastes, predictor = make_tastes(users=400, items=300, rated=20), RandomPredictor()
    predictor.fit(tastes.training, None, torch.Generator())
    return tastes.people, score(predictor, tastes.people, k=30)


def test_recall_of_random_scores_is_k_over_the_candidates(random: tuple[HeldOutUsers, Scored]) -> None:
    people, scored = random
    recall = ranking(scored.rank_BT, people.held_liked_BT, (30,))["recall_30"]
    held = recall[people.held_liked_BT.any(1)]
    expected = 30 / float(scored.candidates_B[0])
    assert abs(float(held.mean()) - expected) < 4 * float(held.std()) / len(held) ** 0.5


def test_reciprocal_rank_of_random_scores_is_the_harmonic_mean(random: tuple[HeldOutUsers, Scored]) -> None:
    people, scored = random
    first_BT = people.held_liked_BT & (people.held_liked_BT.cumsum(1) == 1)  # one like a person
    found = ranking(scored.rank_BT, first_BT, (30,))["mrr"]
    n = int(scored.candidates_B[0])
    expected = float(np.sum(1 / np.arange(1, n + 1)) / n)
    assert abs(float(found.nanmean()) - expected) < 4 * float(found[~found.isnan()].std()) / len(people) ** 0.5


def test_scores_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    tastes = make_tastes()
    whole = score(Oracle(tastes), tastes.people)
    chunks = tastes.people.chunks
    monkeypatch.setattr(type(tastes.people), "chunks", lambda self: chunks(scores=3 * len(self.catalogue)))
    parts = score(Oracle(tastes), tastes.people)
    assert torch.equal(whole.rank_BT, parts.rank_BT)
    assert torch.equal(whole.top_BK, parts.top_BK)


class TwoScores(Oracle):
    """Ranks by the taste, rates by its opposite."""

    two_scores = True

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> torch.Tensor:
        return super().rank(history, catalogue) * (-1 if by == "rating" else 1)


def test_held_out_items_are_scored_by_rating_and_ranked_by_interaction() -> None:
    tastes = make_tastes()
    one, two = score(Oracle(tastes), tastes.people), score(TwoScores(tastes), tastes.people)
    assert torch.equal(two.score_BT, -one.score_BT)
    assert torch.equal(two.rank_BT, one.rank_BT)
    assert torch.equal(two.top_BK, one.top_BK)


def test_a_predictor_with_one_score_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tastes, asked, rank = make_tastes(), [], Oracle.rank

    def counted(self: Oracle, history: History, catalogue: Catalogue, by: By) -> torch.Tensor:
        asked.append(by)
        return rank(self, history, catalogue, by)

    monkeypatch.setattr(Oracle, "rank", counted)
    score(Oracle(tastes), tastes.people)
    assert asked == ["interaction"]


def test_a_ranking_of_the_wrong_shape_is_refused() -> None:
    people = make_tastes().people
    with pytest.raises(ValueError, match="instead of 24 users x 200"):
        reduce_scores(torch.zeros(24, 5), people, k=1)


@pytest.fixture(scope="module")
def people() -> HeldOutUsers:
    return make_tastes().people


SAMPLED = SampledCandidates(40, seed=3)


def test_sampled_candidates_are_unseen_and_not_held_out(people: HeldOutUsers) -> None:
    mask_BN, seen_BS = SAMPLED.mask(people), people.seen_item_BS
    assert torch.equal(mask_BN.sum(1), people.held_valid_BT.sum(1) + 40)
    assert not mask_BN.gather(1, seen_BS.clamp_min(0))[seen_BS >= 0].any()


def test_sampled_candidates_do_not_depend_on_other_users(people: HeldOutUsers) -> None:
    some = torch.tensor([5, 2])
    assert torch.equal(SAMPLED.mask(people.take(some)), SAMPLED.mask(people)[some])


def test_ranks_among_sampled_candidates_are_better(people: HeldOutUsers) -> None:
    whole, few = (
        score(RandomPredictor(), people, candidates=candidates).rank_BT[people.held_liked_BT]
        for candidates in (None, SAMPLED)
    )
    assert (few <= whole).all()
    assert float(few.mean()) < 0.5 * float(whole.mean())


def test_scores_count_the_sampled_candidates(people: HeldOutUsers) -> None:
    found = score(RandomPredictor(), people, candidates=SAMPLED).candidates_B
    assert torch.equal(found, people.held_valid_BT.sum(1) + 40)
