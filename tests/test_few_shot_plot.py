"""The picture of figures against the history's length."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[1] / "scripts/few_shot_plot.py"
    spec = importlib.util.spec_from_file_location("few_shot_plot", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


FIGURES = {
    "world/unseen/prior/auc@all": figure(0.9),
    "world/unseen/prior/auc@16": figure(0.8),
    "world/unseen/prior/auc@2": figure(0.6),
    "world/unseen/prior+permuted/auc@all": figure(0.5),
    "world/unseen/mean/recall_20@2": figure(0.1),
}


def test_lengths_are_sorted_and_controls_left_out(script: ModuleType) -> None:
    assert {name: list(by) for name, by in script.lines(FIGURES, "auc", ["prior", "mean"]).items()} == {
        "prior": ["2", "16", "all"]
    }


def test_the_plot_is_written(script: ModuleType, tmp_path: Path) -> None:
    script.plot(FIGURES, ["auc", "recall_20"], ["prior", "mean"]).savefig(tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_an_unknown_metric_is_refused(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="no utility of prior"):
        script.plot(FIGURES, ["utility"], ["prior"])
