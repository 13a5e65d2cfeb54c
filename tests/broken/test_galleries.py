"""Manifests of galleries, as somebody is sent one and as a gallery is gone on with."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from prefprior.files import read_json, write_json
from prefprior.gallery.manifest import FORMAT, MANIFEST, SETTINGS, begin, user_folder
from prefprior.gallery.pages import write_pages
from prefprior.replay import NOT_REPEATED, repeated
from prefprior.sample import SampleConfig
from tests.broken.case import LFS, Case, Refused, case, cut, gone, instead, write
from tests.gallery import tiny

AGAIN = "Make the gallery again"


def good() -> dict[str, Any]:
    command = {key: value for key, value in asdict(SampleConfig()).items() if key not in NOT_REPEATED}
    command["decoder"] = {"_target_": "prefprior.decoders.kandinsky.Kandinsky", "model": "x", "steps": 3}
    settings = replace(tiny.SETTINGS, prompt="red", command=command).to_dict()
    return {"format": FORMAT, "person": {"name": "u1", "slug": "u1"}, "settings": settings}


def sent(change: Callable[[Any], Any]) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        value = good()
        change(value)
        write(MANIFEST, json.dumps(value))(folder)

    return spoil


def command(**changes: Any) -> Callable[[Path], Any]:
    return sent(lambda value: value["settings"]["command"].update(changes))


def settings(**changes: Any) -> Callable[[Path], Any]:
    return sent(lambda value: value["settings"].update(changes))


SENT = [
    case("no manifest of a gallery", gone(MANIFEST), "there is no manifest", MANIFEST, "The folder of each user in a gallery contains one"),
    case("a gallery's manifest from a FIFO", instead(MANIFEST, os.mkfifo), "there is no manifest", "The folder of each user in a gallery contains one"),
    case("a gallery's manifest cut short", cut(MANIFEST, -9), f"{MANIFEST}:1: not JSON", AGAIN),
    case("a gallery's manifest of no bytes", write(MANIFEST, b""), f"{MANIFEST}:1: not JSON", AGAIN),
    case("a gallery's manifest nested too deeply", write(MANIFEST, '{"person":' * 100_000), f"{MANIFEST}:1", "nested too deeply", AGAIN),
    case("a gallery's manifest in latin-1", write(MANIFEST, b'{"person": "\xe9"}'), f"{MANIFEST}:1: the byte 0xe9", "iconv"),
    case("a key of a gallery twice", write(MANIFEST, '{"format": 1, "format": 2}'), f"{MANIFEST}:1", "the key 'format' appears twice", AGAIN),
    case("a gallery's manifest that is a list", write(MANIFEST, "[]"), f"{MANIFEST} is not a gallery manifest", "The folder of each user in a gallery contains one"),
    case("a manifest of embeddings", write(MANIFEST, '{"format": 1}'), f"{MANIFEST} is not a gallery manifest: its format is 1", "The folder of each user in a gallery contains one"),
    case("a gallery of an older format", write(MANIFEST, '{"format": "prefprior-gallery-1"}'), f"{MANIFEST} has the manifest format prefprior-gallery-1", AGAIN),
    case("a Git LFS pointer for a gallery", write(MANIFEST, LFS), f"{MANIFEST} is a Git LFS pointer", "git lfs pull"),
    case("a gallery of nobody", sent(lambda m: m.pop("person")), f"{MANIFEST}: person is missing", AGAIN),
    case("a person who is a name", sent(lambda m: m.update(person="Ann")), f"{MANIFEST}: person is 'Ann'; it must be a JSON object", AGAIN),
    case("a person without a name", sent(lambda m: m["person"].pop("name")), f"{MANIFEST}: person.name is missing", AGAIN),
    case("a person who is a number", sent(lambda m: m["person"].update(name=7)), f"{MANIFEST}: person.name is 7", AGAIN),
    case("a person with a blank name", sent(lambda m: m["person"].update(name="  ")), f"{MANIFEST}: person.name is '  '", "blank", AGAIN),
    case("a person of half a character", sent(lambda m: m["person"].update(name="\ud83d")), f"{MANIFEST}: person.name is '\\ud83d'", AGAIN),
    case("a person with an escape sequence", sent(lambda m: m["person"].update(name="\x1b[2J")), f"{MANIFEST}: person.name is '\\x1b[2J'", "U+001B", AGAIN),
    case("no settings", sent(lambda m: m.pop("settings")), f"{MANIFEST}: settings is not a JSON object", AGAIN),
    case("settings in a list", sent(lambda m: m.update(settings=[])), f"{MANIFEST}: settings is not a JSON object", AGAIN),
    case("settings that lack something", sent(lambda m: m["settings"].pop("n")), f"{MANIFEST}: settings lacks n", AGAIN),
    case("a number of pictures in words", settings(n="many"), f"{MANIFEST}: settings.n is 'many'; it must be int", AGAIN),
    case("no pictures", settings(n=0), f"{MANIFEST}: settings: n must be at least 1", AGAIN),
    case("a setting that there is not", settings(numer=3), f"{MANIFEST}: settings.numer is unknown", AGAIN),
    case("a checkpoint without a digest", settings(checkpoint_sha256=None), f"{MANIFEST}: settings: checkpoint_sha256 must be a SHA-256", AGAIN),
    case("a sampler that is a name", settings(sampler="euler"), f"{MANIFEST}: settings.sampler is not a Sampler: 'euler'", AGAIN),
    case("a sampler of another package", settings(sampler={"_target_": "os.system"}), f"{MANIFEST}: settings.sampler._target_ is 'os.system'", "may name only classes", AGAIN),
    case("a solver that is a file", settings(sampler={"_target_": "prefprior.models.diffusion.sampler.Sampler", "solver": {"_target_": "builtins.open"}}), f"{MANIFEST}: settings.sampler.solver._target_ is 'builtins.open'", AGAIN),
    case("a gallery that was made in training", settings(command=None, checkpoint_sha256=None), f"{MANIFEST} belongs to a gallery made during training", "python sample.py checkpoint="),
    case("a command that is a text", settings(command="python sample.py"), f"{MANIFEST}: settings.command must be a JSON object or null", AGAIN),
    case("a command that lacks a key", sent(lambda m: m["settings"]["command"].pop("seed")), f"{MANIFEST}: settings.command lacks seed", AGAIN),
    case("a command with a key that there is not", command(sed=1), MANIFEST, "settings.command.sed is unknown; did you mean seed", AGAIN),
    case("a command that says where to write", command(run_dir="/etc"), MANIFEST, "settings.command.run_dir may not be given", AGAIN),
    case("a command that trusts others", command(trust=["os"]), MANIFEST, "settings.command.trust may not be given", AGAIN),
    case("steps in words", command(steps="ten"), MANIFEST, "settings.command.steps is 'ten'; it must be int or null", AGAIN),
    case("a source that is a list", command(source=["world"]), MANIFEST, "settings.command.source is ['world']; it must be a JSON object or null", AGAIN),
    case("a decoder of another package", command(decoder={"_target_": "subprocess.run", "args": "ls"}), MANIFEST, "settings.command.decoder._target_ is 'subprocess.run'", AGAIN),
    case("a decoder with an argument that there is not", command(decoder={"_target_": "prefprior.decoders.kandinsky.Kandinsky", "step": 3}), MANIFEST, "settings.command.decoder.step is unknown", AGAIN),
    case("lists within lists for a runtime", command(decoder={"_target_": "prefprior.decoders.kandinsky.Kandinsky", "runtime": [[[[]]]]}), MANIFEST, "settings.command.decoder.runtime is [[[[]]]]", AGAIN),
    case("a gallery away from its paths", sent(lambda m: m["settings"]["command"].update(likes="somewhere")), f"{MANIFEST} contains no paths", "likes has no value: add likes=... to the command"),
]  # fmt: skip


@pytest.mark.parametrize("case", SENT, ids=str)
def test_manifests_from_others(case: Case, tmp_path: Path, refused: Refused) -> None:
    config = SampleConfig(manifest=str(tmp_path / MANIFEST))
    sent(lambda manifest: None)(tmp_path)
    assert repeated(config, set())[0].users == ["u1"]
    case.spoil(tmp_path)
    refused(case, "galleries: manifests", lambda: repeated(config, set()))


NAMES = ["Person 0", "Person 1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gallery") / "gallery"
    tiny.maker(root, tiny.TinyUsers(2)).make(NAMES)
    begin(root, tiny.SETTINGS)
    return root


@pytest.fixture
def gallery(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "gallery")
    return tmp_path / "gallery"


def pages(root: Path) -> Any:
    begin(root, tiny.SETTINGS)
    return write_pages(root, NAMES, "title", tiny.SETTINGS)


def test_a_good_gallery_has_pages(gallery: Path) -> None:
    assert pages(gallery).is_file()


def person(change: Callable[[Any], Any]) -> Callable[[Path], Any]:
    def spoil(root: Path) -> None:
        path = user_folder(root, NAMES[1]) / MANIFEST
        value = read_json(path)
        change(value)
        write_json(path, value)

    return spoil


def inside(spoil: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda root: spoil(user_folder(root, NAMES[1]))


REPEAT = "and run the same command again"
MADE = [
    case("settings of a gallery cut short", cut(SETTINGS, -9), f"{SETTINGS}:", "not JSON", "Delete it"),
    case("settings of a gallery in a list", write(SETTINGS, "[]"), "was started by another version", "Choose another run_dir"),
    case("a gallery begun with other settings", lambda r: write_json(r / SETTINGS, read_json(r / SETTINGS) | {"n": 9}), "was started with other settings: n differ", "another run_dir"),
    case("nothing made", person(lambda m: m.update(made=[])), f"{MANIFEST}: made is a list of 0", REPEAT),
    case("no list of what was made", person(lambda m: m.pop("made")), f"{MANIFEST}: made is missing", REPEAT),
    case("ratings by name", person(lambda m: m.update(rated={"a": 1})), f"{MANIFEST}: rated is a JSON object; it must be a list", REPEAT),
    case("a rating of a gallery in words", person(lambda m: m["rated"][0].update(rating="loved")), f"{MANIFEST}: rated[0].rating is 'loved'", REPEAT),
    case("a picture outside the gallery", person(lambda m: m["made"][0].update(file="../../../x.png")), f"{MANIFEST}: made[0].file is '../../../x.png'", REPEAT),
    case("a picture of another site", person(lambda m: m["made"][0].update(file="https://example.org/x.png")), f"{MANIFEST}: made[0].file is 'https", REPEAT),
    case("figures that are null", person(lambda m: m["summary"].update(diversity=None)), f"{MANIFEST}: summary.diversity is null", REPEAT),
    case("no figures", person(lambda m: m.pop("summary")), f"{MANIFEST}: summary is missing", REPEAT),
    case("counts in a list", person(lambda m: m.update(counts=[1])), f"{MANIFEST}: counts is a list of 1", REPEAT),
    case("a folder that is another's", person(lambda m: m["person"].update(slug="../..")), f"{MANIFEST}: person.slug is '../..'", REPEAT),
    case("samples cut short", inside(cut("samples.parquet", -20)), "samples.parquet is not a complete Parquet file", "Copy it again"),
    case("a made picture that is gone", inside(gone("made/00.png")), "made/00.png: missing", REPEAT),
    case("a made picture cut short", inside(cut("made/00.png", 60)), "made/00.png: truncated", REPEAT),
]  # fmt: skip


@pytest.mark.parametrize("case", MADE, ids=str)
def test_galleries_that_are_continued(case: Case, gallery: Path, refused: Refused) -> None:
    case.spoil(gallery)
    refused(case, "galleries: folders", lambda: pages(gallery))
