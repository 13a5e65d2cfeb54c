"""Beliefs: answers are taken into account by Bayes' rule, and good questions find a taste sooner."""

import numpy as np
import pytest
import torch
from torch import Tensor

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.asker import Asker
from prefprior.elicitation.belief import Belief, Moves
from prefprior.elicitation.next_likes import Generated
from prefprior.elicitation.policies.eubo import Eubo
from prefprior.elicitation.policies.information import Information
from prefprior.elicitation.policies.policy import Policy
from prefprior.elicitation.policies.random import Random
from prefprior.elicitation.questions import Kind, Question
from prefprior.elicitation.tastes import Tastes
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.space import Space
from tests.models.conftest import DIM, make_model

MODEL = AnswerModel(temperature=0.3, lapse=0.02)
NEVER = Moves(below=0)


@pytest.fixture(scope="module")
def tastes() -> Tastes:
    """Of an untrained model: what they like is arbitrary, and fixed."""
    raw_ND = torch.randn(200, DIM, generator=torch.Generator().manual_seed(5))
    space = Space.measure("test", raw_ND.numpy())
    predictor = TrainedPredictor(
        model=make_model(space, "two_tower"), objective=Denoising(schedule=CosineSchedule()), sampler=Sampler(steps=2)
    )
    stranger = History.of(torch.zeros(0, DIM), [], ages_K=[], user="")
    return Tastes.imagine(Generated(predictor), stranger, raw_ND[:50], 40, 5, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def candidates_ND() -> Tensor:
    return torch.randn(60, DIM, generator=torch.Generator().manual_seed(6))


def belief_of(tastes: Tastes, candidates_ND: Tensor, moves: Moves = NEVER) -> Belief:
    return Belief(tastes, candidates_ND, tastes.utilities(candidates_ND), MODEL, moves)


def test_weights_follow_bayes_rule(tastes: Tastes, candidates_ND: Tensor) -> None:
    belief = belief_of(tastes, candidates_ND)
    first, second = Question(Kind(3), (1, 2, 3)).chosen([2]), Question(Kind(1), (9,)).rated(3)
    belief.observe(first)
    belief.observe(second)
    choice_P = MODEL.probabilities(belief.utility_PN[:, [1, 2, 3]], Kind(3))[:, 1]
    rating_P = MODEL.probabilities(belief.utility_PN[:, [9]], Kind(1))[:, 3]
    expected_P = choice_P * rating_P / (choice_P * rating_P).sum()
    torch.testing.assert_close(belief.weight_P, expected_P)
    assert belief.effective < len(tastes)


def test_the_order_of_answers_does_not_matter(tastes: Tastes, candidates_ND: Tensor) -> None:
    answers = [Question(Kind(3), (1, 2, 3)).chosen([2]), Question(Kind(2), (7, 8)).chosen([7])]
    one, other = belief_of(tastes, candidates_ND), belief_of(tastes, candidates_ND)
    for answer in answers:
        one.observe(answer)
    for answer in reversed(answers):
        other.observe(answer)
    torch.testing.assert_close(one.weight_P, other.weight_P)


def test_an_answer_to_what_was_not_asked_is_refused(tastes: Tastes, candidates_ND: Tensor) -> None:
    with pytest.raises(ValueError, match="candidate 60 was not asked: there are 60"):
        belief_of(tastes, candidates_ND).observe(Question(Kind(2), (3, 60)).chosen([3]))


def test_a_look_keeps_tastes_that_explain_the_answers(tastes: Tastes, candidates_ND: Tensor) -> None:
    belief = belief_of(tastes, candidates_ND, Moves(below=1e9, tastes=30, rounds=2))
    answer = Question(Kind(4), (0, 1, 2, 3)).chosen([1])
    before = MODEL.log_likelihood(belief.utility_PN[:, :4], answer).mean()
    belief.observe(answer)
    belief.look(torch.Generator().manual_seed(0))
    assert len(belief.tastes) == len(belief.utility_PN) == 30
    assert belief.effective == pytest.approx(30)
    assert MODEL.log_likelihood(belief.utility_PN[:, :4], answer).mean() > before
    # What a taste thinks of the candidates is still what the model says of its history.
    torch.testing.assert_close(belief.utility_PN, belief.tastes.utilities(candidates_ND), rtol=1e-3, atol=1e-3)


def test_without_an_answer_every_move_is_accepted(tastes: Tastes, candidates_ND: Tensor) -> None:
    belief = belief_of(tastes, candidates_ND, Moves(tastes=20, rounds=1, kept=0.0))
    belief.look(torch.Generator().manual_seed(0))
    old_D = tastes.imagined_PVD.flatten(0, 1)
    assert not (belief.tastes.imagined_PVD.flatten(0, 1)[:, None] == old_D).all(-1).any()


def test_no_move_makes_the_answers_impossible(candidates_ND: Tensor, tastes: Tastes) -> None:
    """Where answers are nearly certain, a user who would have answered otherwise is not accepted."""
    sharp = AnswerModel(temperature=1e-4, lapse=0.0)
    belief = Belief(tastes, candidates_ND, tastes.utilities(candidates_ND), sharp, Moves(tastes=30, rounds=2, kept=0.0))
    first = int(belief.utility_PN[0, :10].argmax())
    belief.observe(Question(Kind(10), tuple(range(10))).chosen([first]))
    belief.look(torch.Generator().manual_seed(0))
    assert (belief.utility_PN[:, :10].argmax(1) == first).all()
    torch.testing.assert_close(belief.utility_PN, belief.tastes.utilities(candidates_ND), rtol=1e-3, atol=1e-3)


def test_a_move_keeps_a_part_of_each_user(tastes: Tastes) -> None:
    moved = tastes.regrown(3, torch.Generator().manual_seed(1))
    same_PVV = (moved.imagined_PVD[:, :, None] == tastes.imagined_PVD[:, None]).all(-1)
    assert (same_PVV.any(2).sum(1) == 3).all()
    assert moved.length == tastes.length


def test_imagined_users_keep_what_is_known(tastes: Tastes) -> None:
    known = History.of(torch.ones(2, DIM), [1.0, -1.0], ages_K=[0.0, 1.0], user="someone")
    history = Tastes.imagine(tastes.likes, known, tastes.reference_RD, 3, 2, torch.Generator().manual_seed(0)).history
    assert history.ratings_BK.tolist() == [[1.0, 1.0, 1.0, -1.0]] * 3
    assert history.ages_BK.tolist() == [[1.0, 0.0, 2.0, 3.0]] * 3
    torch.testing.assert_close(history.embeddings_BKD[:, 2:], torch.ones(3, 2, DIM))


def test_utilities_have_mean_0_and_deviation_1_over_the_reference(tastes: Tastes) -> None:
    utility_PR = tastes.utilities(tastes.reference_RD)
    torch.testing.assert_close(utility_PR.mean(1), torch.zeros(len(tastes)), atol=1e-4, rtol=0)
    torch.testing.assert_close(utility_PR.std(1), torch.ones(len(tastes)), atol=1e-3, rtol=0)


def test_what_is_made_is_the_same_for_the_same_seed(tastes: Tastes, candidates_ND: Tensor) -> None:
    belief = belief_of(tastes, candidates_ND)
    made = [belief.made(3, torch.Generator().manual_seed(4)) for _ in range(2)]
    assert torch.equal(*made)
    assert made[0].shape == (3, DIM)


def found_after(policy: Policy, kind: Kind, tastes: Tastes, questions: int) -> float:
    """The mean weight of the true taste, of users each of whom has one of the sampled tastes."""
    items_ND = torch.randn(60, DIM, generator=torch.Generator().manual_seed(6))
    utility_PN = torch.randn(40, 60, generator=torch.Generator().manual_seed(8))
    asker, weights = Asker(policy=policy, kind=kind), []
    for user in range(40):
        belief = Belief(tastes, items_ND, utility_PN, MODEL, NEVER)
        draws, rng = torch.Generator().manual_seed(user), np.random.default_rng(user)
        for _ in range(questions):
            question = asker.ask(belief, torch.eye(60), draws)
            assert question is not None
            utility_M = utility_PN[user, list(question.items)]
            chances = MODEL.probabilities(utility_M[None], kind)[0].double().numpy()
            asker.tell(
                belief, question.chosen([question.items[rng.choice(len(chances), p=chances / chances.sum())]]), draws
            )
        weights.append(float(belief.weight_P[user]))
    return float(np.mean(weights))


@pytest.mark.parametrize("policy", [Information(proposals=300), Eubo()], ids=lambda p: type(p).__name__)
def test_policies_find_a_taste_sooner_than_chance(policy: Policy, tastes: Tastes) -> None:
    kind = Kind(3)
    assert found_after(policy, kind, tastes, 3) > found_after(Random(), kind, tastes, 3) + 0.1


def test_a_larger_grid_tells_more(tastes: Tastes) -> None:
    assert found_after(Random(), Kind(6), tastes, 3) > found_after(Random(), Kind(2), tastes, 3)


def test_nothing_is_shown_twice_and_asking_ends_when_all_was_shown(tastes: Tastes, candidates_ND: Tensor) -> None:
    few_ND = candidates_ND[:7]
    belief = belief_of(tastes, few_ND)
    asker, draws = Asker(policy=Random(), kind=Kind(3)), torch.Generator().manual_seed(0)
    for _ in range(2):
        question = asker.ask(belief, torch.eye(7), draws)
        assert question is not None
        asker.tell(belief, question.chosen([question.items[0]]), draws)
    assert len(set(belief.shown)) == 6
    assert asker.ask(belief, torch.eye(7), draws) is None


def test_pleasant_slots_hold_what_is_expected_to_please_most(tastes: Tastes, candidates_ND: Tensor) -> None:
    belief = belief_of(tastes, candidates_ND)
    best = (belief.weight_P @ belief.utility_PN).topk(2).indices.tolist()
    question = Asker(policy=Random(), kind=Kind(4), pleasant=0.5).ask(belief, torch.eye(60), torch.Generator())
    assert question is not None
    assert set(best) <= set(question.items)


def test_a_copy_changes_by_itself(tastes: Tastes, candidates_ND: Tensor) -> None:
    belief = belief_of(tastes, candidates_ND)
    belief.observe(Question(Kind(3), (1, 2, 3)).chosen([2]))
    before, copied = belief.weight_P, belief.copy()
    torch.testing.assert_close(copied.weight_P, before)
    copied.observe(Question(Kind(1), (9,)).rated(3))
    copied.look(torch.Generator().manual_seed(0))
    torch.testing.assert_close(belief.weight_P, before)
    assert len(belief.answers) == 1
