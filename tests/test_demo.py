"""The end of the demo: what it shows of the last scoreboard, and the two lines it ends with."""

from pathlib import Path

import pytest

from prefprior import demo
from prefprior.files import read_json, write_json
from prefprior.runs import write_metrics

EVERYBODY = ("prior", "mean", "nearest", "random", "oracle", "wals")


@pytest.fixture
def figures() -> dict[str, float]:
    """What a scoreboard of the world holds, and a little of what the demo does not show."""
    keys = [f"{name}/{key}" for name in EVERYBODY for _, key in demo.COLUMNS]
    return {f"world/unseen/{key}": i / 100 for i, key in enumerate([*keys, "prior/auc@all", "prior+permuted/auc@all"])}


@pytest.fixture
def evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: dict[str, float]) -> Path:
    """A finished evaluation."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/evaluate/one")
    folder.mkdir(parents=True)
    write_json(
        folder / "metrics_intervals.json", {key: {"value": value, "people": 7} for key, value in figures.items()}
    )
    write_metrics(folder, figures)
    (folder / "config.yaml").write_text("checkpoint: runs/train/one/prior.safetensors\n")
    return folder


@pytest.fixture
def gallery(evaluation: Path) -> Path:
    """A finished gallery."""
    index = Path("runs/sample/one/gallery/index.html")
    index.parent.mkdir(parents=True)
    index.write_text("<html></html>")
    (index.parents[1] / "config.yaml").write_text("checkpoint: runs/train/one/prior.safetensors\n")
    return index


def test_a_missing_gallery_is_an_error_with_the_command(evaluation: Path) -> None:
    with pytest.raises(ValueError, match=r"python sample\.py"):
        demo.run()


def test_a_missing_evaluation_is_an_error_with_the_command(gallery: Path, evaluation: Path) -> None:
    (evaluation / "metrics.json").unlink()
    with pytest.raises(ValueError, match=r"python evaluate\.py"):
        demo.run()


def test_an_evaluation_of_other_data_is_refused(gallery: Path, evaluation: Path) -> None:
    write_metrics(evaluation, {"table/unseen/prior/auc@all": 0.5})
    with pytest.raises(ValueError, match=r"lacks 35 metrics.*python evaluate\.py"):
        demo.run()


def test_an_evaluation_and_a_gallery_of_different_priors_are_refused(gallery: Path, evaluation: Path) -> None:
    (evaluation / "config.yaml").write_text("checkpoint: runs/train/two/prior.safetensors\n")
    with pytest.raises(ValueError, match=r"evaluated runs/train/two.*shows runs/train/one"):
        demo.run()


def test_it_prints_the_metrics_and_the_paths_last(
    gallery: Path, figures: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = demo.run()
    shown = read_json(folder / "metrics.json")
    for name, called in demo.SHOWN.items():
        for _, key in demo.COLUMNS:
            assert shown[f"world/unseen/{called}/{key}"] == figures[f"world/unseen/{name}/{key}"]
    assert "world/unseen/prior/auc@all" in shown
    assert not any("wals" in key or "+" in key for key in shown)
    printed = capsys.readouterr().out
    assert f"{figures['world/unseen/mean/utility@16']:.2f}" in printed
    assert printed.strip().splitlines()[-2:] == [f"metrics: {folder / 'metrics.json'}", f"gallery: {gallery}"]
