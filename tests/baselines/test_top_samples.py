"""prefprior/baselines/top_samples.py: pictures from the top of a ranking, without repetition."""

import torch

from prefprior.baselines.top_samples import draw_best
from prefprior.history import History
from prefprior.predictor import Catalogue
from tests.evaluation.tastes import Tastes


def drawn(catalogue: Catalogue, seen: list[int], n: int, pool: int) -> list[int]:
    """Rows that are drawn where later rows score higher."""
    rows_BK = torch.tensor([seen])
    history = History.from_rows(catalogue.embeddings_ND, rows_BK, torch.ones(rows_BK.shape), ["u"])
    scores_BN = torch.arange(float(len(catalogue)))[None].clone()
    made_nD = draw_best(scores_BN, history, catalogue, n, pool, torch.Generator().manual_seed(0))[0]
    return torch.cdist(made_nD, catalogue.embeddings_ND).argmin(1).tolist()


def test_samples_are_among_the_top_items(tastes: Tastes) -> None:
    assert set(drawn(tastes.catalogue, [0], n=10, pool=10)) == set(range(190, 200))


def test_seen_items_are_left_out(tastes: Tastes) -> None:
    assert set(drawn(tastes.catalogue, [199, 198], n=3, pool=3)) == {195, 196, 197}


def test_no_item_is_drawn_twice(tastes: Tastes) -> None:
    assert len(set(drawn(tastes.catalogue, [0], n=20, pool=64))) == 20


def test_samples_repeat_if_too_few_items_are_left(tastes: Tastes) -> None:
    few = Catalogue(tastes.catalogue.space, tastes.catalogue.ids[:4], tastes.catalogue.embeddings_ND[:4])
    assert sorted(drawn(few, [0, 1], n=4, pool=4)) == [2, 2, 3, 3]
