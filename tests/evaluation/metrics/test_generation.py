import pytest
import torch
from torch import Tensor

from prefprior.baselines.mean import MeanOfLikes
from prefprior.baselines.random import RandomPredictor
from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.metrics.generation import (
    cloud_distances,
    diversity_and_novelty,
    require_samples,
    sample_recall,
    similarity,
)
from prefprior.evaluation.metrics.personalisation import PersonalGap, personal_gap, verifier_auc
from prefprior.evaluation.protocol.controls import other_user
from prefprior.history import History
from prefprior.predictor import Predictor
from tests.evaluation.tastes import Oracle, Tastes, make_tastes

N = 6


@pytest.fixture(scope="module")
def tastes() -> Tastes:
    return make_tastes(users=40, items=400, rated=60)


def samples_of(predictor: Predictor, tastes: Tastes, people: HeldOutUsers | None = None) -> Tensor:
    predictor.fit(tastes.training, None, torch.Generator().manual_seed(0))
    return predictor.sample((people or tastes.people).history(), N, torch.Generator().manual_seed(0))


class Copier(MeanOfLikes):
    """Gives back what is already in the history."""

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        return history.embeddings_BKD[:, :n]


def test_novelty_exposes_a_predictor_that_copies_the_history(tastes: Tastes) -> None:
    copied = diversity_and_novelty(samples_of(Copier(), tastes), tastes.people)
    assert float(copied["copied"].mean()) == 1
    assert float(copied["novelty"].abs().max()) < 1e-5


def test_random_pictures_are_novel(tastes: Tastes) -> None:
    fresh = diversity_and_novelty(samples_of(RandomPredictor(), tastes), tastes.people)
    assert float(fresh["copied"].mean()) == 0
    assert float(fresh["novelty"].mean()) > 0.1


def test_one_point_has_no_diversity(tastes: Tastes) -> None:
    figures = diversity_and_novelty(samples_of(MeanOfLikes(), tastes), tastes.people)
    assert float(figures["diversity"].abs().max()) < 1e-5


def test_similarity_by_hand(tastes: Tastes) -> None:
    people = tastes.people
    samples = samples_of(RandomPredictor(), tastes)
    figures = similarity(samples, people)
    space = tastes.catalogue.space
    for b in (0, 7):
        likes = people.held_item_BT[b][people.held_liked_BT[b]]
        cosine = space.directions(samples[b]) @ space.directions(tastes.catalogue.embeddings_ND[likes]).T
        assert float(figures["cosine_likes"][b]) == pytest.approx(float(cosine.mean()), abs=1e-6)
        assert float(figures["cosine_likes_best"][b]) == pytest.approx(float(cosine.amax(0).mean()), abs=1e-6)


def test_the_held_out_likes_themselves_are_perfect_samples(tastes: Tastes) -> None:
    people = tastes.people
    likes = torch.stack([people.held_embeddings()[b][people.held_liked_BT[b]][:1].repeat(N, 1) for b in range(40)])
    one = people.where(torch.cumsum(people.held_liked_BT, 1).eq(1) & people.held_liked_BT)
    assert float(sample_recall(likes, one, (1,))["sample_recall_1"].mean()) == 1
    assert float(similarity(likes, one)["cosine_likes"].min()) == pytest.approx(1, abs=1e-5)
    assert float(similarity(likes, one)["mmd_own"].abs().max()) < 1e-2


def test_population_distances_order_predictors(tastes: Tastes) -> None:
    generator = torch.Generator().manual_seed(0)
    oracle = cloud_distances(samples_of(Oracle(tastes), tastes), tastes.people, generator)
    point = cloud_distances(
        samples_of(MeanOfLikes(), tastes) * 0 + tastes.catalogue.embeddings_ND[0], tastes.people, generator
    )
    assert oracle["frechet_all"] < point["frechet_all"]
    assert oracle["mmd_all"] < point["mmd_all"]
    assert oracle["coverage_cloud"] > point["coverage_cloud"]
    assert oracle["precision"] > 0.5


def gap_of(samples_BnD: Tensor, people: HeldOutUsers, seed: int = 0) -> PersonalGap:
    found = personal_gap(samples_BnD, people, seed)
    assert found is not None
    return found


def test_verifiers_separate_likes_from_dislikes(tastes: Tastes) -> None:
    assert float(verifier_auc(tastes.people).nanmean()) > 0.8


def test_verifiers_detect_personal_samples(tastes: Tastes) -> None:
    own = gap_of(samples_of(MeanOfLikes(), tastes), tastes.people)
    assert own.gap > 1
    assert own.p_value < 0.01


def test_samples_from_another_users_history_are_not_personal(tastes: Tastes) -> None:
    swapped = other_user(tastes.people, torch.Generator().manual_seed(3))
    assert gap_of(samples_of(MeanOfLikes(), tastes, swapped), tastes.people).p_value > 0.01


def test_random_samples_are_not_personal(tastes: Tastes) -> None:
    assert gap_of(samples_of(RandomPredictor(), tastes), tastes.people).p_value > 0.01


def test_the_permutation_test_has_uniform_p_values(tastes: Tastes) -> None:
    noise = [torch.randn(40, 2, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(40)]
    values = [gap_of(noise_BnD, tastes.people, seed).p_value for seed, noise_BnD in enumerate(noise)]
    # Under the null, p is uniform: its mean over 40 tests is within .5 +- 4 x .289 / sqrt(40).
    assert abs(sum(values) / 40 - 0.5) < 0.19


def test_samples_that_are_not_finite_are_refused(tastes: Tastes) -> None:
    with pytest.raises(ValueError, match="not finite"):
        require_samples(torch.full((40, N, 8), torch.nan), tastes.people, N, tastes.catalogue.space, "x")


def test_samples_of_the_wrong_shape_are_refused(tastes: Tastes) -> None:
    with pytest.raises(ValueError, match="instead of 40 users x 6 x 8"):
        require_samples(torch.zeros(40, N, 9), tastes.people, N, tastes.catalogue.space, "x")
