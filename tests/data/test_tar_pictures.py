"""Pictures in webdataset tars."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset

from prefprior.data.tar_pictures import TarPictures
from tests.data.test_pictures import data, noise


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def test_pictures_are_read_from_tars(tmp_path: Path) -> None:
    one = tar(tmp_path / "0.tar", {"x/a.jpg": data(noise(1), "JPEG"), "x/a.json": b"{}", "b.v2.png": data(noise(2))})
    two = tar(tmp_path / "1.tar", {"./c.png": data(noise(2))})
    pictures = TarPictures([one, two])
    assert pictures.ids == ["b", "c", "x/a"]
    assert np.array_equal(np.asarray(pictures.open("c")), np.asarray(noise(2)))
    assert pictures.digest("b") == pictures.digest("c") != pictures.digest("x/a")
    with pytest.raises(ValueError, match=r"2.tar: c.png is a second picture with the id 'c'"):
        TarPictures([two, tar(tmp_path / "2.tar", {"c.png": data(noise(1))})])
    (tmp_path / "cut.tar").write_bytes(one.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"cut.tar (is truncated|is not a complete)"):
        TarPictures([tmp_path / "cut.tar"])
    (tmp_path / "junk.tar").write_bytes(b"junk" * 300)
    with pytest.raises(ValueError, match=r"junk.tar is not a complete"):
        TarPictures([tmp_path / "junk.tar"])


def test_ids_are_the_keys_of_webdataset(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    with webdataset.TarWriter(str(path)) as writer:
        for key in ("x/a", "b"):
            writer.write({"__key__": key, "png": data(noise(1)), "json": {"of": key}})
    with webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False) as dataset:
        keys = [sample["__key__"] for sample in dataset]
    assert TarPictures([path]).ids == sorted(keys) == ["b", "x/a"]


def test_hidden_files_are_ignored(tmp_path: Path) -> None:
    pictures = TarPictures([tar(tmp_path / "0.tar", {"a.png": data(noise(1)), "x/._a.png": data(noise(1))})])
    assert pictures.ids == ["a"]
