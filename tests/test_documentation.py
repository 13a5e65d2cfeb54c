"""Every command printed in the README and docs/ is one that the project understands."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore

from prefprior.config import _open_nodes, check, conf_folder

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "conf").rglob("*.yaml"))]
COMMAND = re.compile(r"python (train|sample|evaluate|embed|shard)\.py\b(.*)")
SCHEMAS = {
    "train": "TrainConfig",
    "sample": "SampleConfig",
    "evaluate": "EvaluateConfig",
    "embed": "EmbedConfig",
    "shard": "ShardConfig",
}


def commands() -> list[tuple[str, str, str]]:
    """(page, command, words) of every line that runs an entry file; a trailing backslash joins lines."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for name, words in COMMAND.findall(text):
            words = re.split(r"\s{2,}\(|\s#|`|\s{3,}[a-z]|\)", words)[0].strip()
            found.append((str(page.relative_to(ROOT)), name, words))
    return sorted(set(found))


@pytest.mark.parametrize(("page", "name", "words"), commands())
def test_the_command_composes(page: str, name: str, words: str) -> None:
    given = [word for word in shlex.split(words) if "=" in word and not word.endswith("=...")]
    given = [word for word in given if not word.startswith(("-", "hydra.", "hydra/"))]
    overrides = [_open_nodes(word.split(",")[0] if "[" not in word else word) for word in given]
    schema = getattr(import_module(f"prefprior.{name}"), SCHEMAS[name])
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        cfg = compose(name, overrides=overrides)
    try:
        check(cfg, schema)
    except ValueError as error:
        wrong = [line for line in str(error).splitlines()[1:] if "has no value" not in line]
        assert not wrong, f"{page}: {wrong}"


def test_the_pages_that_are_linked_exist() -> None:
    for page in (p for p in PAGES if p.suffix == ".md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_names_the_test_command_that_ci_runs() -> None:
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci/run").read_text()
