"""Imports point downhill only, and decoders and models meet in `space` alone."""

import ast
from pathlib import Path

import prefprior

PACKAGE = Path(prefprior.__file__).parent
# Each layer may import itself and what stands before it.
LAYERS = [
    {"allocation", "choices", "files", "space"},
    {"config", "runs"},
    {"data"},
    {"world"},
    {"models"},
    {"checkpoint", "callbacks"},
    {"pipeline"},
    {"decoders", "baselines"},
    {"evaluation", "gallery"},
    {"composition"},
    {"train", "sample", "evaluate", "embed", "shard", "demo"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# Two modules stand lower than their folders: the protocol that predictors keep, which everything below evaluation may
# know, and the miniature CLIP, an open_clip model like any other, which knows nothing of data.
LOWER = {
    "prefprior.predictor": RANK["data"],
    "prefprior.world.clip": RANK["space"],
    "prefprior.world": RANK["space"],
}


def imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    found = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module and n.level == 0]
    found += [alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names]
    return [name for name in found if name.startswith("prefprior.")]


def part(module: str) -> str:
    return module.split(".")[1]


def test_every_module_has_a_layer() -> None:
    modules = {p.stem if p.is_file() else p.name for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert modules - {"__init__", "__pycache__"} == set(RANK)


def test_imports_point_downhill() -> None:
    uphill = []
    for path in PACKAGE.rglob("*.py"):
        relative = path.relative_to(PACKAGE)
        mine = relative.parts[0].removesuffix(".py")
        if mine == "__init__":
            continue
        for module in imports(path):
            theirs = LOWER.get(module, RANK[part(module)])
            if theirs > RANK[mine] and part(module) != mine:
                uphill.append(f"{relative} imports {module}")
    assert not uphill, "\n".join(uphill)


def test_decoders_and_models_do_not_know_each_other() -> None:
    for one, other in (("decoders", "models"), ("models", "decoders")):
        known = {part(m) for p in (PACKAGE / one).rglob("*.py") for m in imports(p)}
        assert other not in known


def test_no_grab_bags() -> None:
    names = {p.stem for p in PACKAGE.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "helper", "misc", "common"}
