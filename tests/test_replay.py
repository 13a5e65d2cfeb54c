"""A gallery made again from a manifest: the same pictures, and nothing that a stranger's manifest should not do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefprior import checkpoint
from prefprior.files import read_json
from prefprior.gallery.manifest import read_manifest
from tests.commands import fails, run
from tests.small_run import NODES, QUIET, make_run, save_prior


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("replay"))


@pytest.fixture(scope="module")
def person(folder: Path) -> Path:
    """One of three people's folders."""
    with pytest.MonkeyPatch.context() as patch:
        words = ("run_dir=runs/sample/first", "people=3", "n=2", "seed=4", "source.pictures=pictures", QUIET)
        run(patch, folder, "sample", *words)
    return sorted((folder / "runs/sample/first/gallery/people").iterdir())[2]


def repeat(patch: pytest.MonkeyPatch, folder: Path, manifest: Path, *words: str, name: str = "again") -> Path:
    """Runs the command; returns the gallery."""
    run(patch, folder, "sample", f"manifest={manifest}", f"run_dir=runs/sample/{name}", *words, QUIET)
    return folder / f"runs/sample/{name}/gallery"


def pictures(gallery: Path) -> dict[str, bytes]:
    return {p.relative_to(gallery).as_posix(): p.read_bytes() for p in gallery.rglob("made/*.png")}


