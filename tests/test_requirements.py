"""setup.cfg requires what the package imports, and nothing else."""

import ast
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import prefprior

PACKAGE = Path(prefprior.__file__).parent
# Required, though nothing of ours imports them.
INDIRECT = {
    "accelerate": "diffusers moves a decoder's parts on and off a small GPU with it",
    "torchvision": "open_clip and timm need the one that fits our torch",
}


def config() -> ConfigParser:
    parser = ConfigParser()
    parser.read(PACKAGE.parent / "setup.cfg", encoding="utf-8")
    return parser


def names(requirements: str) -> dict[str, Requirement]:
    lines = [line for line in requirements.splitlines() if line.strip() and not line.startswith("#")]
    return {canonicalize_name(found.name): found for found in map(Requirement, lines)}


def imports(of: ast.AST) -> Iterator[str]:
    """Top-level names of modules that are imported somewhere in a tree."""
    for node in ast.walk(of):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def imported() -> set[str]:
    """The distributions of what the package imports."""
    found = {name for path in PACKAGE.rglob("*.py") for name in imports(ast.parse(path.read_text(encoding="utf-8")))}
    others = found - set(sys.stdlib_module_names) - {"prefprior"}
    known = packages_distributions()
    assert not others - set(known), f"not installed: {sorted(others - set(known))}"
    return {canonicalize_name(known[name][0]) for name in others}


REQUIRED = names(config()["options"]["install_requires"])
EXTRAS = {name for group in config()["options.extras_require"].values() for name in names(group)}


def test_what_is_imported_is_required() -> None:
    assert sorted(imported() - set(REQUIRED) - EXTRAS) == []


def test_what_is_required_is_imported() -> None:
    assert sorted(set(REQUIRED) - imported() - set(INDIRECT)) == []


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_requirement_has_a_lower_bound_that_is_met(name: str) -> None:
    specifier = REQUIRED[name].specifier
    assert any(part.operator == ">=" for part in specifier)
    assert version(name) in specifier
