"""The Gaussian process of pairs: it learns from them, and refuses other questions."""

from importlib.util import find_spec

import pytest
import torch

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.asker import Asker
from prefprior.elicitation.gaussian import GaussianBelief
from prefprior.elicitation.policies import pairwise_gp
from prefprior.elicitation.policies.pairwise_gp import PairwiseGp
from prefprior.elicitation.questions import Kind, Question
from prefprior.space import Space

RAW_ND = torch.randn(80, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 2, 2, 1, 1, 1]) + 5
SPACE = Space.measure("test", RAW_ND.numpy())
UTILITY_N = SPACE.to_model(RAW_ND) @ torch.tensor([1.0, -1, 0.5, 0, 0, 0])


def belief(axes: int = 6) -> GaussianBelief:
    return GaussianBelief(RAW_ND, RAW_ND, SPACE, AnswerModel(), axes=axes)


def taught(pairs: int, seed: int = 0) -> GaussianBelief:
    """Asked by qEUBO; the better one is picked."""
    asker, found, draws = Asker(policy=PairwiseGp(pairs=100), kind=Kind(2)), belief(), torch.Generator()
    draws.manual_seed(seed)
    for _ in range(pairs):
        question = asker.ask(found, SPACE.directions(RAW_ND), draws)
        assert question is not None
        asker.tell(found, question.chosen([max(question.items, key=lambda item: float(UTILITY_N[item]))]), draws)
    return found


@pytest.fixture(scope="module")
def found() -> GaussianBelief:
    return taught(8)


def test_after_some_pairs_it_ranks_better_than_chance(found: GaussianBelief) -> None:
    assert torch.corrcoef(torch.stack([found.expected(RAW_ND), UTILITY_N]))[0, 1] > 0.4
    torch.testing.assert_close(found.expected(RAW_ND), found.utility_PN[0])


def test_what_it_makes_pleases_more_than_any(found: GaussianBelief) -> None:
    made_nD = found.made(8, torch.Generator().manual_seed(0))
    rows = (made_nD[:, None] == RAW_ND).all(2).int().argmax(1)
    assert len(rows.unique()) == 8
    assert UTILITY_N[rows].mean() > UTILITY_N.mean() + 0.5 * UTILITY_N.std()


def test_functions_drawn_from_it_are_highest_at_candidates_that_please(found: GaussianBelief) -> None:
    drawn_nD = found.draws(32, torch.Generator().manual_seed(0))
    rows = (drawn_nD[:, None] == RAW_ND).all(2).int().argmax(1)
    assert UTILITY_N[rows].mean() > UTILITY_N.mean()


def test_it_is_the_same_for_the_same_generator(found: GaussianBelief) -> None:
    torch.rand(3)  # what is drawn elsewhere changes nothing
    assert [answer.question.items for answer in taught(3).answers] == [a.question.items for a in found.answers[:3]]


def test_before_an_answer_all_are_the_same_to_it() -> None:
    nothing = belief()
    assert not nothing.expected(RAW_ND).any()
    assert nothing.made(5, torch.Generator()).shape == nothing.draws(5, torch.Generator()).shape == (5, 6)


def test_a_pair_of_which_both_were_picked_says_nothing() -> None:
    tied = belief()
    tied.observe(Question(Kind(2), (1, 2)).chosen([1, 2]))
    assert tied.is_thin
    tied.look(torch.Generator())
    assert not tied.is_thin
    assert not tied.knows_something


def test_axes_are_at_most_the_dimensions() -> None:
    assert belief(axes=50).expected(RAW_ND).shape == (80,)


def test_an_answer_to_what_was_not_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="candidate 80 was not asked: there are 80"):
        belief().observe(Question(Kind(2), (3, 80)).chosen([3]))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Kind(1), "PairwiseGp is for questions of 2 pictures, not of 1"),
        (Kind(9), "PairwiseGp is for questions of 2 pictures, not of 9"),
        (Kind(2, none=True), "has no answer 'none of these'"),
    ],
)
def test_it_asks_for_pairs_only(kind: Kind, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairwiseGp().require(kind)


def test_without_botorch_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spec("botorch")
    monkeypatch.setattr(pairwise_gp, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'prefprior\[elicitation\]'"):
        PairwiseGp().require(Kind(2))
