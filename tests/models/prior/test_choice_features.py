"""prefprior/models/prior/choice_features.py: what tokens say of choices, and that their order says nothing."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from prefprior.history import History
from prefprior.models.prior.choice_features import ChoiceFeatures, contrast
from prefprior.models.prior.in_context import InContextPrior
from prefprior.models.prior.network import PriorNetwork
from prefprior.space import Space
from tests.models.conftest import DIM, make_history, make_prior, make_retriever

QUESTION = torch.tensor([0, 5, 5, 5, 0, 2, 2, 0, 0])  # of nine places


def with_choices(users: int = 4, picked: int = 1) -> History:
    """Ratings, a choice among three and one of two of which nothing was picked."""
    made = make_history(users, len(QUESTION))
    asked_K = QUESTION > 0
    ratings_BK = torch.where(asked_K, -1.0, made.ratings_BK)
    ratings_BK[:, picked] = 1.0
    ages = torch.tensor([0.0, 1, 1, 1, 2, 3, 3, 4, 5])
    return replace(
        made,
        ratings_BK=ratings_BK,
        valid_BK=made.valid_BK | asked_K,
        ages_BK=ages.expand(users, -1),
        question_BK=QUESTION.expand(users, -1),
    )


def taught(network: PriorNetwork) -> PriorNetwork:
    """With weights that choices matter to: they start at 0."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, ChoiceFeatures):
            for weight in module.parameters():
                torch.nn.init.normal_(weight, std=0.3)
        if isinstance(module, InContextPrior):
            torch.nn.init.normal_(module.network.positional_embedding)
            torch.nn.init.normal_(module.rating.leave.weight)
    return network.eval()


@pytest.fixture(params=["prior", "in_context", "in_context_cut"])
def network(request: pytest.FixtureRequest, space: Space) -> PriorNetwork:
    if request.param == "prior":
        return taught(make_prior(space))
    context = 7 if request.param == "in_context_cut" else 12
    torch.manual_seed(0)
    return taught(InContextPrior(space=space, width=32, depth=2, heads=4, context=context))


def answer(network: PriorNetwork, history: History) -> Tensor:
    """What a step predicts for each user."""
    noisy_BCSD = torch.randn(len(history), 1, 2, DIM, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        condition = network.condition(network.encode_history(history), torch.full((len(history), 1), 0.7))
        return network.predict(noisy_BCSD, torch.tensor(0.4), condition)


def test_the_contrast_is_the_item_less_the_mean_of_the_others() -> None:
    items_BKD = torch.randn(2, len(QUESTION), DIM, generator=torch.Generator().manual_seed(0))
    found = contrast(items_BKD, QUESTION.expand(2, -1))
    torch.testing.assert_close(found[:, 2], items_BKD[:, 2] - (items_BKD[:, 1] + items_BKD[:, 3]) / 2)
    torch.testing.assert_close(found[:, 5], items_BKD[:, 5] - items_BKD[:, 6])
    assert not found[:, QUESTION == 0].any()


def test_weights_start_at_zero_without_a_random_number() -> None:
    before = torch.manual_seed(0).get_state()
    features = ChoiceFeatures(DIM, 8)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(weight.any() for weight in features.parameters())


def test_of_ratings_alone_nothing_is_added(network: PriorNetwork) -> None:
    history = make_history(4, 6)
    plain = answer(network, history)
    for module in network.modules():
        if isinstance(module, ChoiceFeatures):
            for weight in module.parameters():
                torch.nn.init.zeros_(weight)
    assert torch.equal(answer(network, history), plain)


def test_every_weight_has_a_gradient_whatever_a_batch_holds() -> None:
    features = ChoiceFeatures(DIM, 8)
    features(torch.randn(2, 3, DIM), torch.ones(2, 3), None).sum().backward()
    assert all(weight.grad is not None for weight in features.parameters())


def test_the_order_of_shown_items_does_not_matter(network: PriorNetwork) -> None:
    history = with_choices()
    order = torch.tensor([[0, 3, 1, 2, 4, 6, 5, 7, 8]]).expand(len(history), -1)
    torch.testing.assert_close(answer(network, history.gather(order)), answer(network, history), atol=1e-5, rtol=1e-4)


def test_the_numbers_of_questions_do_not_matter(network: PriorNetwork) -> None:
    history = with_choices()
    renamed = replace(history, question_BK=torch.where(history.question_BK == 5, 1, history.question_BK))
    torch.testing.assert_close(answer(network, renamed), answer(network, history), atol=1e-5, rtol=1e-4)


def test_what_was_picked_matters(network: PriorNetwork) -> None:
    assert not torch.allclose(
        answer(network, with_choices(picked=1)), answer(network, with_choices(picked=2)), atol=1e-3
    )


def test_a_choice_is_not_read_as_ratings(network: PriorNetwork) -> None:
    history = with_choices()
    as_rated = replace(history, question_BK=torch.zeros_like(history.question_BK))
    assert not torch.allclose(answer(network, history), answer(network, as_rated), atol=1e-3)


def test_a_user_who_only_rates_does_not_depend_on_others_who_choose(network: PriorNetwork) -> None:
    chosen, rated = with_choices(), make_history(4, len(QUESTION), seed=7)
    names = ("embeddings_BKD", "ratings_BK", "ages_BK", "valid_BK", "items_BK", "question_BK")
    columns = {name: torch.cat([getattr(rated, name), getattr(chosen, name)]) for name in names}
    both = History(**columns, users=[*rated.users, *chosen.users])
    noisy_BCSD = torch.randn(8, 1, 2, DIM, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        together, alone = (
            network.predict(
                noisy_BCSD[: len(each)],
                torch.tensor(0.4),
                network.condition(network.encode_history(each), torch.full((len(each), 1), 0.7)),
            )
            for each in (both, rated)
        )
    torch.testing.assert_close(together[:4], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["own", "identity"])
def test_a_retrievers_user_tower_reads_choices(space: Space, kind: str) -> None:
    torch.manual_seed(0)
    retriever = make_retriever(space, kind).eval()
    for module in retriever.modules():
        if isinstance(module, ChoiceFeatures):
            for weight in module.parameters():
                torch.nn.init.normal_(weight, std=0.3)
    history = with_choices()
    order = torch.tensor([[0, 3, 1, 2, 4, 6, 5, 7, 8]]).expand(len(history), -1)
    with torch.no_grad():
        one, shuffled, other = (
            retriever.user_tokens(each) for each in (history, history.gather(order), with_choices(picked=3))
        )
    assert one is not None
    torch.testing.assert_close(shuffled, one, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(other, one, atol=1e-4)
