"""One small training for each file of tests."""

from pathlib import Path

import pytest

from tests.training.runs import QUICK, printed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all, so that the world's pictures are embedded once."""
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def begun(folder: Path) -> str:
    """What a whole training prints."""
    return printed(folder, *QUICK, "run_dir=runs/train/unbroken")


@pytest.fixture(scope="module")
def unbroken(begun: str, folder: Path) -> Path:
    return folder / "runs/train/unbroken"
