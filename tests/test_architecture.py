"""Imports point downhill only, no folder imports one that imports it, and Hydra stays with the commands.

The layers are those of docs/architecture.md. There are no exceptions: what does not fit belongs elsewhere.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import prefprior

PACKAGE = Path(prefprior.__file__).parent
ENTRY_FILES = {
    "commands",
    "train",
    "sample",
    "evaluate",
    "evaluated",
    "asked",
    "elicit",
    "serve",
    "studied",
    "embed",
    "shard",
    "demo",
}
# From low to high: a part of the package may import its own layer and those before it.
LAYERS = [
    {
        "errors",
        "hub",
        "invocation",
        "malloc",
        "files",
        "fields",
        "locks",
        "nodes",
        "processes",
        "schemas",
        "seeding",
        "space",
    },
    {"ratings", "history", "predictor", "factorization"},
    {"data"},
    {"models"},
    {"checkpoint"},
    {"inference"},
    {"decoders", "baselines", "world"},
    {"elicitation", "evaluation", "gallery"},
    {"studio"},
    {
        "runs",
        "config",
        "data_settings",
        "command_line",
        "composition",
        "trainer",
        "model_card",
        "pipeline",
        "replay",
        "evaluated",
        "asked",
        "edits",
    },
    {"callbacks"},
    {"continuation"},
    ENTRY_FILES,
]
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}


def name_of(path: Path) -> str:
    """The dotted name of a file of the package; a folder's is that of its __init__.py."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imported(module: str) -> frozenset[str]:
    """Everything a module imports, wherever in it: `from prefprior.world import clip` is of prefprior.world.clip."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports name their module from the root"
            assert node.module
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in inner}
    return frozenset(found)


def links() -> Iterator[tuple[str, str]]:
    """Every pair of modules of the package of which the first imports the second.

    The package itself is none of them: it names what it offers, and imports that only when it is asked for.
    """
    for module in FILES.keys() - {"prefprior"}:
        for other in imported(module):
            if other in FILES and other != "prefprior":
                yield module, other


def part(module: str) -> str:
    """The folder or file right below the package that a module is in."""
    return module.split(".")[1]


def test_every_module_has_a_layer() -> None:
    assert {part(module) for module in FILES if module != "prefprior"} == set(RANK)


def test_imports_point_downhill() -> None:
    found = [f"{one} imports {other}" for one, other in links() if RANK[part(other)] > RANK[part(one)]]
    assert not found, "\n".join(found)


FOLDERS = [module for module, path in FILES.items() if path.name == "__init__.py"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_there_are_no_import_cycles(folder: str) -> None:
    """Neither files nor folders beside each other, at any depth."""
    depth = folder.count(".") + 1
    graph: dict[str, set[str]] = {}
    for one, other in links():
        if one.startswith(folder + ".") and other.startswith(folder + "."):
            mine, theirs = (module.split(".")[depth] for module in (one, other))
            if mine != theirs:
                graph.setdefault(mine, set()).add(theirs)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"in {folder}: " + " <- ".join(error.args[1]))


def test_decoders_and_models_do_not_import_each_other() -> None:
    known = {(part(one), part(other)) for one, other in links()}
    assert not known & {("decoders", "models"), ("models", "decoders")}


def test_only_commands_import_hydra() -> None:
    commands = {"config", "command_line", *ENTRY_FILES}
    users = {m for m in FILES if any(name.split(".")[0] in ("hydra", "omegaconf") for name in imported(m))}
    assert {module for module in users if part(module) not in commands} == set()


def test_no_grab_bags() -> None:
    names = {module.split(".")[-1] for module in FILES}
    assert not names & {"utils", "util", "helpers", "helper", "misc", "common"}
