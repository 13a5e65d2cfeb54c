"""prefprior/baselines/cosine.py: cosines in standardised coordinates, without a copy of the catalogue."""

import pytest
import torch
from torch.nn.functional import normalize

from prefprior.baselines import cosine
from prefprior.baselines.cosine import CosineRanker, history_directions, inner, shell, weighted_mean
from prefprior.predictor import Catalogue
from tests.evaluation.tastes import Tastes


@pytest.fixture
def queries_BD() -> torch.Tensor:
    return torch.randn(3, 8, generator=torch.Generator().manual_seed(0))


def test_the_ranker_is_the_cosine_of_directions(tastes: Tastes, queries_BD: torch.Tensor) -> None:
    expected = normalize(queries_BD, dim=1) @ tastes.catalogue.space.directions(tastes.catalogue.embeddings_ND).T
    assert torch.allclose(CosineRanker()(queries_BD, tastes.catalogue), expected, atol=1e-5)


def test_the_ranker_distinguishes_catalogues(tastes: Tastes, queries_BD: torch.Tensor) -> None:
    ranker, whole = CosineRanker(), tastes.catalogue
    half = Catalogue(whole.space, whole.ids[:100], whole.embeddings_ND[100:])
    scores_BN = ranker(queries_BD, whole)
    assert torch.allclose(ranker(queries_BD, half), scores_BN[:, 100:], atol=1e-6)


def test_a_zero_query_scores_0(tastes: Tastes) -> None:
    assert not CosineRanker()(torch.zeros(1, 8), tastes.catalogue).any()


def test_scores_do_not_depend_on_catalogue_chunks(
    tastes: Tastes, queries_BD: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_BN = inner(queries_BD, tastes.catalogue)
    monkeypatch.setattr(cosine, "ROWS", 64)
    assert torch.allclose(inner(queries_BD, tastes.catalogue), whole_BN, atol=1e-5)


def test_the_shell_keeps_the_direction(tastes: Tastes, queries_BD: torch.Tensor) -> None:
    space = tastes.catalogue.space
    on_shell_BD, expected_BD = shell(space, queries_BD), space.from_model(normalize(queries_BD, dim=1) * 8**0.5)
    assert torch.allclose(torch.cosine_similarity(on_shell_BD, expected_BD), torch.ones(3))


def test_the_shell_has_the_norm_of_pictures(tastes: Tastes, queries_BD: torch.Tensor) -> None:
    space = tastes.catalogue.space
    assert torch.allclose(shell(space, queries_BD).norm(dim=1), torch.tensor(space.norm), rtol=1e-4)


def test_a_mean_without_weights_is_zero() -> None:
    assert weighted_mean(torch.ones(1, 2, 3), torch.zeros(1, 2)).tolist() == [[0, 0, 0]]


def test_a_weighted_mean_uses_the_weights() -> None:
    vectors_BKD = torch.tensor([[[0.0], [4.0]]])
    assert weighted_mean(vectors_BKD, torch.tensor([[3.0, 1.0]])).tolist() == [[1.0]]


def test_padding_of_a_history_has_no_direction(tastes: Tastes) -> None:
    history = tastes.people.history()
    directions_BKD = history_directions(tastes.catalogue.space, history)
    assert not directions_BKD[~history.valid_BK].any()