def test_replay_gives_the_same_pictures(folder: Path, person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {name: data for name, data in pictures(person.parents[1]).items() if f"/{person.name}/" in name}
    assert len(first) == 2
    assert pictures(repeat(monkeypatch, folder, person / "manifest.json", name="same")) == first


def test_replay_gives_nearly_the_same_manifest(folder: Path, person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = repeat(monkeypatch, folder, person / "manifest.json", name="manifest") / "people" / person.name
    one, other = read_manifest(person), read_manifest(again)
    assert other["settings"]["command"].pop("users") == [one["person"]["name"]]
    del one["settings"]["command"]["users"]
    assert one == other


def test_command_line_arguments_override_the_manifest(
    folder: Path, person: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_manifest(
        repeat(monkeypatch, folder, person / "manifest.json", "n=1", name="top") / "people" / person.name
    )["settings"]
    assert (settings["n"], settings["seed"]) == (1, 4)


def copied(person: Path, target: Path) -> Path:
    """A manifest away from its run, as somebody gets it who is sent one."""
    return Path(shutil.copy(person / "manifest.json", target))


def test_without_data_json_paths_are_required(
    folder: Path, person: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = copied(person, tmp_path)
    message = fails(monkeypatch, folder, "sample", f"manifest={manifest}", QUIET)
    assert "source.pictures has no value: add source.pictures=... to the command" in message


def test_without_data_json_replay_works_with_given_paths(
    folder: Path, person: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("source.pictures=pictures", "checkpoint=runs/train/one")
    made = pictures(repeat(monkeypatch, folder, copied(person, tmp_path), *words, name="away"))
    assert made == {name: data for name, data in pictures(person.parents[1]).items() if f"/{person.name}/" in name}


def test_another_checkpoint_is_refused(folder: Path, person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = checkpoint.load(folder / "runs/train/one/prior.safetensors").model.prior.space
    save_prior(folder / "other.safetensors", space, data=NODES, note="other")
    words = (f"manifest={person}/manifest.json", f"checkpoint={folder / 'other.safetensors'}", QUIET)
    assert "is not the checkpoint that made these pictures" in fails(monkeypatch, folder, "sample", *words)


@pytest.fixture
def refused(folder: Path, person: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], None]], str]:
    """What the command says of a manifest in its run folder, once it was changed."""

    def message(change: Callable[[Any], None]) -> str:
        manifest = read_json(person / "manifest.json")
        change(manifest)
        (person / "evil.json").write_text(json.dumps(manifest))
        return fails(monkeypatch, folder, "sample", f"manifest={person}/evil.json", "run_dir=runs/sample/evil", QUIET)

    return message


Refused = Callable[[Callable[[Any], None]], str]


@pytest.mark.parametrize("key", ["users", "prompt", "history", "seed"])
def test_a_manifest_is_not_interpolated(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    evil = f"${{oc.create:{{_target_: builtins.open, file: {tmp_path / 'ran'}, mode: w}}}}"

    def change(manifest: Any) -> None:
        manifest["settings"]["command"].update({key: evil, "decoder": {"_target_": "builtins.open"}})

    refused(change)
    assert not (tmp_path / "ran").exists()


def test_an_interpolation_in_a_manifest_is_plain_text(
    folder: Path, person: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_json(person / "manifest.json")
    manifest["settings"]["command"]["decoder"] = None
    manifest["person"]["name"] = "${oc.env:HOME}"
    (person / "evil.json").write_text(json.dumps(manifest))
    message = fails(monkeypatch, folder, "sample", f"manifest={person}/evil.json", QUIET)
    assert "no user '${oc.env:HOME}'" in message


@pytest.mark.parametrize(
    "target",
    [
        "lightning.pytorch.loggers.CSVLogger",
        "lightning.pytorch.cli.LightningCLI",
        "prefprior.files.write_text",
        "torch.load",
        "shutil.copyfile",
        "pathlib.Path.write_text",
        "os.symlink",
        "os.system",
    ],
)
@pytest.mark.parametrize("group", ["source", "embeddings", "decoder", "safety"])
def test_a_manifest_names_only_classes_on_the_closed_list(
    refused: Refused, tmp_path: Path, group: str, target: str
) -> None:
    node = {"_target_": target, "save_dir": str(tmp_path / "written")}
    message = refused(lambda m: m["settings"]["command"].update({group: node}))
    assert "may name only classes" in message or "is not a class that a file may name" in message
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("key", ["likes", "dislikes", "ratings"])
def test_a_manifest_is_not_trusted_with_paths(
    folder: Path, person: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    manifest = read_json(person / "manifest.json")
    manifest["settings"]["command"].update({key: "/etc", "source": None})
    (tmp_path / "evil.json").write_text(json.dumps(manifest))
    message = fails(monkeypatch, folder, "sample", f"manifest={tmp_path}/evil.json", QUIET)
    assert f"{key} has no value: add {key}=... to the command" in message


def test_a_source_is_not_trusted_with_paths(
    folder: Path, person: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = read_json(person / "manifest.json")
    manifest["settings"]["command"]["source"] = {**NODES["source"], "ratings": "/etc/passwd"}
    (tmp_path / "evil.json").write_text(json.dumps(manifest))
    message = fails(monkeypatch, folder, "sample", f"manifest={tmp_path}/evil.json", QUIET)
    assert "source.ratings has no value" in message


@pytest.mark.parametrize("value", [None, 7, "", "abc"])
def test_a_manifest_without_a_hash_is_refused(refused: Refused, value: object) -> None:
    assert "checkpoint_sha256" in refused(lambda m: m["settings"].update(checkpoint_sha256=value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n", "3"),
        ("seed", None),
        ("negative", 1),
        ("prompt", ["a"]),
        ("decoder", "world"),
        ("run_dir", "/tmp"),
        ("x", 1),
    ],
)
def test_an_invalid_value_is_named(refused: Refused, key: str, value: object) -> None:
    assert f"settings.command.{key}" in refused(lambda m: m["settings"]["command"].update({key: value}))


def test_a_missing_key_is_named(refused: Refused) -> None:
    assert "settings.command lacks n" in refused(lambda m: m["settings"]["command"].pop("n"))


def test_a_gallery_made_in_training_cannot_be_replayed(refused: Refused) -> None:
    assert "made during training" in refused(lambda m: m["settings"].update(command=None, checkpoint_sha256=None))
