from itertools import pairwise

import numpy as np
import pytest
import torch

from prefprior.baselines.least_squares import Shared, Sparse, conjugate_gradient, exact, exact_narrow
from prefprior.baselines.wals import CHOICES, Wals
from prefprior.data.embedding_lookup import RefinedEmbeddings
from prefprior.evaluation.metrics.rating import auc
from prefprior.evaluation.metrics.scoring import score
from prefprior.predictor import Catalogue, TrainingPart
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space
from tests.evaluation.tastes import make_tastes

GENERATOR = torch.Generator().manual_seed(0)


def problem(columns, dim, rows=7):
    rng = np.random.default_rng(0)
    factors = torch.from_numpy(rng.normal(size=(columns, dim)).astype(np.float32))
    row = np.concatenate([np.full(n, r) for r, n in enumerate(rng.integers(0, columns, rows))])
    column = np.concatenate([rng.choice(columns, (row == r).sum(), replace=False) for r in range(rows)])
    ratings = Sparse.of(row, column, rng.choice([-1.0, 1.0], len(row)), rows)
    anchor = torch.from_numpy(rng.normal(size=(rows, dim)).astype(np.float32))
    return factors, ratings, anchor


def by_hand(factors, ratings, anchor, zeros, strength):
    rows = []
    for r in range(len(anchor)):
        part = slice(int(ratings.start_R[r]), int(ratings.start_R[r + 1]))
        own, rating = factors[ratings.column_N[part]].double(), ratings.rating_N[part].double()
        full = own.T @ own + zeros * factors.double().T @ factors.double()
        full += strength * torch.eye(factors.shape[1], dtype=torch.float64)
        rows.append(torch.linalg.solve(full, own.T @ rating + strength * anchor[r].double()))
    return torch.stack(rows).float()


@pytest.mark.parametrize(("columns", "dim"), [(20, 6), (6, 20)])
@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_every_solver_finds_the_minimum(columns, dim, zeros):
    factors, ratings, anchor = problem(columns, dim)
    shared, rows = Shared(factors, zeros, 0.7), torch.arange(7)
    expected = by_hand(factors, ratings, anchor, zeros, 0.7)
    padded = ratings.padded(rows)
    assert torch.allclose(exact(shared, *padded, anchor), expected, atol=1e-4)
    if shared.narrow:
        assert torch.allclose(exact_narrow(shared, *padded, anchor), expected, atol=1e-4)
    many = conjugate_gradient(shared, *padded, anchor, torch.zeros_like(anchor), 3 * dim)
    assert torch.allclose(many, expected, atol=1e-3)


def test_batches_hold_every_row_once():
    _, ratings, _ = problem(20, 6)
    seen = torch.cat(list(ratings.batches(1 << 20)))
    assert seen.sort().values.tolist() == list(range(7))


@pytest.mark.parametrize("dim", [8, 40])
@pytest.mark.parametrize("zeros", [0.0, 0.05])
@pytest.mark.parametrize("few", [0, 64])
def test_the_objective_never_rises(dim, zeros, few, monkeypatch):
    monkeypatch.setattr("prefprior.baselines.wals.FEW", few)
    tastes = make_tastes(dim=dim)
    wals = Wals(zeros=zeros, pull=0.3, steps=2)
    wals.begin(tastes.training)
    values = [wals.objective()]
    for _ in range(5):
        wals.sweep()
        values.append(wals.objective())
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(values))
    assert values[-1] < 0.9 * values[0]


def fitted(tastes, **kwargs):
    wals = Wals(**kwargs)
    wals.fit(tastes.training, None, GENERATOR)
    return wals


def test_a_person_folded_in_is_the_person_who_was_fit():
    tastes = make_tastes()
    wals = fitted(tastes, pull=1.0, user_strength=1.0, zeros=0.05, sweeps=60, steps=8)
    again = wals.fold_in(tastes.people.history())
    assert torch.allclose(again, wals._users_UD, atol=2e-2)


