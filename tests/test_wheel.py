"""From a wheel, in an empty folder, the commands work as they do in a clone."""

import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands import SMALL_WORLD

ROOT = Path(__file__).parents[1]
QUICK = (*SMALL_WORLD, "trainer.max_epochs=1", "trainer.enable_progress_bar=false")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Built from a copy: setuptools leaves its build/ beside the sources.
    copy = folder / "clone"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        ".",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        str(folder),
    ]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    return next(folder.glob("prefprior-*.whl"))


def test_the_wheel_holds_configs_weights_and_templates(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    clone = subprocess.run(
        ["git", "ls-files", "conf", "prefprior"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    wanted = {
        f"prefprior/{name}" if name.startswith("conf/") else name
        for name in clone.stdout.split()
        if (ROOT / name).is_file()
    }
    assert not sorted(wanted - inside)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    clone = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True, text=True).stdout.split()
    meant = {f"prefprior/{name}" if name.startswith("conf/") else name for name in clone}
    assert not sorted(inside - {name for name in meant if name.startswith("prefprior/")})


def test_the_wheel_has_its_metadata(wheel: Path) -> None:
    told = {name.split(".dist-info/")[1] for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" in name}
    assert told == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}


@dataclass
class Installed:
    """The commands of a wheel, in an environment and an empty folder of their own."""

    commands: Path
    folder: Path

    def __call__(self, name: str, *words: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            [str(self.commands / f"prefprior-{name}"), *words], cwd=self.folder, capture_output=True, text=True,
            timeout=400, env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
                              "HOME": str(self.folder.parent)},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def made(self, name: str, *words: str) -> Path:
        """The folder a command names in its last line."""
        return self.folder / self(name, *words).splitlines()[-1].removeprefix("folder: ")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], check=True)
    packages = root / "venv/lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # The packages that prefprior stands on are borrowed from this environment; prefprior itself comes from the wheel.
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(root / "venv/bin/python")]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--quiet", str(wheel)], check=True)
    (root / "empty").mkdir()
    return Installed(root / "venv/bin", root / "empty")


@pytest.fixture(scope="module")
def trained(installed: Installed) -> Path:
    return installed.made("train", *QUICK)


def test_train_works_in_an_empty_folder(installed: Installed, trained: Path) -> None:
    assert trained.parent == installed.folder / "runs/train"
    assert (trained / "prior.safetensors").is_file()


@pytest.mark.usefixtures("trained")
def test_sample_works_in_an_empty_folder(installed: Installed) -> None:
    assert (installed.made("sample", "users=unseen", "people=1", "n=1") / "gallery" / "index.html").is_file()


@pytest.mark.usefixtures("trained")
def test_evaluate_works_in_an_empty_folder(installed: Installed) -> None:
    words = ("predictors=[prior,mean]", "people=8", "scoreboard.lengths=[16]", "scoreboard.controls=[]")
    assert (installed.made("evaluate", *words) / "metrics.json").is_file()


def test_embed_has_help(installed: Installed) -> None:
    assert "encoder" in installed("embed", "--help")
