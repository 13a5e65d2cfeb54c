"""Embeddings for a gallery: repeatable for each user alone, chosen and scored by the one predictor."""

import pytest
import torch

from prefprior.gallery.embeddings import interpolated, mean_distance
from prefprior.inference.selection import similarity_to_rated
from prefprior.models.diffusion.sampler import Sampler
from prefprior.seeding import generator_of
from tests.gallery.tiny import DIM, SETTINGS, TinyUsers, catalogue, embeddings


@pytest.fixture
def users() -> TinyUsers:
    return TinyUsers(3)


def test_embeddings_are_the_predictors_samples(users: TinyUsers) -> None:
    user, made = users.user("Person 0"), embeddings(users)
    samples_BnD = made.predictor.sample(
        user.history, SETTINGS.n, generator_of(SETTINGS.seed, user.name, "embeddings", 0), sampler=SETTINGS.sampler,
        copy_threshold=SETTINGS.copy_threshold,
    )  # fmt: skip
    assert torch.equal(made.of(user).raw_nD, samples_BnD[0])


def test_embeddings_do_not_depend_on_other_users(users: TinyUsers) -> None:
    alone = embeddings(users).of(users.user("Person 2"))
    one = embeddings(users)
    after = [one.of(user) for user in users.gather(users.names)][2]
    assert torch.equal(alone.raw_nD, after.raw_nD)


def test_users_get_different_embeddings(users: TinyUsers) -> None:
    made = embeddings(users)
    assert not torch.equal(made.of(users.user("Person 1")).raw_nD, made.of(users.user("Person 2")).raw_nD)


def test_another_seed_gives_other_embeddings(users: TinyUsers) -> None:
    user = users.user("Person 0")
    assert not torch.equal(embeddings(users).of(user).raw_nD, embeddings(users, seed=1).of(user).raw_nD)


def test_diversity_trades_score_for_distance() -> None:
    users = TinyUsers(20)
    greedy, varied = (
        [
            embeddings(users, n=4, sampler=Sampler(steps=2, candidates=8, diversity=d)).of(u)
            for u in users.gather(users.names)
        ]
        for d in (0.0, 4.0)
    )
    assert sum(float(made.score_n.mean()) for made in greedy) > sum(float(made.score_n.mean()) for made in varied)
    assert sum(made.diversity for made in greedy) < sum(made.diversity for made in varied)


def test_with_diversity_0_the_best_comes_first(users: TinyUsers) -> None:
    made = embeddings(users, n=4, sampler=Sampler(steps=2, candidates=8, diversity=0.0)).of(users.user("Person 0"))
    assert (made.score_n.diff() <= 1e-6).all()


def test_similarity_is_measured_to_rated_pictures(users: TinyUsers) -> None:
    user = users.user("Person 0")
    made = embeddings(users).of(user)
    expected = similarity_to_rated(users.catalogue.space, made.raw_nD[None], user.history)[0]
    assert torch.equal(made.likeness_n, expected)


def test_near_copies_are_left_out_and_counted(users: TinyUsers) -> None:
    user = users.user("Person 0")
    threshold = float(embeddings(users, n=20).of(user).likeness_n.median())
    made = embeddings(users, copy_threshold=threshold).of(user)
    assert made.near_copies > 0
    assert (made.likeness_n < threshold).all()


def test_better_than_is_the_share_of_real_pictures_that_score_lower(users: TinyUsers) -> None:
    user, one = users.user("Person 0"), embeddings(users)
    made = one.of(user)
    real_N = one.predictor.score(user.history, users.catalogue.embeddings_ND)[0]
    assert made.better_than_n is not None
    torch.testing.assert_close(made.better_than_n, (real_N[None] < made.score_n[:, None]).float().mean(1))


def test_a_text_moves_embeddings_towards_it(users: TinyUsers) -> None:
    text_D, user = torch.randn(DIM, generator=generator_of("text")), users.user("Person 0")
    far, near = (
        torch.cosine_similarity(embeddings(users, text_D=text_D, prompt="p", prompt_weight=w).of(user).raw_nD, text_D)
        for w in (0.0, 1.0)
    )
    assert near.mean() > far.mean()


def test_negatives_are_sampled_on_request(users: TinyUsers) -> None:
    user = users.user("Person 0")
    negative_nD = embeddings(users, negative=True).of(user).negative_nD
    assert negative_nD is not None
    assert negative_nD.shape == (SETTINGS.n, DIM)
    assert embeddings(users).of(user).negative_nD is None


def test_an_interpolation_goes_from_one_best_picture_to_the_other(users: TinyUsers) -> None:
    one, other = users.gather(["Person 0", "Person 1"])
    walk = embeddings(users, n=5).between(one, other)
    first, last = (embeddings(users, n=1).of(user).raw_nD[0] for user in (one, other))
    torch.testing.assert_close(walk.raw_nD[0], first, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(walk.raw_nD[-1], last, atol=1e-4, rtol=1e-4)


def test_the_mean_distance_is_taken_over_pairs() -> None:
    space = catalogue().space
    raw = space.from_model(torch.eye(DIM)[:2])
    assert mean_distance(space, raw) == pytest.approx(1.0, abs=1e-6)


def test_one_picture_has_no_distance() -> None:
    known = catalogue()
    assert mean_distance(known.space, known.embeddings_ND[:1]) == 0


def test_interpolation_ends_where_it_should() -> None:
    known = catalogue()
    one, other = known.embeddings_ND[:1], known.embeddings_ND[1:2]
    path = interpolated(known.space, one.expand(5, -1), other.expand(5, -1), torch.linspace(0, 1, 5))
    torch.testing.assert_close(path[[0, -1]], torch.cat([one, other]), atol=1e-4, rtol=1e-4)


def test_interpolation_is_monotone() -> None:
    known = catalogue()
    one, other = known.embeddings_ND[:1], known.embeddings_ND[1:2]
    path = interpolated(known.space, one.expand(5, -1), other.expand(5, -1), torch.linspace(0, 1, 5))
    to_one = (known.space.directions(path) @ known.space.directions(one).T)[:, 0]
    assert (to_one.diff() < 0).all()


def test_interpolation_between_equal_embeddings_is_constant() -> None:
    known = catalogue()
    one = known.embeddings_ND[:1]
    torch.testing.assert_close(interpolated(known.space, one, one, 0.3), one, atol=1e-5, rtol=1e-5)
