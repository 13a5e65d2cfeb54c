"""prefprior/history.py: what has been seen is hidden once, for everybody."""

import torch

from prefprior.history import History, hide_seen


def history(items: list[list[int]], valid: list[list[bool]]) -> History:
    items_BK = torch.tensor(items)
    return History(
        embeddings_BKD=torch.zeros(*items_BK.shape, 2),
        ratings_BK=torch.zeros(items_BK.shape),
        ages_BK=torch.zeros(items_BK.shape),
        valid_BK=torch.tensor(valid),
        items_BK=items_BK,
        users=[str(b) for b in range(len(items))],
    )


def hidden(scores_BN: torch.Tensor) -> list[list[int]]:
    return [(row_N == -torch.inf).nonzero()[:, 0].tolist() for row_N in scores_BN]


def test_valid_items_of_a_history_are_hidden() -> None:
    seen = history([[0, 3], [2, 1]], [[True, True], [True, False]])
    assert hidden(hide_seen(torch.zeros(2, 4), seen)) == [[0, 3], [2]]


def test_items_without_a_row_hide_nothing() -> None:
    assert hidden(hide_seen(torch.zeros(1, 4), history([[-1, 2]], [[True, True]]))) == [[2]]


def test_rows_are_hidden_where_there_are_any() -> None:
    assert hidden(hide_seen(torch.zeros(2, 3), torch.tensor([[0, -1], [-1, -1]]))) == [[0], []]


def test_a_part_of_a_catalogue_hides_its_own_rows() -> None:
    assert hidden(hide_seen(torch.zeros(1, 3), torch.tensor([[1, 4, 6, -1]]), start=4)) == [[0, 2]]


def test_scores_are_changed_in_place() -> None:
    scores_BN = torch.zeros(1, 2)
    assert hide_seen(scores_BN, torch.tensor([[1]])) is scores_BN
