"""scripts/search.py: it finds the better value, goes on where it stopped, and says what is wrong with its words."""

from pathlib import Path

import optuna
import pytest

from scripts import search
from tests.commands import SMALL_WORLD

WORDS = [*SMALL_WORLD, "trainer.max_epochs=1", "trainer.enable_progress_bar=false"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> optuna.Study:
    """Three learning rates, of which two teach next to nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("search"))
        return search.search(Path("runs/search/lr"), {"optimizer.lr": "1e-7,2e-3,1e-6"}, WORDS, trials=5)


def test_it_finds_the_best_of_three_learning_rates(study: optuna.Study) -> None:
    assert study.best_params == {"optimizer.lr": "2e-3"}


def test_no_configuration_is_tried_twice(study: optuna.Study) -> None:
    assert sorted(trial.params["optimizer.lr"] for trial in study.trials) == ["1e-6", "1e-7", "2e-3"]


@pytest.mark.parametrize(
    ("span", "low", "high", "log"),
    [
        ("1e-4..1e-2", 1e-4, 1e-2, True),
        ("0..0.5", 0.0, 0.5, False),
        ("2..8", 2, 8, False),
        ("0.1..0.3", 0.1, 0.3, False),
    ],
)
def test_wide_ranges_are_logarithmic(span: str, low: float, high: float, log: bool) -> None:
    trial = optuna.create_study().ask()
    search.suggested(trial, "x", span)
    found = trial.distributions["x"]
    assert (found.low, found.high, found.log) == (low, high, log)


@pytest.mark.parametrize("word", ["optimizer.lr", "optimizer.lr=", "optimizer.lr=1", "=1,2"])
def test_an_invalid_range_is_named(word: str) -> None:
    with pytest.raises(ValueError, match=r"--search takes key=a\.\.b or key=a,b,c"):
        search.ranges([word])


@pytest.mark.parametrize("span", ["3..1", "a..b", "1..inf"])
def test_an_empty_range_is_refused(span: str) -> None:
    with pytest.raises(ValueError, match="x="):
        search.suggested(optuna.create_study().ask(), "x", span)


def test_a_mistyped_key_stops_the_search_immediately(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*words: str) -> None:
        raise ValueError("sede is unknown")

    monkeypatch.setattr(search, "train", train)
    with pytest.raises(SystemExit, match="sede is unknown"):
        search.search(tmp_path / "s", {"x": "1,2"}, ["sede=1"], trials=2)
