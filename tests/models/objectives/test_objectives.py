"""Objectives: what has no weight is never read, every draw comes from the generator, weights mean what they say."""

from dataclasses import replace

import pytest
import torch
from prefprior.models.retriever.contrastive import Contrastive, _expecting_alike
from torch.nn.functional import normalize

from prefprior.models.diffusion.schedules import PREDICTIONS, Cosine, Linear
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.objectives.regression import Regression
from tests.models.conftest import DIM, make_batch, make_history, make_prior

OBJECTIVES = [
    Denoising(path=Linear(), prediction="velocity", times="logit_normal", rank=Contrastive()),
    Denoising(path=Cosine(), prediction="v", weighting="min_snr", rank=Contrastive()),
    Denoising(path=Cosine(shift=0.5), prediction="x0"),
    Denoising(path=Linear(), prediction="eps", drop_history=0.0, drop_rating=0.0),
    Regression(rank=Contrastive()),
    Regression(answers=1),
]


def loss(objective, prior, batch, seed=0):
    return objective.loss(prior, batch, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_invalid_targets_are_never_read(prior, objective):
    batch = make_batch()
    spoiled = replace(
        batch,
        target_BTD=torch.where(batch.target_valid_BT[..., None], batch.target_BTD, torch.nan),
        target_rating_BT=torch.where(batch.target_valid_BT, batch.target_rating_BT, torch.nan),
    )
    clean, other = loss(objective, prior, batch), loss(objective, prior, spoiled)
    assert torch.equal(clean.total, other.total)
    other.total.backward()
    assert all(torch.isfinite(p.grad).all() for p in prior.parameters() if p.grad is not None)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_draw_comes_from_the_generator(prior, objective):
    batch = make_batch()
    first, _, again = loss(objective, prior, batch), torch.randn(7), loss(objective, prior, batch)
    assert torch.equal(first.total, again.total)
    torch.testing.assert_close(first.total, sum(first.terms.values()))
    if not (isinstance(objective, Regression) and objective.answers == 1):
        assert not torch.equal(first.total, loss(objective, prior, batch, seed=1).total)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_batch_without_targets_teaches_nothing_and_breaks_nothing(prior, objective):
    batch = make_batch()
    nothing = replace(batch, target_valid_BT=torch.zeros_like(batch.target_valid_BT))
    found = loss(objective, prior, nothing)
    assert found.total == 0
    found.total.backward()


@pytest.mark.parametrize(("frequencies", "members"), [(0, 1), (16, 1), (0, 2), (16, 3)])
@pytest.mark.parametrize("scores", [True, False])
def test_every_parameter_learns_something(space, frequencies, members, scores):
    prior = make_prior(space, frequencies=frequencies, members=members)
    objective = OBJECTIVES[0]
    if not scores:
        objective = Regression()
        prior.scores.freeze()
    loss(objective, prior, make_batch(users=16)).total.backward()
    learning = [(name, p) for name, p in prior.named_parameters() if p.requires_grad]
    silent = [name for name, p in learning if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_weighs_the_same_error_of_x0_the_same(prediction):
    path = Cosine()
    objective = Denoising(path=path, prediction=prediction, weighting="min_snr")
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    alpha, sigma = path.alpha_sigma(t)
    noisy = torch.randn(19, 1, dtype=torch.float64)
    # Move the network's output by a little and see how far that moves x_0.
    output = torch.randn(19, 1, dtype=torch.float64)
    moved = path.x0_from(prediction, output + 1e-3, noisy, t) - path.x0_from(prediction, output, noisy, t)
    weight_of_x0_error = objective.weight(t) * (1e-3 / moved[:, 0]) ** 2
    torch.testing.assert_close(weight_of_x0_error, (alpha / sigma).square().clamp(max=5.0), rtol=1e-6, atol=1e-9)


def test_times_fill_their_distribution_evenly():
    g = torch.Generator().manual_seed(0)
    uniform = Denoising(path=Linear()).draw_times((50, 20), g, torch.device("cpu")).flatten().sort().values
    assert ((uniform - torch.linspace(0, 0.99, 1000)).abs() < 0.004).all()
    normal = Denoising(path=Linear(), times="logit_normal", times_mean=0.5).draw_times((5000,), g, torch.device("cpu"))
    assert abs(normal.logit().mean() - 0.5) < 0.05


def test_regression_learns_from_the_nearest_answer_alone(prior):
    batch = make_batch()
    only_nearest, all_alike = Regression(share_of_all=0.0), Regression(share_of_all=1.0)
    assert loss(only_nearest, prior, batch).total < loss(all_alike, prior, batch).total


def test_appeal_and_fit_learn_apart(prior):
    batch = make_batch(users=16)
    encoded = prior.encode_history(batch.history)
    terms = Contrastive().terms(prior, encoded, batch, torch.Generator().manual_seed(0))
    appeal = terms["appeal_softmax"] + terms["appeal_pairs"]
    fit = terms["fit_softmax"] + terms["fit_pairs"]
    (member,) = prior.scores.members
    personal = [*member.item_tower.parameters(), *member.interest.parameters()]
    general = list(member.appeal_tower.parameters())
    grads = torch.autograd.grad(fit, general + personal, retain_graph=True, allow_unused=True)
    assert all(g is None for g in grads[: len(general)])
    assert all(g is not None for g in grads[len(general) :])
    grads = torch.autograd.grad(appeal, general + personal, allow_unused=True)
    assert all(g is None for g in grads[len(general) :])


def liked_by(batch, user):
    """Pictures that somebody is known to like."""
    before = batch.history.items_BK[user][batch.history.liked_BK[user]]
    targets = batch.target_item_BT[user][batch.target_valid_BT[user] & (batch.target_rating_BT[user] > 0)]
    return {int(i) for i in torch.cat([before, targets])}


def with_shared_items(batch):
    """People whose histories hold what are targets of others, liked by one and disliked by another."""
    batch.history.valid_BK[:, :2] = True
    batch.history.items_BK[:, 0] = batch.target_item_BT[:, 0].roll(1)
    batch.history.items_BK[:, 1] = batch.target_item_BT[:, 0].roll(2)
    batch.history.ratings_BK[:, 0], batch.history.ratings_BK[:, 1] = 0.5, -0.5
    batch.target_item_BT[1, 0] = batch.target_item_BT[0, 1]  # and two who like, or not, the same as targets
    batch.target_item_BT[2, 0] = batch.target_item_BT[0, 0]
    return batch


def test_softmax_against_a_plain_loop(prior):
    batch = with_shared_items(make_batch(users=6, targets=3))
    objective = Contrastive(negatives=10, pairs_weight=0.0, softmax_weight=1.0)
    g = torch.Generator().manual_seed(3)
    catalogue = torch.randn(50, batch.target_BTD.shape[-1], generator=g)
    counts = torch.randint(1, 9, (50,), generator=g)
    objective.use_catalogue(catalogue, counts)
    encoded = prior.encode_history(batch.history)
    found = objective.terms(prior, encoded, batch, torch.Generator().manual_seed(0))["fit_softmax"]

    rows = torch.randint(50, (10,), generator=torch.Generator().manual_seed(0))
    raw = torch.cat([batch.target_BTD.flatten(0, 1), catalogue[rows]])
    items = torch.cat([batch.target_item_BT.flatten(), rows])
    valid = torch.cat([batch.target_valid_BT.flatten(), torch.ones(10, dtype=torch.bool)])
    user = torch.cat([torch.arange(6).repeat_interleave(3), torch.full((10,), -1)])
    liked = torch.cat([(batch.target_rating_BT > 0).flatten(), torch.zeros(10, dtype=torch.bool)])
    score = prior.scores(encoded, raw)
    expected = (18 * counts / counts.sum() + 10 / 50).log()
    losses = []
    for i in range(18):
        if not (valid[i] and liked[i]):
            continue
        kept = [i]
        for j in range(28):
            own_like = user[j] == user[i] and liked[j]
            own_like = own_like or int(items[j]) in liked_by(batch, user[i])
            if valid[j] and not own_like and items[j] != items[i]:
                kept.append(j)
        logits = (score[user[i]] - expected[items.clamp(min=0)])[kept]
        losses.append(torch.logsumexp(logits, 0) - logits[0])
    torch.testing.assert_close(found, torch.stack(losses).mean())


@pytest.mark.parametrize("negatives", [5, 40])
def test_new_pictures_are_negatives_only_if_asked(prior, negatives):
    batch = make_batch(users=6, targets=3)
    catalogue = torch.randn(30, batch.target_BTD.shape[-1], generator=torch.Generator().manual_seed(3))
    batch.target_item_BT = torch.arange(18).view(6, 3)
    batch.target_BTD = catalogue[:18].view(6, 3, -1)
    rated = torch.arange(30) < 18
    for asked in (False, True):
        objective = Contrastive(negatives=negatives, pairs_weight=0.0, new_negatives=asked)
        catalogue.grad = None
        objective.use_catalogue(catalogue.requires_grad_(), rated.long())
        terms = objective.terms(prior, prior.encode_history(batch.history), batch, torch.Generator().manual_seed(0))
        terms["fit_softmax"].backward()
        assert bool(catalogue.grad[18:].any()) == asked


def test_with_enough_negatives_the_softmax_is_over_the_catalogue_itself(prior):
    batch = make_batch(users=6, targets=3)
    catalogue = torch.randn(30, batch.target_BTD.shape[-1], generator=torch.Generator().manual_seed(3))
    batch.target_item_BT = torch.arange(18).view(6, 3) % 7  # pictures that several people like, row 0 among them
    batch = with_shared_items(batch)
    batch.target_item_BT[5, 2] = 29  # and one that nobody rated in training, as there are in validation
    batch.target_BTD = catalogue[batch.target_item_BT]
    batch.target_valid_BT[0, 0] = False
    batch.target_item_BT[0, 0] = -1
    batch.target_BTD[0, 0] = torch.nan
    objective = Contrastive(negatives=27, pairs_weight=0.0, softmax_weight=1.0)
    objective.use_catalogue(catalogue, (torch.arange(30) < 27).long())
    encoded = prior.encode_history(batch.history)
    found = objective.terms(prior, encoded, batch, torch.Generator().manual_seed(0))["fit_softmax"]

    scores = prior.scores(encoded, catalogue)
    losses = []
    for user in range(6):
        liked = [
            int(batch.target_item_BT[user, t])
            for t in range(3)
            if batch.target_valid_BT[user, t] and batch.target_rating_BT[user, t] > 0
        ]
        for item in liked:
            rivals = [j for j in [*range(27), 29] if j == item or j not in liked_by(batch, user)]
            losses.append(scores[user, rivals].logsumexp(0) - scores[user, item])
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_negatives_need_a_catalogue(prior):
    batch = make_batch()
    with pytest.raises(ValueError, match=r"50 pictures, but training counts 49[^$]*python shard\.py"):
        Contrastive().use_catalogue(torch.zeros(50, 4), torch.ones(49))
    with pytest.raises(ValueError, match="nobody rated"):
        Contrastive(negatives=4).use_catalogue(torch.zeros(50, 4), torch.zeros(50))
    with pytest.raises(ValueError, match="use_catalogue"):
        Contrastive(negatives=4).terms(prior, prior.encode_history(batch.history), batch, torch.Generator())


def test_closeness_trains_the_answer_and_not_the_scores(prior):
    rank = Contrastive(softmax_weight=0.0, pairs_weight=0.0, closeness_weight=1.0)
    assert not rank.trains_scores
    found = loss(Regression(rank=rank), prior, make_batch(users=16))
    assert set(found.terms) == {"regression", "closeness"}
    answers = list(prior.denoiser.leave.parameters())
    grads = torch.autograd.grad(found.terms["closeness"], [*answers, *prior.scores.parameters()], allow_unused=True)
    assert all(g is not None for g in grads[: len(answers)])
    assert all(g is None for g in grads[len(answers) :])


def test_closeness_begins_with_a_gradient_where_the_answer_is_nothing_yet(prior):
    torch.nn.init.zeros_(prior.denoiser.leave.weight)
    torch.nn.init.zeros_(prior.denoiser.leave.bias)
    rank = Contrastive(softmax_weight=0.0, pairs_weight=0.0, closeness_weight=1.0)
    loss(Regression(answers=1, rank=rank), prior, make_batch(users=16)).terms["closeness"].backward()
    grad = prior.denoiser.leave.bias.grad
    assert grad.isfinite().all()
    assert 0 < grad.norm() < 100


def test_closeness_is_less_where_the_answer_is_the_target(prior):
    batch = make_batch(users=8, targets=1)
    batch.target_rating_BT.abs_()
    rank = Contrastive(softmax_weight=0.0, pairs_weight=0.0, closeness_weight=1.0, closeness_sharpness=10.0)
    encoded, g = prior.encode_history(batch.history), torch.Generator().manual_seed(0)
    aimed, away = (
        rank.terms(prior, encoded, batch, g, sign * prior.scale.to_model(batch.target_BTD[:, 0]))["closeness"]
        for sign in (1, -1)
    )
    assert aimed < away


@pytest.mark.parametrize("negatives", [0, 5, 50], ids=["targets", "sampled too", "whole catalogue"])
def test_closeness_to_the_scores_trains_the_answer_alone_to_expect_what_all_members_do(space, negatives):
    prior, batch = make_prior(space, members=2), make_batch(users=16)
    torch.nn.init.normal_(prior.scores.members[0].appeal_tower[2].weight)  # appeal that counts
    rank = Contrastive(
        closeness_weight=2.0, closeness_to="scores", closeness_focus=1.5, closeness_sharpness=10.0, negatives=negatives
    )
    rank.use_catalogue(torch.randn(50, DIM, generator=torch.Generator().manual_seed(0)), torch.arange(50) + 1)
    encoded, answer_BD = prior.encode_history(batch.history), torch.randn(16, DIM, requires_grad=True)
    found = rank.terms(prior, encoded, batch, torch.Generator().manual_seed(0), answer_BD)["closeness"]
    candidates = rank._candidates(batch, torch.Generator().manual_seed(0))
    picture_ND = normalize(prior.scale.to_model(candidates.raw_ND), dim=-1)
    logits_BN = 10 * normalize(answer_BD, dim=-1) @ picture_ND.T
    scores_BN = 1.5 * prior.scores(encoded, candidates.raw_ND).detach()
    torch.testing.assert_close(found, 2 * _expecting_alike(logits_BN, scores_BN, candidates, batch))
    (grad_BD, *grads) = torch.autograd.grad(found, [answer_BD, *prior.scores.parameters()], allow_unused=True)
    assert grad_BD.isfinite().all()
    assert grad_BD.any()
    assert all(g is None for g in grads)


def test_how_often_a_picture_is_sampled_is_taken_out_of_both_sides():
    batch = make_batch(users=6)
    candidates = Contrastive()._candidates(batch, torch.Generator())
    log_expected_N = torch.randn(len(candidates.items_N), generator=torch.Generator().manual_seed(2))
    scores_BN, logits_BN = torch.randn(2, 6, len(log_expected_N), generator=torch.Generator().manual_seed(1))
    found = _expecting_alike(logits_BN, scores_BN, replace(candidates, log_expected_N=log_expected_N), batch)
    apart = replace(candidates, log_expected_N=None)
    expected = _expecting_alike(logits_BN - log_expected_N, scores_BN - log_expected_N, apart, batch)
    torch.testing.assert_close(found, expected)


def test_expecting_alike_is_best_where_both_expect_the_same_of_all_that_is_not_had_yet():
    batch = make_batch(users=4, length=3, targets=2)
    catalogue = torch.randn(50, DIM, generator=torch.Generator().manual_seed(0))
    rank = Contrastive(negatives=50)
    rank.use_catalogue(catalogue, torch.ones(50))
    candidates = rank._candidates(batch, torch.Generator())
    scores_BN = torch.randn(4, 50, generator=torch.Generator().manual_seed(1))
    logits_BN = scores_BN.clone().requires_grad_()
    (grad_BN,) = torch.autograd.grad(_expecting_alike(logits_BN, scores_BN, candidates, batch), logits_BN)
    torch.testing.assert_close(grad_BN, torch.zeros(4, 50), atol=1e-6, rtol=0)
    # What a history likes is not expected again, whatever its score.
    had_BN = torch.zeros(4, 50, dtype=torch.bool)
    for user in range(4):
        for item, liked in zip(batch.history.items_BK[user], batch.history.liked_BK[user]):
            had_BN[user, item] |= bool(liked)
    assert had_BN.any()
    wanted_BN = torch.zeros(4, 50, requires_grad=True)
    logged = wanted_BN.masked_fill(had_BN, -torch.inf).log_softmax(1)
    expected_BN = scores_BN.masked_fill(had_BN, -torch.inf).softmax(1)
    value = -(expected_BN * logged.masked_fill(had_BN, 0)).sum(1).mean()
    torch.testing.assert_close(_expecting_alike(wanted_BN, scores_BN, candidates, batch), value)


def test_of_whom_all_is_had_nothing_is_expected_and_the_gradient_is_finite():
    batch = make_batch(users=2, targets=1)
    batch.target_valid_BT[:] = False
    candidates = Contrastive()._candidates(batch, torch.Generator())
    logits_BN = torch.zeros(2, 2, requires_grad=True)
    value = _expecting_alike(logits_BN, torch.zeros(2, 2), candidates, batch)
    (grad_BN,) = torch.autograd.grad(value, logits_BN)
    assert value == 0
    assert not grad_BN.any()


def test_closeness_to_scores_needs_scores_that_learn():
    with pytest.raises(ValueError, match="closeness_to=targets"):
        Contrastive(closeness_weight=1.0, closeness_to="scores", softmax_weight=0.0)
    with pytest.raises(ValueError, match="closeness_weight=0"):
        Contrastive(closeness_to="scores")
    with pytest.raises(ValueError, match="did you mean scores"):
        Contrastive(closeness_to="score")
    with pytest.raises(ValueError, match="add closeness_to=scores"):
        Contrastive(closeness_weight=1.0, closeness_focus=2.0)


def test_closeness_needs_an_answer():
    with pytest.raises(ValueError, match="objective=regression"):
        Denoising(path=Linear(), rank=Contrastive(closeness_weight=1.0))
    with pytest.raises(ValueError, match="closeness_sharpness"):
        Contrastive(closeness_sharpness=0.0)


def test_one_history_serves_all_targets_and_draws(space):
    prior = make_prior(space)
    seen = []
    prior.encoder.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    loss(Denoising(path=Linear(), draws=7), prior, make_batch(users=5, targets=3))
    assert seen == [5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prediction": "noise"}, "prediction must be one of"),
        ({"weighting": "snr"}, "weighting must be one of"),
        ({"times": "beta"}, "times must be"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"drop_history": 1.5}, "drop_history must be between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Denoising(path=Linear(), **arguments)


def test_a_whole_batch_of_newcomers(prior):
    batch = make_batch()
    empty = replace(make_history(5, 9), valid_BK=torch.zeros(5, 9, dtype=torch.bool))
    assert torch.isfinite(loss(OBJECTIVES[0], prior, replace(batch, history=empty)).total)
