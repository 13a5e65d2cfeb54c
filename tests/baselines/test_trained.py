import pytest
import torch

from prefprior.baselines.sequential import Sequential
from prefprior.baselines.user_diffusion import UserDiffusion
from prefprior.evaluation.metrics.personalisation import personal_gap
from prefprior.evaluation.metrics.rating import auc
from prefprior.evaluation.metrics.scoring import score
from prefprior.predictor import Predictor
from tests.evaluation.tastes import make_tastes


@pytest.fixture(scope="module")
def tastes():
    return make_tastes(users=100, items=200, rated=40, dim=4)


def fitted(predictor, tastes):
    predictor.fit(tastes.training, None, torch.Generator().manual_seed(0))
    return predictor


@pytest.fixture(scope="module")
def sequential(tastes):
    return fitted(
        Sequential(
            width=32, depth=1, steps=200, batch_size=32, length=24, sampled=128, learning_rate=3e-3, dropout=0.0
        ),
        tastes,
    )


@pytest.fixture(scope="module")
def by_id(tastes):
    return fitted(UserDiffusion(width=48, depth=2, steps=400, batch_size=256, learning_rate=3e-3), tastes)


def test_sequential_reads_a_taste_from_the_history(sequential, tastes):
    assert isinstance(sequential, Predictor)
    scored, people = score(sequential, tastes.people), tastes.people
    assert float(auc(scored.score_BT, people.held_liked_BT, people.held_disliked_BT).nanmean()) > 0.65


def test_sequential_does_not_see_padding_and_answers_nobody(sequential, tastes):
    history = tastes.people.history(5)
    wide = tastes.people.history(5).last(5)
    wide.embeddings_BKD = torch.cat([wide.embeddings_BKD, torch.full((100, 2, 4), 9.0)], 1)
    for name in ("ratings_BK", "ages_BK"):
        setattr(wide, name, torch.cat([getattr(wide, name), torch.ones(100, 2)], 1))
    wide.valid_BK = torch.cat([wide.valid_BK, torch.zeros(100, 2, dtype=torch.bool)], 1)
    wide.items_BK = torch.cat([wide.items_BK, torch.full((100, 2), -1)], 1)
    scores = sequential.rank(history, tastes.catalogue)
    assert torch.allclose(scores, sequential.rank(wide, tastes.catalogue), atol=1e-4)
    history.valid_BK[:] = False
    assert (sequential.rank(history, tastes.catalogue) == 0).all()


def test_user_diffusion_knows_people_by_name_only(by_id, tastes):
    people = tastes.people
    assert isinstance(by_id, Predictor)
    made = by_id.sample(people.history(), 8, torch.Generator().manual_seed(0))
    assert made.shape == (100, 8, 4)
    assert personal_gap(made, people).p_value < 0.05
    strangers = people.history()
    strangers.users = [f"stranger {i}" for i in range(100)]
    foreign = by_id.sample(strangers, 8, torch.Generator().manual_seed(0))
    assert personal_gap(foreign, people).gap < 0.5 * personal_gap(made, people).gap
    assert by_id.rank(people.history(1), tastes.catalogue).shape == (100, 200)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="multiple of heads"):
        Sequential(width=10, heads=3)
    with pytest.raises(ValueError, match="before it was fit"):
        Sequential().rank(make_tastes(users=2).people.history(), make_tastes(users=2).catalogue)
