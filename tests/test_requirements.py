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


def test_every_imported_package_is_a_requirement() -> None:
    assert sorted(imported() - set(REQUIRED) - EXTRAS) == []


def test_every_requirement_is_imported() -> None:
    assert sorted(set(REQUIRED) - imported() - set(INDIRECT)) == []


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_every_requirement_has_a_satisfied_lower_bound(name: str) -> None:
    specifier = REQUIRED[name].specifier
    assert any(part.operator == ">=" for part in specifier)
    assert version(name) in specifier


def locked() -> dict[str, str]:
    """The version of every package of the lock."""
    lines = (PACKAGE.parent / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.split(";")[0].rstrip(" \\").split("==") for line in lines if "==" in line and line[0].isalnum()]
    return {canonicalize_name(name): version for name, version in pins}


LOCKED = REQUIRED | names(config()["options.extras_require"]["dev"])


@pytest.mark.parametrize("name", sorted(LOCKED))
def test_every_requirement_is_locked(name: str) -> None:
    assert locked().get(name, "0") in LOCKED[name].specifier, "setup.cfg has changed: make lock (CONTRIBUTING.md)"


def test_every_locked_package_has_hashes_and_no_url() -> None:
    lock = (PACKAGE.parent / "requirements.lock").read_text(encoding="utf-8")
    entries = [entry for entry in lock.split("\n") if entry and not entry.startswith((" ", "#"))]
    assert all(entry.endswith("\\") for entry in entries), "each line with a version goes on with hashes"
    assert "://" not in lock
