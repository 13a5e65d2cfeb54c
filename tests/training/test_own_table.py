"""`experiment=table` looks at the data before it settles on a configuration, and says what it chose."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.small_run import QUIET, make_run
from tests.training.runs import printed

TABLE = (
    "experiment=table", "source.ratings=ratings.csv", "source.embeddings=vectors.npy", "source.items=items.txt",
    "source.space=own", "data.batch_size=16", "data.epoch_batches=1", "trainer.max_epochs=1", "~callbacks.speed", QUIET,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("table")
    make_run(made)
    likes = ["user,item", *(line.rsplit(",", 1)[0] for line in (made / "ratings.csv").read_text().splitlines()[1:])]
    (made / "likes.csv").write_text("\n".join(likes) + "\n")
    return made


def test_likes_are_trained_as_likes(folder: Path) -> None:
    said = printed(folder, *TABLE, "source.ratings=likes.csv", "run_dir=runs/train/likes")
    assert "chooses experiment=likes data.draws.history_cap=8 retriever.retriever.n=4: all ratings are likes" in said
    config = OmegaConf.load(folder / "runs/train/likes/config.yaml")
    assert config.retriever._target_.endswith("ColdStart")
    assert config.trainer.max_epochs == 1, "the command gave it"
    assert config.run_dir == "runs/train/likes"


def test_graded_ratings_keep_the_two_tower_retriever(folder: Path) -> None:
    said = printed(folder, *TABLE, "run_dir=runs/train/graded")
    assert "chooses prior=tiny: 480 graded ratings" in said
    config = OmegaConf.load(folder / "runs/train/graded/config.yaml")
    assert config.retriever._target_.endswith("TwoTower")
    assert config.prior.width == 96


def test_a_very_small_table_gets_small_batches(folder: Path) -> None:
    words = [word for word in TABLE if not word.startswith("data.batch_size")]
    assert "chooses prior=tiny data.batch_size=64: 480" in printed(folder, *words, "run_dir=runs/train/batches")
    assert OmegaConf.load(folder / "runs/train/batches/config.yaml").data.batch_size == 64


def test_a_finished_run_is_recognised_by_the_same_words(folder: Path) -> None:
    words = (*TABLE, "run_dir=runs/train/twice")
    printed(folder, *words)
    with pytest.raises(SystemExit, match="holds a finished run"):
        printed(folder, *words)
