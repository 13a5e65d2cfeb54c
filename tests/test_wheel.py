"""From a wheel, in an empty folder, the commands work as they do in a clone."""

import subprocess
import sys
import sysconfig
import zipfile
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


def test_the_commands_work_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    packages = place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # The packages that prefprior stands on are borrowed from this environment; prefprior itself comes from the wheel.
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(place / "bin/python"),
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()

    env = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)}

    def command(name: str, *words: str) -> str:
        done = subprocess.run(
            [str(place / "bin" / f"prefprior-{name}"), *words],
            cwd=empty, env=env,
            capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = command("train", *QUICK).splitlines()[-1]
    assert where.startswith("folder: runs/train/")
    assert (empty / where.removeprefix("folder: ") / "prior.safetensors").is_file()
    made = command("sample", "users=unseen", "people=1", "n=1").splitlines()[-1].removeprefix("folder: ")
    assert (empty / made / "gallery" / "index.html").is_file()
    measured = command("evaluate", "predictors=[prior,mean]", "people=8").splitlines()[-1].removeprefix("folder: ")
    assert (empty / measured / "metrics.json").is_file()
    assert "encoder" in command("embed", "--help")
