"""How ratings came about: histories of what was shown, and weights by inverse propensity."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.histories.draws import DrawRule
from prefprior.data.scaling import RatingScaling
from prefprior.data.splits import Splits
from prefprior.history import PreferenceBatch, concatenate
from prefprior.ratings import RatingScale, RatingsTable
from tests.data.small import module, ratings


def drawn(table: RatingsTable, **rule: object) -> PreferenceBatch:
    """Several passes over all users."""
    data = module(
        table, batch_size=20, epoch_batches=20, draws=DrawRule(**rule),
        splits=Splits(by="user", val=0.1, test=0), scaling=RatingScaling(how="scale"),
    )  # fmt: skip
    return concatenate(list(data.train_dataloader()))


def of_shown(batch: PreferenceBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """(B,) share of the history, and of the targets, that was shown: items that can be divided by 3."""
    shares = []
    for item, valid in (
        (batch.history.items_BK, batch.history.valid_BK),
        (batch.target_item_BT, batch.target_valid_BT),
    ):
        shares.append(((item % 3 == 0) & valid).sum(1) / valid.sum(1).clamp(min=1))
    return shares[0], shares[1]


def test_a_history_of_what_was_shown_has_targets_of_what_was_sought() -> None:
    batch = drawn(ratings(users=40, origins=True), shown_histories=1.0)
    several = batch.history.valid_BK.any(1)  # a single rating is a target
    history_B, target_B = of_shown(batch)
    parted = several & (history_B == 1)
    assert parted.sum() > 0.9 * several.sum()  # but for those who were shown nothing, or all
    assert (target_B[parted] == 0).float().mean() > 0.95


def test_all_other_draws_stay_as_they_are() -> None:
    table = ratings(users=40, origins=True)
    some, none = drawn(table, shown_histories=0.5), drawn(table)
    changed = (some.history.items_BK[:, :4] != none.history.items_BK[:, :4]).any(1)
    history_B, _ = of_shown(some)
    assert 0.2 < changed.float().mean() < 0.6
    assert (history_B[changed] == 1).float().mean() > 0.95


def test_histories_of_what_was_shown_need_ratings_that_say_it() -> None:
    with pytest.raises(ValueError, match="a column `shown`"):
        drawn(ratings(), shown_histories=0.5)


def test_validation_is_of_users_as_they_are() -> None:
    table, splits = ratings(users=40, origins=True), Splits(by="user", val=0.5, test=0)
    one, other = (
        concatenate(list(module(table, draws=DrawRule(shown_histories=share), splits=splits).fixed_loader("val")))
        for share in (0.0, 1.0)
    )
    assert torch.equal(one.history.items_BK, other.history.items_BK)


def biased(users: int = 400, items: int = 60) -> tuple[RatingsTable, float]:
    """Users who rate what they like far more often than the rest, and how all would have rated everything."""
    random = np.random.default_rng(0)
    rating_UI = random.integers(1, 6, (users, items))
    propensity_UI = np.where(rating_UI >= 4, 0.6, 0.1)
    user_N, item_N = np.nonzero(random.random((users, items)) < propensity_UI)
    table = RatingsTable(
        source="small",
        scale=RatingScale(1, 5, 4),
        users=np.array([f"u{u}" for u in range(users)], dtype=object),
        items=np.array([f"i{i}" for i in range(items)], dtype=object),
        user_N=user_N.astype(np.int32),
        item_N=item_N.astype(np.int32),
        rating_N=rating_UI[user_N, item_N].astype(np.float32),
        propensity_N=propensity_UI[user_N, item_N].astype(np.float32),
    )
    return table, float(table.scale.signed(rating_UI).mean())


def mean_target(batch: PreferenceBatch) -> float:
    """What a constant learns that is fitted by squared error."""
    weights_BT = batch.target_weights_BT
    return float((weights_BT * batch.target_rating_BT).sum() / weights_BT.sum())


def test_weights_by_inverse_propensity_undo_selection() -> None:
    table, truth = biased()
    plain, weighted = (mean_target(drawn(table, weighting=how)) for how in ("uniform", "ips"))
    assert plain - truth > 0.4
    assert weighted == pytest.approx(truth, abs=0.05)


def test_clipped_weights_undo_part_of_it() -> None:
    table, _ = biased()
    plain, clipped, weighted = (
        mean_target(drawn(table, weighting=how, least_propensity=least))
        for how, least in (("uniform", 0.3), ("ips", 0.3), ("ips", 0.05))
    )
    assert plain - 0.1 > clipped > weighted + 0.1


def test_only_ratios_of_propensities_count() -> None:
    table, _ = biased()
    assert table.propensity_N is not None
    halved = replace(table, propensity_N=table.propensity_N / 2)
    assert mean_target(drawn(halved, weighting="ips")) == pytest.approx(mean_target(drawn(table, weighting="ips")))


def test_weights_need_propensities() -> None:
    with pytest.raises(ValueError, match="a column `propensity`"):
        drawn(ratings(), weighting="ips")


@pytest.mark.parametrize("least", [0.0, -1.0, 1.5])
def test_impossible_clips_are_refused(least: float) -> None:
    with pytest.raises(ValueError, match="least_propensity must be above 0 and at most 1"):
        DrawRule(weighting="ips", least_propensity=least)


def test_other_weightings_are_refused() -> None:
    with pytest.raises(ValueError, match="uniform, ips"):
        DrawRule(weighting="snips")


def test_a_batch_keeps_its_weights_on_the_way_to_a_device() -> None:
    table, _ = biased(users=40)
    data: PreferenceDataModule = module(table, batch_size=4, draws=DrawRule(weighting="ips"))
    batch = next(iter(data.train_dataloader()))
    moved = batch.to("cpu").target_weight_BT
    assert moved is not None
    assert batch.target_weight_BT is not None
    assert torch.equal(moved, batch.target_weight_BT)
