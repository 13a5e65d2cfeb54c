"""Which cells a belief takes to be possible, and whether they hold as many likes as they should."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.data.held_out import HeldOutUsers
from prefprior.elicitation.tastes import Tastes
from prefprior.elicitation.uncertainty import SAMPLES, TEMPERATURES, Cells

DIM, USERS, LIKES = 8, 40, 25


def around(centre: Tensor, count: int, noise: float, seed: int) -> Tensor:
    """Directions near others; smaller noise is nearer."""
    draws = torch.Generator().manual_seed(seed)
    return normalize(
        centre[..., None, :] + noise * torch.randn(*centre.shape[:-1], count, DIM, generator=draws), dim=-1
    )


CELLS = Cells(normalize(torch.randn(24, DIM, generator=torch.Generator().manual_seed(0)), dim=1))


def test_the_fewest_cells_are_possible() -> None:
    sharp = Cells(CELLS.centre_CD, temperature=1e-3)
    samples = torch.cat([CELLS.centre_CD[3].expand(91, -1), CELLS.centre_CD[5].expand(9, -1)])
    assert sharp.possible(samples).tolist() == [3]
    assert sharp.possible(samples, 0.95).tolist() == [3, 5]


def test_a_sample_counts_in_the_cells_around_it() -> None:
    mass = Cells(CELLS.centre_CD, temperature=0.2).mass(CELLS.centre_CD[:1])
    assert mass.argmax() == 0
    assert float(mass.sum()) == pytest.approx(1)
    assert (mass > 0).all()
    assert len(Cells(CELLS.centre_CD, temperature=0.2).possible(CELLS.centre_CD[:1])) > 1


@pytest.mark.parametrize("noise", [0.15, 0.5])
def test_the_possible_cells_hold_nine_likes_in_ten_where_samples_are_likes_of_the_same_users(noise: float) -> None:
    taste_BD = normalize(torch.randn(USERS, DIM, generator=torch.Generator().manual_seed(1)), dim=1)
    liked_BTD, sample_BnD = around(taste_BD, LIKES, noise, 2), around(taste_BD, SAMPLES, noise, 3)
    space = SimpleNamespace(directions=lambda raw: normalize(raw, dim=-1))
    predictor = SimpleNamespace(space=space, sampler=None, sample=lambda *given, **named: sample_BnD)

    class Strangers:
        """Draws of a stranger's tastes are those of everybody."""

        def __init__(self, rows: Tensor) -> None:
            self.predictor, self.rows = predictor, rows

        def __len__(self) -> int:
            return len(self.rows)

        def take(self, rows: Tensor) -> "Strangers":
            return Strangers(self.rows[rows])

        def draws(self, n: int, generator: torch.Generator, *, guided: bool) -> Tensor:
            assert not guided
            return around(taste_BD[self.rows], 1, noise, 4)

    people = SimpleNamespace(
        held_liked_BT=torch.ones(USERS, LIKES, dtype=torch.bool),
        held_item_BT=torch.arange(USERS * LIKES).view(USERS, LIKES),
        catalogue=SimpleNamespace(embeddings_ND=liked_BTD.flatten(0, 1)),
        history=lambda: None,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefprior.elicitation.uncertainty.bare", lambda sampler: sampler)
        cells = CELLS.fitted(
            cast(Tastes, Strangers(torch.arange(USERS))), cast(HeldOutUsers, cast(Any, people)), torch.Generator()
        )
    assert cells.temperature in TEMPERATURES
    fresh = around(taste_BD, LIKES, noise, 5)
    held = [torch.isin(cells.of(fresh[b]), cells.possible(sample_BnD[b])).double().mean() for b in range(USERS)]
    assert float(torch.stack(held).mean()) == pytest.approx(0.9, abs=0.06)
