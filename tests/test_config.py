"""Every key is compared with what takes it; all problems come in one message."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from prefprior import config
from prefprior.command_line import open_nodes
from prefprior.nodes import set_by_command, with_defaults
from tests.commands import run


@dataclass
class Schema:
    seed: int = 0
    optimizer: Any = None


def cfg(**nodes: Any):  # type: ignore[no-untyped-def]
    return OmegaConf.create({"seed": 0, "optimizer": None, **nodes})


def test_a_valid_configuration_is_built() -> None:
    node = {"_target_": "prefprior.callbacks.nan_guard.NanGuard", "every": 3}
    config.check(cfg(optimizer=node), Schema)
    assert config.build(OmegaConf.create(node)).every == 3


def test_all_problems_are_reported_at_once_with_the_nearest_name() -> None:
    node = {"_target_": "prefprior.callbacks.nan_guard.NanGuard", "evry": 3}
    bad = cfg(optimizer={"a": node, "b": {"_target_": "prefprior.callbacks.speed.Speed", "window": "wide"}}, sead=1)
    with pytest.raises(ValueError, match="problems") as caught:
        config.check(bad, Schema)
    message = str(caught.value)
    assert "sead is unknown; did you mean seed?" in message
    assert "optimizer.a.evry is unknown" in message
    assert "did you mean every?" in message
    assert "optimizer.b.window is 'wide'" in message
    assert message.count("\n  - ") == 3


def test_a_missing_value_names_the_argument_to_add() -> None:
    bad = cfg(optimizer={"_target_": "prefprior.callbacks.speed.Speed", "window": "???"})
    with pytest.raises(ValueError, match=re.escape("add optimizer.window=... to the command")):
        config.check(bad, Schema)


def test_a_users_own_configuration_may_name_any_class() -> None:
    made = config.build(OmegaConf.create({"_target_": "collections.Counter"}))
    assert type(made).__name__ == "Counter"


@pytest.mark.parametrize("target", ["os.nothing", "nowhere.Thing", "os.sep", "Thing"])
def test_a_class_that_cannot_be_imported_is_named(target: str) -> None:
    with pytest.raises(ValueError, match=re.escape(target)):
        config.check(cfg(optimizer={"_target_": target}), Schema)


def test_positional_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="_args_ is unknown"):
        config.build(OmegaConf.create({"_target_": "prefprior.callbacks.speed.Speed", "_args_": [3]}))


class Layer:
    def __init__(self, *, width: int, bias: bool = True) -> None:
        pass


class Net:
    def __init__(self, *, seed: int = 0, sizes: tuple[int, ...] = (1, 2), odd: Any = Path(), layer: Any = None) -> None:
        pass


LAYER, NET = f"{__name__}.Layer", f"{__name__}.Net"


def test_constructor_defaults_are_written_out_at_any_depth() -> None:
    node = {"_target_": NET, "layer": {"_target_": LAYER, "width": 3}}
    expected = {"_target_": NET, "layer": {"_target_": LAYER, "width": 3, "bias": True}, "seed": 0, "sizes": [1, 2]}
    assert with_defaults(node) == expected, "and no default that is no plain value"


def test_arguments_that_the_command_sets_are_not_in_the_configuration() -> None:
    node = {"a": {"_target_": NET, "layer": {"_target_": LAYER, "width": 3}}}
    filled = with_defaults(node, given=("seed",), shared=("bias",))["a"]
    assert "seed" not in filled
    assert "bias" not in filled["layer"]


def test_setting_an_argument_that_the_command_sets_is_refused() -> None:
    node = {"_target_": NET, "seed": 1, "layer": {"_target_": LAYER, "width": 3, "bias": False, "seed": 1}}
    found = set_by_command(node, "net", given=("seed",), shared=("bias",))
    assert [line.split(" ")[0] for line in found] == ["net.seed", "net.layer.bias"]


def test_dotted_overrides_set_any_argument() -> None:
    assert open_nodes("prior.width=3") == "++prior.width=3"
    for word in ("seed=1", "+a.b=1", "~a.b", "hydra.run.dir=x", "--multirun", "hydra/launcher=x", "trainer=ddp"):
        assert open_nodes(word) == word


def test_setup_cfg_lists_all_packages() -> None:
    root = Path(config.__file__).parents[1]
    import configparser

    parser = configparser.ConfigParser()
    parser.read(root / "setup.cfg")
    listed = set(parser["options"]["packages"].split())
    tree = {str(p.parent.relative_to(root)).replace("/", ".") for p in (root / "prefprior").rglob("__init__.py")}
    assert listed - {"prefprior.conf"} == tree
    data = {p.relative_to(root / "conf").suffix for p in (root / "conf").rglob("*") if p.is_file()}
    assert data == {".yaml"}, "the wheel carries only conf's YAML files"


@pytest.mark.parametrize("command", ["train", "sample", "evaluate", "embed", "shard"])
def test_help_lists_only_the_groups_of_the_command(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, tmp_path, command, "--help")
        raise SystemExit(0)
    assert not caught.value.code
    said = capsys.readouterr().out
    assert ("\nobjective: diffusion," in said) == (command == "train")
    assert ("\nbaseline: " in said) == (command == "evaluate")
    assert "\nsource: app, events, flickr_aes," in said


def printed(
    command: str, monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> dict[str, Any]:
    """What --cfg job prints."""
    run(monkeypatch, folder, command, "--cfg", "job", *words)
    found: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return found


def test_cfg_job_prints_every_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = printed("train", monkeypatch, tmp_path, capsys, "prior.depth=5")
    assert found["optimizer"]["lr"] == 0.002, "what an experiment sets"
    assert found["prior"]["depth"] == 5, "what the command sets"
    assert found["optimizer"]["eps"] == 1e-8, "what a constructor sets"
    assert found["data"]["splits"]["by"] == "auto"
    assert found["scheduler"]["warmup"] == 0.05
    assert not {"seed", "source"} & set(found["data"])
    assert not list(tmp_path.rglob("*.*")), "and nothing is run"


def test_cfg_job_works_with_missing_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = printed("train", monkeypatch, tmp_path, capsys, "experiment=table")
    assert found["source"]["ratings"] == "???"
    assert found["optimizer"]["lr"] == 0.0005


@pytest.mark.parametrize("words", [["--help"], ["sede=1"], ["prior=smal"], ["experiment=flickr"]])
def test_help_and_errors_do_not_import_torch(words: list[str]) -> None:
    code = (
        "import sys\nfrom prefprior import commands\n"
        "try: commands.train()\nexcept SystemExit: pass\n"
        "sys.exit(' '.join({'torch', 'lightning', 'diffusers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
