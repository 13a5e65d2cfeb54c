"""Parts never leak into each other, and people's scales compare."""

from dataclasses import replace

import numpy as np
import pytest

from prefprior.data.scaling import PersonScale, RatingScaling
from prefprior.data.splits import Splits
from prefprior.ratings import RatingScale
from tests.data.small import ratings


@pytest.mark.parametrize("by", ["user", "item"])
def test_nobody_and_nothing_is_in_two_parts(by: str) -> None:
    table = ratings(users=200, items=100)
    parts = Splits(by=by, val=0.2, test=0.2).parts(table)
    code = table.user_N if by == "user" else table.item_N
    sets = [set(code[parts == name]) for name in ("train", "val", "test")]
    assert all(sets)
    assert len(set.union(*sets)) == sum(map(len, sets))
    assert 0.1 < len(sets[2]) / sum(map(len, sets)) < 0.3


@pytest.mark.parametrize("by", ["user", "item"])
def test_new_data_never_moves_old(by: str) -> None:
    table = ratings(users=40)
    before = Splits(by=by).parts(table)
    old = np.flatnonzero(table.user_N < 30)
    some = table.take(old)
    # The same people and pictures under other codes, without the newer ones.
    order = np.random.default_rng(0).permutation(len(table.users))
    recoded = replace(some, users=table.users[order], user_N=np.argsort(order)[some.user_N].astype(np.int32))
    assert Splits(by=by).parts(recoded).tolist() == before[old].tolist()
    assert Splits(by=by, seed=1).parts(table).tolist() != before.tolist()


def test_time_splits_have_fixed_dates() -> None:
    table = ratings()
    with pytest.raises(ValueError, match=r"splits.val_from=\d+ splits.test_from=\d+"):
        Splits(by="time").parts(table)
    parts = Splits(by="time", val_from=100, test_from=150).parts(table)
    assert table.time_N is not None
    assert table.time_N[parts == "train"].max() < 100 <= table.time_N[parts == "val"].min()
    assert table.time_N[parts == "val"].max() < 150 <= table.time_N[parts == "test"].min()
    with pytest.raises(ValueError, match="have none"):
        Splits(by="time", val_from=1, test_from=2).parts(replace(table, time_N=None))


def test_a_sources_own_split_is_kept() -> None:
    table = ratings(users=50)
    own = np.where(table.user_N % 7 == 0, "test_unseen", "train")
    parts = Splits(val=0.3).parts(replace(table, part_N=own))
    assert ((parts == "test_unseen") == (own == "test_unseen")).all()
    assert (parts == "val").any()  # carved out of the training people
    assert not set(table.user_N[parts == "val"]) & set(table.user_N[parts == "train"])
    with_val = np.where(table.user_N % 7 == 1, "val_seen", own)
    assert (Splits(val=0.3).parts(replace(table, part_N=with_val)) == with_val).all()
    with pytest.raises(ValueError, match="no split of its own"):
        Splits(by="source").parts(table)
    with pytest.raises(ValueError, match="leaves nothing to train on"):
        Splits(by="source").parts(replace(table, part_N=np.full(len(table), "test")))


def test_bad_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="leave some to train on"):
        Splits(val=0.5, test=0.5)
    with pytest.raises(ValueError, match="did you mean user"):
        Splits(by="users")


def scale(how: str = "person") -> PersonScale:
    return PersonScale(RatingScale(1, 5, 4), how, 5.0, 3.0, 1.0)


def test_harsh_and_kind_people_agree() -> None:
    harsh, kind = np.tile([1.0, 2.0, 3.0], 20)[None], np.tile([3.0, 4.0, 5.0], 20)[None]
    valid = np.ones(harsh.shape, dtype=bool)
    assert scale().signed(harsh, harsh, valid) == pytest.approx(scale().signed(kind, kind, valid), abs=0.1)
    assert scale("scale").signed(harsh, harsh, valid).max() == 0


def test_a_target_has_no_part_in_its_scale() -> None:
    history, valid = np.array([[4.0, 2.0, 0.0]]), np.array([[True, True, False]])
    alone = scale().signed(np.array([[5.0]]), history, valid)
    among = scale().signed(np.array([[5.0, 1.0, 1.0]]), history, valid)
    assert alone[0, 0] == among[0, 0]
    padded = scale().signed(np.array([[5.0]]), np.array([[4.0, 2.0]]), np.ones((1, 2), dtype=bool))
    assert padded[0, 0] == alone[0, 0]  # padding says nothing


def test_scales_keep_order_sign_and_bounds() -> None:
    none = np.zeros((1, 0)), np.zeros((1, 0), dtype=bool)
    signed = scale().signed(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]), *none)[0]
    assert signed.tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1])
    binary = PersonScale(RatingScale(0, 1, 1), "person", 5.0, 0.5, 0.5)
    assert binary.signed(np.array([[0.0, 1.0]]), *none)[0].tolist() == pytest.approx([-1, 1])


def test_degenerate_populations() -> None:
    table = ratings()
    equal = replace(table, rating_N=np.full(len(table), 3.0, dtype=np.float32))
    fitted = RatingScaling().fit(equal)
    assert fitted.signed(np.array([[3.0]]), np.array([[3.0]]), np.array([[True]])) == 0
    with pytest.raises(ValueError, match="no training ratings"):
        RatingScaling().fit(table.take(np.arange(0)))
    with pytest.raises(ValueError, match="above 0"):
        RatingScaling(weight=0)
