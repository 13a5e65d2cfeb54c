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
from prefprior.evaluation.metrics.ranking import ranking
from prefprior.evaluation.metrics.scoring import SampledCandidates, reduce_scores, score
from tests.evaluation.tastes import Oracle, make_tastes


def test_ranks_agree_with_sorting_and_skip_what_was_seen():
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


def test_equal_scores_share_their_mean_rank():
    people = make_tastes().people
    scored = reduce_scores(torch.zeros(len(people), len(people.catalogue)), people, k=1)
    expected_BT = ((scored.candidates_B + 1) / 2)[:, None].expand_as(scored.rank_BT)
    assert torch.equal(scored.rank_BT[people.held_liked_BT], expected_BT[people.held_liked_BT].double())


def test_ranking_agrees_with_torchmetrics():
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


def test_map_at_k_by_hand():
    rank = torch.tensor([[1.0, 3.0, 12.0]])
    assert float(ranking(rank, torch.ones(1, 3, dtype=torch.bool), (3,))["map_3"]) == pytest.approx((1 + 2 / 3) / 3)


def test_oracle_ranks_every_like_above_every_dislike_and_beats_all():
    tastes = make_tastes()
    scored = score(Oracle(tastes), tastes.people, k=20)
    likes = scored.score_BT.masked_fill(~tastes.people.held_liked_BT, torch.inf).amin(1)
    dislikes = scored.score_BT.masked_fill(~tastes.people.held_disliked_BT, -torch.inf).amax(1)
    assert (likes > dislikes).all()
    # Likes are half of the catalogue, so that even a perfect list of k holds a few of the held-out ones only.
    top = ranking(scored.rank_BT, tastes.people.held_liked_BT, (100,))["recall_100"]
    assert float(top.nanmean()) > 0.9


def test_random_scores_what_theory_says():
    tastes = make_tastes(users=400, items=300, rated=20)
    random = RandomPredictor()
    random.fit(tastes.training, None, torch.Generator())
    scored = score(random, tastes.people, k=30)
    figures = ranking(scored.rank_BT, tastes.people.held_liked_BT, (30,))
    n = float(scored.candidates_B[0])
    recall = figures["recall_30"]
    count = tastes.people.held_liked_BT.sum(1)
    held = recall[count > 0]
    # Each held-out like is in the list with chance k / N.
    assert abs(float(held.mean()) - 30 / n) < 4 * float(held.std()) / len(held) ** 0.5
    alone = ranking(scored.rank_BT, tastes.people.held_liked_BT & (count == 1)[:, None], (30,))["mrr"]
    harmonic = np.sum(1 / np.arange(1, n + 1)) / n
    if alone.isfinite().sum() > 10:
        assert abs(float(alone.nanmean()) - harmonic) < 0.05


def test_scoring_in_chunks_changes_nothing(monkeypatch):
    tastes = make_tastes()
    whole = score(Oracle(tastes), tastes.people)
    chunks = tastes.people.chunks
    monkeypatch.setattr(type(tastes.people), "chunks", lambda self: chunks(scores=3 * len(self.catalogue)))
    parts = score(Oracle(tastes), tastes.people)
    assert torch.equal(whole.rank_BT, parts.rank_BT)
    assert torch.equal(whole.top_BK, parts.top_BK)


def test_a_ranking_of_the_wrong_shape_is_named():
    people = make_tastes().people
    with pytest.raises(ValueError, match="instead of 24 people x 200"):
        reduce_scores(torch.zeros(24, 5), people, k=1)


def test_sampled_candidates_are_unseen_the_same_for_everyone_who_ranks_and_make_it_look_easier():
    people = make_tastes().people
    sampled = SampledCandidates(40, seed=3)
    mask_BN = sampled.mask(people)
    held = people.held_valid_BT.sum(1)
    assert torch.equal(mask_BN.sum(1), held + 40)
    seen_BS = people.seen_item_BS
    assert not mask_BN.gather(1, seen_BS.clamp_min(0))[seen_BS >= 0].any()
    some = torch.tensor([5, 2])
    assert torch.equal(sampled.mask(people.take(some)), mask_BN[some])
    random = RandomPredictor()
    whole, few = (score(random, people, candidates=s).rank_BT[people.held_liked_BT] for s in (None, sampled))
    assert (few <= whole).all()
    assert float(few.mean()) < 0.5 * float(whole.mean())
    assert torch.equal(score(random, people, candidates=sampled).candidates_B, held + 40)
