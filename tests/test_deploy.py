"""The files of operators name commands, words, extras and ports that there are. Nothing is built here."""

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore

from prefprior.command_line import open_nodes
from prefprior.config import check, conf_folder
from prefprior.schemas import ServeConfig

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
UNIT = ROOT / "deploy" / "studio.service"


@pytest.fixture(scope="module")
def package() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def require_words(*words: str) -> ServeConfig:
    """Words that serve.py takes."""
    ConfigStore.instance().store(name="serve_schema", node=ServeConfig)
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        cfg = compose("serve", overrides=[open_nodes(word) for word in words])
    check(cfg, ServeConfig)
    return cfg  # type: ignore[return-value]


def filled(text: str) -> str:
    """With a default, or a word, in the place of each variable."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", lambda found: found[1] or "word", text)


def test_the_image_has_a_command_extra_and_port_of_ours(package: ConfigParser) -> None:
    entry = re.findall(r'ENTRYPOINT \["([\w-]+)"', DOCKERFILE)[0]
    assert f"\n{entry} = " in package["options.entry_points"]["console_scripts"]
    assert re.findall(r"/source\[(\w+)\]", DOCKERFILE) == ["studio"]
    assert "studio" in package["options.extras_require"]
    assert re.findall(r"EXPOSE (\d+)", DOCKERFILE) == [str(ServeConfig.port)]
    assert f"127.0.0.1:{ServeConfig.port}/readyz" in DOCKERFILE
    assert DOCKERFILE.index("USER studio") < DOCKERFILE.index("ENTRYPOINT")


def test_the_words_of_the_composition_are_known() -> None:
    entry = re.findall(r'"([^"]*)"', DOCKERFILE[DOCKERFILE.index("ENTRYPOINT") :])[1:]
    cfg = require_words(*entry, *map(filled, COMPOSE["services"]["studio"]["command"]))
    assert cfg.secure_cookies
    assert COMPOSE["services"]["studio"]["ports"] == [f"127.0.0.1:{cfg.port}:{cfg.port}"]
    subnet = COMPOSE["networks"]["studio"]["ipam"]["config"][0]["subnet"]
    assert cfg.proxies == [subnet.replace(".0/24", ".1")]


def test_what_is_mounted_is_declared() -> None:
    named = {
        each.split(":")[0] for service in COMPOSE["services"].values() for each in service["volumes"]
        if not each.startswith(".")
    }  # fmt: skip
    assert named == set(COMPOSE["volumes"])


def test_the_words_of_the_unit_are_known() -> None:
    command = re.findall(r"^ExecStart=\S+ (.*)$", UNIT.read_text(), re.MULTILINE)[0].split()
    assert (ROOT / command[0]).is_file()
    given = re.findall(r'^#   STUDIO="(.*)"$', UNIT.read_text(), re.MULTILINE)[0].split()
    require_words(*command[1:-1], *given)


def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze")
    # The command is on the operator's machine.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    (tmp_path / "studio.service").write_text(text)
    done = subprocess.run(
        [program, "verify", "--recursive-errors=no", str(tmp_path / "studio.service")], capture_output=True, text=True
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
