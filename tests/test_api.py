"""The package from Python: the commands as functions, beside the modules of the same names."""

import subprocess
import sys
from pathlib import Path

import pytest

import prefprior
from prefprior.runs import Run, write_metrics
from tests.commands import SMALL_WORLD


def test_all_public_names_exist_and_are_documented() -> None:
    assert {"load", "train", "sample", "evaluate"} <= set(prefprior.__all__)
    assert all(getattr(prefprior, name).__doc__ for name in prefprior.__all__)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, prefprior; print([m for m in ('torch', 'lightning', 'hydra', 'diffusers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_function_is_not_replaced_by_its_module() -> None:
    from prefprior.train import run

    assert callable(run)
    assert prefprior.train.__name__ == "train"
    assert prefprior.train is sys.modules["prefprior.train"].train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("api"))
        return prefprior.train(*SMALL_WORLD, "debug=fast", "trainer.enable_progress_bar=false", "run_dir=runs/train/a")


def test_training_returns_the_run_with_its_metrics(trained: Run) -> None:
    assert trained.folder.is_absolute()
    assert any(key.startswith("world/train/prior/") for key in trained.metrics)


def test_a_mistyped_key_raises_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean seed"):
        prefprior.train("sede=1")


def test_an_unknown_option_of_a_group_raises() -> None:
    with pytest.raises(ValueError, match="did you mean flow"):
        prefprior.train("objective=flwo")


def test_a_run_without_metrics_has_no_metrics(tmp_path: Path) -> None:
    assert Run(tmp_path).metrics == {}


def test_a_run_has_the_metrics_that_were_written(tmp_path: Path) -> None:
    write_metrics(tmp_path, {"world/val/prior/loss": 1.5})
    assert Run(tmp_path).metrics == {"world/val/prior/loss": 1.5}
