"""Files of a gallery: folder names, settings that must agree, and manifests of other formats."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prefprior.files import read_json, write_json
from prefprior.gallery.manifest import FORMAT, SETTINGS, begin, read_manifest, slug
from tests.gallery import tiny

NAMES = ["../../etc", "Ann", "ann", "Ann ", "名前", "a" * 99, "person-0001"]


def test_slugs_differ_on_case_insensitive_file_systems() -> None:
    assert len({slug(name).lower() for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_slugs_are_safe(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9._-]+", slug(name))
    assert ".." not in slug(name)


def test_a_simple_name_is_its_own_slug() -> None:
    assert slug("person-0001") == "person-0001"


def test_a_gallery_is_continued_with_the_same_settings(tmp_path: Path) -> None:
    begin(tmp_path, tiny.SETTINGS)
    begin(tmp_path, tiny.SETTINGS)
    assert read_json(tmp_path / SETTINGS)["format"] == FORMAT


def test_a_gallery_is_not_continued_with_other_settings(tmp_path: Path) -> None:
    begin(tmp_path, tiny.SETTINGS)
    with pytest.raises(ValueError, match="other settings: history, n differ"):
        begin(tmp_path, replace(tiny.SETTINGS, history=5, n=9))


def test_a_gallery_of_another_version_is_not_continued(tmp_path: Path) -> None:
    write_json(tmp_path / SETTINGS, {"format": "prefprior-gallery-1"})
    with pytest.raises(ValueError, match="started by another version"):
        begin(tmp_path, tiny.SETTINGS)


def manifest(folder: Path, value: Any) -> Path:
    write_json(folder / "manifest.json", value)
    return folder


def test_a_folder_is_accepted_as_manifest(tmp_path: Path) -> None:
    good = {"format": FORMAT, "person": {"name": "Ann"}}
    assert read_manifest(manifest(tmp_path, good)) == read_manifest(tmp_path / "manifest.json") == good


def test_an_older_manifest_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"prefprior-gallery-1, this version reads .* Make the gallery again with"):
        read_manifest(manifest(tmp_path, {"format": "prefprior-gallery-1"}))


@pytest.mark.parametrize("value", [[], {}, {"format": 3}, {"format": "prefprior-4"}, "text", None])
def test_a_file_of_another_format_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match="is not a gallery manifest"):
        read_manifest(manifest(tmp_path, value))


@pytest.mark.parametrize("person", [None, "Ann", {}, {"name": 7}])
def test_a_manifest_without_a_user_id_is_refused(tmp_path: Path, person: Any) -> None:
    with pytest.raises(ValueError, match=r"manifest\.json: person(\.name)? is"):
        read_manifest(manifest(tmp_path, {"format": FORMAT, "person": person}))


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no manifest .*manifest\.json"):
        read_manifest(tmp_path)
