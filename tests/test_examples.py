"""The examples run as their README says, on small data."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from prefprior.files import read_json
from prefprior.runs import read_metrics
from tests.commands import SMALL_WORLD, fails, run

EXAMPLES = Path(__file__).parents[1] / "examples"
QUICK = ("prior=tiny", "data.batch_size=32", "data.epoch_batches=3", "trainer.max_epochs=1", "debug=fast",
         "trainer.enable_progress_bar=false")  # fmt: skip
SEARCH = f"hydra.searchpath=[file://{EXAMPLES}/mylab/conf]"


def example(name: str) -> ModuleType:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, ratings of them, and their embeddings by the example's encoder."""
    folder, draws = tmp_path_factory.mktemp("examples"), np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for i in range(40):
        Image.fromarray(draws.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder / f"pictures/p{i:02d}.png")
    lines = ["user,item,rating"]
    for user in range(60):
        lines += [f"u{user:02d},p{i:02d}.png,{draws.integers(1, 6)}" for i in draws.permutation(40)[:8]]
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    example("own_encoder").main(*(str(folder / name) for name in ("pictures", "vectors.npy", "ids.txt")))
    return folder


def test_the_encoder_example_writes_one_row_per_picture(folder: Path) -> None:
    assert np.load(folder / "vectors.npy").shape == (40, 192)
    assert (folder / "ids.txt").read_text().splitlines()[0] == "p00.png"


def test_the_table_example_trains_evaluates_and_recommends(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    example("own_table").main("ratings.csv", "vectors.npy", "ids.txt", *QUICK)
    printed = capsys.readouterr().out
    assert "/prior/auc@all 0." in printed
    recommended = printed.split("recommended: ")[1].strip().split(", ")
    assert len(set(recommended)) == 5
    assert not {"p00.png", "p01.png", "p02.png"} & set(recommended)


@pytest.fixture
def mylab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / "mylab")
    monkeypatch.delitem(sys.modules, "mylab", raising=False)


@pytest.mark.usefixtures("mylab")
def test_a_custom_decoder_makes_a_gallery(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = ("source.ratings=ratings.csv", "source.embeddings=vectors.npy", "source.items=ids.txt")
    words = ("experiment=table", *table, "source.space=thumbnail-8", *QUICK, "run_dir=runs/train/thumbnails")
    run(monkeypatch, folder, "train", *words)
    given = ("checkpoint=runs/train/thumbnails", "decoder=thumbnail", "people=1", "n=2")
    run(
        monkeypatch,
        folder,
        "sample",
        SEARCH,
        *given,
        "run_dir=runs/sample/thumbnails",
        "trainer.enable_progress_bar=false",
    )
    made = sorted((folder / "runs/sample/thumbnails/gallery/people").rglob("made/*.png"))
    assert len(made) == 2
    assert np.asarray(Image.open(made[0])).reshape(8, 8, 8, 8, 3).std(axis=(1, 3)).max() == 0  # 8 x 8 squares


@pytest.mark.usefixtures("mylab")
def test_a_custom_retriever_is_trained_and_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*SMALL_WORLD, "debug=fast", "trainer.enable_progress_bar=false", "run_dir=runs/train/low")
    run(monkeypatch, tmp_path, "train", SEARCH, "retriever=low_rank", *words)
    few = ("checkpoint=runs/train/low", "predictors=[prior]", "decoding=null", "people=20")
    assert "trust=[PACKAGE]" in fails(monkeypatch, tmp_path, "evaluate", *few)
    run(monkeypatch, tmp_path, "evaluate", *few, "trust=[mylab]", "run_dir=runs/evaluate/low")
    assert any("/prior/auc@all" in key for key in read_metrics(tmp_path / "runs/evaluate/low"))


def test_the_notebook_runs_and_shows_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    cells = read_json(EXAMPLES / "walkthrough.ipynb")["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    source = source.replace("Path.cwd()", f"Path({str(EXAMPLES)!r})").replace('"trainer.max_epochs=2"', '"debug=fast"')
    found: dict[str, object] = {}
    exec(compile(source, "walkthrough.ipynb", "exec"), found)
    sheet = found["sheet"]
    assert isinstance(sheet, Image.Image)
    assert np.asarray(sheet)[64:].std() > 10
