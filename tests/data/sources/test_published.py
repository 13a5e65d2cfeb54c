"""The published layouts, quirks included."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from prefprior.data.pictures import BadPictureError
from prefprior.data.sources.flickr_aes import RATINGS, SCORES, FlickrAesSource
from prefprior.data.sources.pamela import PamelaSource
from prefprior.data.sources.pickapic import PickapicSource
from prefprior.data.sources.pinterest import PinterestSource
from prefprior.data.sources.source import Source


def picture(colour: int, size: int = 8) -> Image.Image:
    return Image.new("RGB", (size, size), (colour % 256, 0, 0))


def flickr(root: Path, workers: int = 12) -> None:
    (root / "40K").mkdir(parents=True)
    lines = [" worker, imagePair, score"]
    for w in range(workers):
        for i in range(3 + w):
            lines.append(f"A{w}, farm1_{i}.jpg, {1 + (w + i) % 5}")
    (root / RATINGS).write_text("\n".join(lines) + "\n")
    (root / SCORES).write_text("".join(f" farm1_{i}.jpg 0.5\n" for i in range(3 + workers)))
    for i in range(1 + workers):  # the last is missing
        picture(i).save(root / "40K" / f"farm1_{i}.jpg")


def test_flickr_aes(tmp_path: Path) -> None:
    flickr(tmp_path)
    source = FlickrAesSource(root=str(tmp_path))
    assert isinstance(source, Source)
    table = source.ratings()
    assert len(table) == sum(3 + w for w in range(12))
    assert table.items[0] == "farm1_0.jpg"  # no leading space
    assert table.part_N is not None
    tested = {str(u) for u in table.users[table.user_N[table.part_N == "test"]]}
    assert tested == {"A0", "A1"}  # 37 of 210 of twelve, with the fewest ratings
    assert (table.scale.low, table.scale.high, table.scale.likes_from) == (1, 5, 4)
    assert source.pictures().open("farm1_3.jpg").size == (8, 8)
    with pytest.raises(BadPictureError, match="missing"):
        source.pictures().open("farm1_13.jpg")


def test_flickr_aes_protocols(tmp_path: Path) -> None:
    flickr(tmp_path)
    (tmp_path / "tests.txt").write_text("A5\nA6\n")
    table = FlickrAesSource(
        root=str(tmp_path), test_workers=str(tmp_path / "tests.txt"), unseen_pictures=True
    ).ratings()
    assert table.part_N is not None
    test = table.part_N == "test"
    assert {str(u) for u in table.users[table.user_N[test]]} == {"A5", "A6"}
    assert not set(table.item_N[test]) & set(table.item_N[~test])
    (tmp_path / "tests.txt").write_text("B1\n")
    with pytest.raises(ValueError, match=r"lists workers without ratings: 'B1'"):
        FlickrAesSource(root=str(tmp_path), test_workers=str(tmp_path / "tests.txt")).ratings()


def test_flickr_aes_problems(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Download FLICKR-AES .*source.root"):
        FlickrAesSource(root=str(tmp_path / "none")).ratings()
    flickr(tmp_path / "f")
    with open(tmp_path / "f" / RATINGS, "a") as file:
        file.write("A0, farm1_9.jpg, 6\n")
    with pytest.raises(ValueError, match=r"each_worker.csv:104: the rating 6 is outside the scale 1 to 5"):
        FlickrAesSource(root=str(tmp_path / "f")).ratings()


def test_pamela(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    for n, part in enumerate(("train", "val_seen", "test_unseen")):
        records = [
            {
                "participant_id": f"p{n * (part != 'val_seen')}",
                "image_path": f"images/{part}_{i}.png",
                "original_score": i,
            }
            for i in range(1, 6)
        ]
        (tmp_path / "annotations" / f"pamela_{part}.json").write_text(json.dumps(records))
        for i in range(1, 6):
            picture(i).save(tmp_path / "images" / f"{part}_{i}.png")
    source = PamelaSource(root=str(tmp_path))
    table = source.ratings()
    assert table.part_N is not None
    assert {p: int((table.part_N == p).sum()) for p in np.unique(table.part_N)} == {
        "train": 5,
        "val_seen": 5,
        "test_unseen": 5,
    }
    assert (table.scale.low, table.scale.high, table.scale.likes_from) == (1, 5, 4)
    assert source.pictures().open("images/train_2.png").size == (8, 8)
    path = tmp_path / "annotations" / "pamela_val_seen.json"
    records = json.loads(path.read_text())
    path.write_text(json.dumps([*records, {**records[0], "original_score": "high", "image_path": "x"}]))
    with pytest.raises(ValueError, match=r"pamela_val_seen.json:6: the rating 'high' is not a finite number"):
        PamelaSource(root=str(tmp_path)).ratings()
    path.write_text(json.dumps(records)[:-30])
    with pytest.raises(ValueError, match=r"pamela_val_seen.json:1: not JSON.*truncated"):
        PamelaSource(root=str(tmp_path)).ratings()
    path.write_text(json.dumps([{"participant": "p", "image_path": "x", "original_score": 1}]))
    with pytest.raises(ValueError, match=r"'participant_id'; did you mean participant\?"):
        PamelaSource(root=str(tmp_path)).ratings()
    with pytest.raises(ValueError, match=r"pamela_train.json.*source.root"):
        PamelaSource(root=str(tmp_path / "none")).ratings()


def test_pamela_paths_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    records = [{"participant_id": "p", "image_path": "../../etc/passwd", "original_score": 1}]
    (tmp_path / "annotations" / "pamela_train.json").write_text(json.dumps(records))
    with pytest.raises(ValueError, match=r"points outside the folder"):
        PamelaSource(root=str(tmp_path)).pictures()


def test_pinterest(tmp_path: Path) -> None:
    for user, names in {"ann lee": ["1.jpg", "deep/2.png"], "bob": ["3.JPG"]}.items():
        for name in names:
            (tmp_path / user / name).parent.mkdir(parents=True, exist_ok=True)
            picture(1).save(tmp_path / user / name)
    picture(1).save(tmp_path / "loose.jpg")
    (tmp_path / "bob" / "notes.txt").touch()
    table = PinterestSource(root=str(tmp_path)).ratings()
    assert table.scale.liked_only
    assert sorted(table.items) == ["ann lee/1.jpg", "ann lee/deep/2.png", "bob/3.JPG"]
    assert sorted(table.users) == ["ann lee", "bob"]
    assert table.counts["outside the folders of users"] == 1
    (tmp_path / "flat").mkdir()
    picture(1).save(tmp_path / "flat" / "a.jpg")
    with pytest.raises(ValueError, match="no folders"):
        PinterestSource(root=str(tmp_path / "flat")).ratings()
    with pytest.raises(ValueError, match="cannot use the folder of pictures"):
        PinterestSource(root=str(tmp_path / "gone")).ratings()


def encoded(colour: int) -> bytes:
    file = io.BytesIO()
    picture(colour).save(file, "JPEG")
    return file.getvalue()


def pairs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": [1, 1, 2, 2, 3],
            "image_0_uid": ["a", "b", "a", "e", "f"],
            "image_1_uid": ["b", "c", "d", "e", "g"],
            "label_0": [1.0, 0.5, 0.0, 1.0, 0.0],
            "label_1": [0.0, 0.5, 1.0, 0.0, 0.0],
            "created_at": pd.to_datetime(["2023-01-02", "2023-01-01", "2023-01-03", "2023-01-04", "2023-01-05"]),
        }
    )


def test_pickapic(tmp_path: Path) -> None:
    frame = pairs()
    frame["jpg_0"] = [encoded(10 * i) for i in range(5)]
    frame["jpg_1"] = [encoded(10 * i + 5) for i in range(5)]
    (tmp_path / "data").mkdir()
    frame.iloc[:3].to_parquet(tmp_path / "data" / "train-0.parquet", row_group_size=2)
    frame.iloc[3:].to_parquet(tmp_path / "data" / "validation-0.parquet")
    frame.to_parquet(tmp_path / "data" / "validation_unique-0.parquet")
    source = PickapicSource(root=str(tmp_path))
    table = source.ratings()
    read = [
        (str(table.users[u]), str(table.items[i]), r) for u, i, r in zip(table.user_N, table.item_N, table.rating_N)
    ]
    assert read == [("1", "b", 0), ("1", "c", 0), ("1", "a", 1), ("1", "b", 0), ("2", "a", 0), ("2", "d", 1)]
    assert table.question_N is not None
    assert table.question_N.tolist() == [0, 0, 1, 1, 0, 0]  # numbers are the user's own
    assert table.counts == {"comparison without a label": 1, "picture compared with itself": 1}
    assert table.time_N is not None
    assert table.time_N[0] == 1672531200
    pictures = source.pictures()
    assert set(pictures.ids) == set("abcdefg")
    assert abs(pictures.open("d").getpixel((0, 0))[0] - 25) < 6  # type: ignore[index]
    assert pictures.digest("a") != pictures.digest("b")


def test_pickapic_with_paths(tmp_path: Path) -> None:
    frame = pairs().drop(columns="created_at")
    for side in (0, 1):
        frame[f"path_{side}"] = [f"p/{item}.jpg" for item in frame[f"image_{side}_uid"]]
    (tmp_path / "p").mkdir()
    for item in "abcdefg":
        picture(ord(item)).save(tmp_path / "p" / f"{item}.jpg")
    frame.to_parquet(tmp_path / "train.parquet")
    source = PickapicSource(root=str(tmp_path), picture_0="path_0", picture_1="path_1")
    assert source.pictures().open("c").size == (8, 8)
    with pytest.raises(ValueError, match=r"missing: 'jpg_0'.*source.picture_0"):
        PickapicSource(root=str(tmp_path)).pictures()
    frame["label_0"] = 0.7
    frame.to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=r"train.parquet:0, .*the labels are 0.7 and 0"):
        PickapicSource(root=str(tmp_path)).ratings()
    with pytest.raises(ValueError, match=r"no train\*.parquet"):
        PickapicSource(root=str(tmp_path / "p")).ratings()
