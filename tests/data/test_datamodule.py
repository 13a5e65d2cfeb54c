"""prefprior/data/datamodule.py: a source's ratings with its embeddings, parted."""

import numpy as np
import pytest

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.histories.draws import DrawRule
from prefprior.data.splits import Splits
from tests.data.small import SmallSource, module, ratings


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="small has no part exam; its parts are train"):
        module().part("exam")


def test_without_validation_there_is_no_loader() -> None:
    assert module(splits=Splits(by="user", val=0.0, test=0.3)).val_dataloader() == []


def test_the_scale_is_measured_on_the_training_part() -> None:
    data = module(splits=Splits(by="user", val=0.3, test=0.2))
    assert data.scale.centre == pytest.approx(float(data.part("train").rating_N.mean()))


def test_item_counts_are_of_the_training_part() -> None:
    data = module(splits=Splits(by="user", val=0.3, test=0.2))
    assert data.item_counts().sum() == len(data.part("train"))


def test_nothing_is_read_before_setup() -> None:
    class Unread(SmallSource):
        def ratings(self) -> None:  # type: ignore[override]
            raise AssertionError("read")

    PreferenceDataModule(source=Unread(ratings()))


def test_an_epoch_has_each_rating_as_a_target_once() -> None:
    data = module(batch_size=8, draws=DrawRule(targets_per_user=3))
    assert len(data.train_dataloader()) == int(np.ceil(len(data.part("train")) / 24))


def test_text_conditioning_without_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="small has none"):
        module().use_texts()


def test_the_summary_counts_every_part() -> None:
    data = module(splits=Splits(by="user", val=0.3, test=0.2))
    assert [line.split(":")[0].strip() for line in data.summary().splitlines()][1:] == ["train", "val", "test"]


def test_a_batch_without_users_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        module(batch_size=0)


def test_the_summary_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    module().setup()
    assert capsys.readouterr().out.count("ratings in small-space") == 1