def test_the_pull_ties_items_to_their_embeddings_and_cold_items_keep_theirs():
    tastes = make_tastes(users=6, items=300)
    held = fitted(tastes, pull=1e6, user_strength=1.0, zeros=0.0)
    features = tastes.catalogue.space.directions(tastes.catalogue.embeddings_ND)
    assert torch.allclose(held._items(tastes.catalogue), features, atol=1e-3)
    loose = fitted(tastes, pull=0.1, user_strength=1.0, zeros=0.0)
    moved = (loose._items(tastes.catalogue) - features).norm(dim=1) > 1e-3
    rated = torch.zeros(300, dtype=torch.bool)
    rated[torch.from_numpy(tastes.training.ratings.item_N).long()] = True
    assert torch.equal(moved, rated)


def test_finds_a_known_taste_and_answers_for_cold_people():
    tastes = make_tastes()
    wals, people = fitted(tastes, zeros=0.0), tastes.people
    scored = score(wals, people)
    assert float(auc(scored.score_BT, people.held_liked_BT, people.held_disliked_BT).nanmean()) > 0.85
    history = people.history(1)
    history.valid_BK[:] = False
    assert torch.allclose(wals.fold_in(history), wals._mean_D.expand(len(people), -1), atol=1e-5)
    assert wals.sample(history, 3, torch.Generator().manual_seed(0)).shape == (24, 3, 8)


def test_another_catalogue_is_matched_by_id():
    tastes = make_tastes()
    wals = fitted(tastes)
    catalogue = tastes.catalogue
    turned = Catalogue(catalogue.space, catalogue.ids[::-1], catalogue.embeddings_ND.flip(0))
    history = tastes.people.history()
    assert torch.allclose(wals.rank(history, turned), wals.rank(history, catalogue).flip(1), atol=1e-6)


def test_refined_embeddings_are_a_table_of_their_own_space(tmp_path):
    tastes = make_tastes()
    wals = fitted(tastes, export=str(tmp_path / "refined"))
    table = RefinedEmbeddings(folder=str(tmp_path / "refined")).table(None)
    assert table.vectors.shape == (200, 8)
    assert table.space.name == f"{tastes.catalogue.space.name}+wals"
    assert table.ids == tastes.catalogue.ids
    features = tastes.catalogue.space.directions(torch.from_numpy(np.array(table.vectors)))
    factors = torch.nn.functional.normalize(wals._items(tastes.catalogue), dim=1)
    assert torch.allclose(features, factors, atol=1e-4)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="above 0"):
        Wals(pull=0)


def agreeing(users=300, items=200, groups=10, rated=12):
    """People of a few groups who like the same items of theirs, whatever those look like."""
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(items, 8)).astype(np.float32)
    catalogue = Catalogue(Space.measure("toy", raw), [f"i{i}" for i in range(items)], torch.from_numpy(raw))
    own = rng.permutation(items).reshape(groups, -1)
    item = np.concatenate([rng.choice(own[u % groups], rated, replace=False) for u in range(users)])
    table = RatingsTable(
        source="toy", scale=RatingScale(1, 1, 1, liked_only=True), users=np.arange(users).astype(str),
        items=np.array(catalogue.ids), user_N=np.repeat(np.arange(users), rated).astype(np.int32),
        item_N=item.astype(np.int32), rating_N=np.ones(len(item), np.float32),
    )  # fmt: skip
    return TrainingPart(table, catalogue)


def test_weights_are_chosen_by_what_holds_for_the_data():
    looks, company = Wals(), Wals()
    looks.fit(make_tastes().training, None, torch.Generator().manual_seed(0))
    company.fit(agreeing(), None, torch.Generator().manual_seed(0))
    assert looks.weights == CHOICES[0]
    assert company.weights.pull < CHOICES[0].pull
    pinned = Wals(pull=3.0)
    assert {choice.pull for choice in pinned.choices} == {3.0}
    assert len(Wals(pull=3.0, user_strength=1.0, zeros=0.0).choices) == 1
