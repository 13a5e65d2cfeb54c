"""Every command printed in the README, docs/, examples/README.md and the configuration can be run as printed."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser

from prefprior import schemas
from prefprior.command_line import open_nodes
from prefprior.config import check, conf_folder

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "conf").rglob("*.yaml")),
]
SCHEMAS = {
    "train": "TrainConfig",
    "sample": "SampleConfig",
    "evaluate": "EvaluateConfig",
    "elicit": "ElicitConfig",
    "serve": "ServeConfig",
    "embed": "EmbedConfig",
    "shard": "ShardConfig",
}
# A line of its own (in a block, or in a comment of a YAML file), or code within a sentence.
LINE = re.compile(r"^\s*(?:# +)?(python [\w/]+\.py\b[^`\n]*)$", re.MULTILINE)
INLINE = re.compile(r"`(python [\w/]+\.py\b[^`]*)`")
# What a shell takes out of a word's quotes; what is left of it must mean nothing to bash or zsh.
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
SPECIAL = re.compile(r"[\[\]{}()?*<>|&;$!~^]")


def commands(page: Path) -> list[str]:
    """Each command of a page as it would be copied from it; a trailing backslash joins lines."""
    text = page.read_text().replace("\\\n", " ")
    return [re.sub(r"\s+", " ", found) for found in (*LINE.findall(text), *INLINE.findall(text))]


ALL = sorted({(str(page.relative_to(ROOT)), command) for page in PAGES for command in commands(page)})
OWN = [
    (page, found[1], command)
    for page, command in ALL
    # Those with configuration outside conf/ are run by tests/test_examples.py.
    if (found := re.match(rf"python ({'|'.join(SCHEMAS)})\.py\b", command)) and "searchpath" not in command
]


@cache
def words(command: str) -> list[str]:
    """What bash makes of a command: the words after the name of the script."""
    bash = shutil.which("bash")
    assert bash is not None
    script = f"python() {{ printf '%s\\0' \"$@\"; }}\n{command}\n"
    done = subprocess.run([bash, "-euc", script], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[1:-1]


@pytest.mark.parametrize(("page", "command"), ALL)
def test_the_command_has_no_unquoted_shell_characters(page: str, command: str) -> None:
    bare = QUOTED.sub("", command).split(" #")[0]
    assert not SPECIAL.search(bare), f"{page}: quote what zsh would take for a pattern: {command}"


@pytest.mark.parametrize(("page", "name", "command"), OWN)
def test_hydra_can_parse_the_command(page: str, name: str, command: str) -> None:
    given = [word for word in words(command) if not word.startswith("--") and word != "..."]
    parsed = OverridesParser.create().parse_overrides(given)
    assert len(parsed) == len(given), page


@pytest.mark.parametrize(("page", "name", "command"), OWN)
def test_the_command_composes(page: str, name: str, command: str) -> None:
    given = [word for word in words(command) if "=" in word and not word.endswith("=...")]
    given = [word for word in given if not word.startswith(("-", "hydra.", "hydra/"))]
    if "--multirun" in words(command):
        given = [word.split(",")[0] for word in given]
    schema = getattr(schemas, SCHEMAS[name])
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        cfg = compose(name, overrides=[open_nodes(word) for word in given])
    try:
        check(cfg, schema)
    except ValueError as error:
        wrong = [line for line in str(error).splitlines()[1:] if "has no value" not in line]
        assert not wrong, f"{page}: {wrong}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=lambda page: page.name)
def test_lists_in_prose_are_quoted_for_the_shell(page: Path) -> None:
    assert not re.findall(r"`[\w.]+=\[[^`]*`", page.read_text())


def test_linked_pages_exist() -> None:
    for page in (p for p in PAGES if p.suffix == ".md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_names_the_test_command_that_ci_runs() -> None:
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci/run").read_text()
