"""`source=table`: every way to give ratings, and every way they can be wrong."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from prefprior.data.sources.table import TableSource
from tests.data.small import csv


def table(path: Path, **arguments: object) -> TableSource:
    return TableSource(ratings=str(path), pictures=str(path.parent), **arguments)


def rows(source: TableSource) -> list[tuple[str, str, float]]:
    read = source.ratings()
    return [
        (str(read.users[u]), str(read.items[i]), float(r)) for u, i, r in zip(read.user_N, read.item_N, read.rating_N)
    ]


def test_how_ratings_came_about_is_read(tmp_path: Path) -> None:
    path = csv(tmp_path / "r.csv", "bob,b,4,0,1", "ann,a,2,1,0.25", header="user,item,rating,shown,propensity")
    read = table(path).ratings()
    assert read.users[read.user_N].tolist() == ["bob", "ann"]
    assert read.shown_N is not None
    assert read.shown_N.tolist() == [False, True]
    assert read.propensity_N is not None
    assert read.propensity_N.tolist() == [1, 0.25]


WANTED = [("ann", "a b/c.jpg", 1.0), ("ann", "..x", 4.0), ("bob", "ü", 5.0)]


def test_all_formats_give_the_same_ratings(tmp_path: Path) -> None:
    frame = pd.DataFrame(WANTED, columns=["user", "item", "rating"])
    frame.to_csv(tmp_path / "r.csv", index=False)
    frame.to_csv(tmp_path / "r.tsv", index=False, sep="\t")
    frame.to_json(tmp_path / "r.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "r.parquet")
    for name in ("r.csv", "r.tsv", "r.jsonl", "r.parquet"):
        assert rows(table(tmp_path / name)) == WANTED
    read = table(tmp_path / "r.csv").ratings()
    assert (read.scale.low, read.scale.high, read.scale.likes_from) == (1, 5, 4)


def test_byte_order_mark_windows_line_ends_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes('\ufeff user ,item,"rating"\r\nann,"a,1",2\r\nbob,b,3\r\n'.encode())
    assert rows(table(path)) == [("ann", "a,1", 2.0), ("bob", "b", 3.0)]


def test_column_names_can_be_mapped(tmp_path: Path) -> None:
    path = csv(tmp_path / "r.csv", "ann,a,2", "bob,b,3", header="worker,imagePair,score")
    columns = {"user": "worker", "item": "imagePair", "rating": "score"}
    assert rows(table(path, columns=columns)) == [("ann", "a", 2.0), ("bob", "b", 3.0)]
    with pytest.raises(ValueError, match=r"r.csv:1: .*missing: 'user'; 'item'"):
        table(path).ratings()
    with pytest.raises(ValueError, match=r"did you mean worker"):
        table(path, columns=columns | {"user": "workr"}).ratings()
    with pytest.raises(ValueError, match=r"source.columns maps .* not usr"):
        table(path, columns={"usr": "worker"})


def test_without_ratings_all_are_likes(tmp_path: Path) -> None:
    for path in (
        csv(tmp_path / "none.csv", "ann,a", "bob,b", header="user,item"),
        csv(tmp_path / "empty.csv", "ann,a,", "bob,b,"),
        csv(tmp_path / "equal.csv", "ann,a,1", "bob,b,1"),
    ):
        read = table(path).ratings()
        assert read.scale.liked_only
        assert read.liked_N.all()
        assert (read.scale.signed(read.rating_N) == 1).all()


def test_equal_ratings_on_a_given_scale_are_explicit_ratings(tmp_path: Path) -> None:
    read = table(csv(tmp_path / "r.csv", "ann,a,1", "bob,b,1"), low=1, high=5).ratings()
    assert not read.scale.liked_only
    assert not read.liked_N.any()


@pytest.mark.parametrize(
    "texts",
    [
        ["1714564800", "1714564801.5", ""],
        ["1714564800000", "1714564801500", ""],
        ["1714564800000000", "1714564801500000", ""],
        ["2024-05-01T12:00:00Z", "2024-05-01T14:00:01.5+02:00", ""],
    ],
)
def test_all_time_formats_are_read(tmp_path: Path, texts: list[str]) -> None:
    path = csv(tmp_path / "r.csv", *(f"ann,{i},1,{t}" for i, t in enumerate(texts)), header="user,item,rating,time")
    time = table(path).ratings().time_N
    assert time is not None
    assert np.isnan(time[0])  # unknown times come first: they may be of any age
    assert time[1:].tolist() == [1714564800.0, 1714564801.5]


def test_order_is_by_time_within_a_user(tmp_path: Path) -> None:
    path = csv(tmp_path / "r.csv", "ann,a,1,30", "bob,b,2,5", "ann,c,3,10", "", header="user,item,rating,time")
    assert [r[1] for r in rows(table(path))] == ["c", "a", "b"]


def test_a_split_column_is_kept(tmp_path: Path) -> None:
    path = csv(tmp_path / "r.csv", "ann,a,1,train", "bob,b,2, test", header="user,item,rating,split")
    part = table(path).ratings().part_N
    assert part is not None
    assert part.tolist() == ["train", "test"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("ann,x,good", r"r.csv:3: the rating 'good' is not a finite number"),
        ("ann,x,nan", r"r.csv:3: the rating 'nan' is not a finite number"),
        ("ann,x,inf", r"r.csv:3: the rating 'inf' is not a finite number"),
        ("ann,x,", r"r.csv:3: the rating is missing, but other rows have one"),
        ("ann,x,9", r"r.csv:3: the rating 9 is outside the scale 1 to 5.*source.low"),
        (",x,3", r"r.csv:3: the user is missing"),
        ("ann,,3", r"r.csv:3: the item is missing"),
        ("ann,   ,3", r"r.csv:3: '   ' is not a valid item id"),
        ("ann,x", r"r.csv:3: Expected 3 columns, got 2.*truncated"),
        ("ann,x,3,4", r"r.csv:3: Expected 3 columns, got 4"),
        (
            "ann,a,2",
            r"r.csv:2, .*r.csv:3: user 'ann' rates the item 'a' 2 times with different values.*duplicates=first",
        ),
    ],
)
def test_invalid_rows_are_named(tmp_path: Path, bad: str, message: str) -> None:
    path = csv(tmp_path / "r.csv", "ann,a,1", bad, "bob,b,5")
    with pytest.raises(ValueError, match=message):
        table(path, low=1, high=5).ratings()


def test_invalid_times_are_named(tmp_path: Path) -> None:
    path = csv(tmp_path / "r.csv", "ann,a,1,yesterday", "bob,b,2,2024-05-01", header="user,item,rating,time")
    with pytest.raises(ValueError, match=r"r.csv:2: the time 'yesterday' is not a time"):
        table(path).ratings()


def test_repeated_ratings(tmp_path: Path) -> None:
    path = csv(tmp_path / "r.csv", "ann,a,1", "ann,b,2", "ann,a,1", "ann,b,4", "bob,c,5")
    for how, wanted in (("first", 2.0), ("last", 4.0), ("mean", 3.0)):
        source = table(path, duplicates=how)
        assert sorted(rows(source)) == [("ann", "a", 1.0), ("ann", "b", wanted), ("bob", "c", 5.0)]
        assert source.ratings().counts["repeated rating, same value"] == 1
        assert source.ratings().counts[f"repeated rating, different values ({how} kept)"] == 1
    agreeing = csv(tmp_path / "agree.csv", "ann,a,1", "ann,a,1", "bob,c,5")
    assert len(rows(table(agreeing))) == 2
    with pytest.raises(ValueError, match="did you mean last"):
        table(path, duplicates="lst").ratings()


def test_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "header.csv").write_text("user,item,rating\n")
    (tmp_path / "latin.csv").write_bytes(b"user,item,rating\nann,caf\xe9,1\n")
    (tmp_path / "cut.jsonl").write_text('{"user": "a", "item": "b", "rating": 1}\n{"user": "a", "it')
    (tmp_path / "list.jsonl").write_text('{"user": "a", "item": "b", "rating": 1}\n[1]\n')
    pd.DataFrame(WANTED, columns=["user", "item", "rating"]).to_parquet(tmp_path / "r.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "r.parquet").read_bytes()[:-40])
    (tmp_path / "r.xlsx").write_text("x")
    for name, message in (
        ("empty.csv", "empty.csv is empty"),
        ("header.csv", "has a header but no rows"),
        ("latin.csv", r"latin.csv:2: the byte 0xe9 is not UTF-8.*iconv"),
        ("cut.jsonl", r"cut.jsonl:2: not JSON.*truncated"),
        ("list.jsonl", r"list.jsonl:2: each line must be one JSON object"),
        ("cut.parquet", r"cut.parquet is not a complete Parquet file.*truncated"),
        ("r.xlsx", r"not from .xlsx"),
        ("gone.csv", r"there is no file .*gone.csv"),
    ):
        with pytest.raises(ValueError, match=message):
            table(tmp_path / name).ratings()


def ready(folder: Path, vectors: np.ndarray, ids: list[str], **arguments: object) -> TableSource:
    np.save(folder / "e.npy", vectors)
    (folder / "ids.txt").write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")
    path = csv(folder / "r.csv", "ann,a,1", "bob,b,5")
    return TableSource(ratings=str(path), embeddings=str(folder / "e.npy"), items=str(folder / "ids.txt"), **arguments)


def test_ready_made_embeddings(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float16)
    embeddings = ready(tmp_path, vectors, ["a", "b"], space="mine").embeddings()
    assert embeddings is not None
    assert (embeddings.space.name, embeddings.ids) == ("mine", ["a", "b"])
    assert isinstance(embeddings.vectors, np.memmap)
    (tmp_path / "ids.txt").write_bytes("\ufeffa\r\nb\r\n".encode())
    source = TableSource(
        ratings=str(tmp_path / "r.csv"), embeddings=str(tmp_path / "e.npy"), items=str(tmp_path / "ids.txt")
    )
    again = source.embeddings()
    assert again is not None
    assert again.ids == ["a", "b"]
    assert again.space.name == "e"


@pytest.mark.parametrize(
    ("vectors", "ids", "message"),
    [
        (np.ones((3, 4), np.float32), ["a", "b"], r"e.npy has 3 rows, but .*ids.txt has 2 item ids"),
        (np.ones((2, 4)), ["a", "b"], r"e.npy contains float64 of shape \(2, 4\)"),
        (np.ones(2, np.float32), ["a", "b"], r"shape \(2,\)"),
        (np.ones((0, 4), np.float32), [], r"e.npy is empty"),
        (np.array([[1, np.nan], [1, 2]], np.float32), ["a", "b"], r"e.npy: rows 0 .*NaN or infinity"),
        (np.ones((2, 4), np.float32), ["a", "a"], r"ids.txt:2: the id 'a' is already in line 1"),
        (np.ones((2, 4), np.float32), ["a", ""], r"ids.txt:2: '' is not a valid item id"),
    ],
)
def test_invalid_embeddings_are_named(tmp_path: Path, vectors: np.ndarray, ids: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ready(tmp_path, vectors, ids).embeddings()


def test_a_truncated_or_pickled_npy_is_named(tmp_path: Path) -> None:
    source = ready(tmp_path, np.ones((2, 400), np.float32), ["a", "b"])
    (tmp_path / "e.npy").write_bytes((tmp_path / "e.npy").read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"e.npy is not a complete .npy file.*truncated"):
        source.embeddings()
    np.save(tmp_path / "e.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"e.npy is not a complete .npy file"):
        source.embeddings()


def test_incomplete_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be given together"):
        TableSource(ratings="r.csv", embeddings="e.npy")
    with pytest.raises(ValueError, match=r"needs source.pictures"):
        TableSource(ratings="r.csv")
    with pytest.raises(ValueError, match=r"a name consists of letters"):
        TableSource(ratings="r.csv", pictures=".", name="a/../b")


def test_ratings_and_pictures_must_share_ids(tmp_path: Path) -> None:
    (tmp_path / "p" / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / "p" / name)
    for item in ("deep/b.png", "deep/b"):
        path = csv(tmp_path / "r.csv", f"ann,{item},1", "bob,a,5" if item == "deep/b" else "bob,a.png,5")
        pictures = TableSource(ratings=str(path), pictures=str(tmp_path / "p")).pictures()
        assert pictures is not None
        assert pictures.open(item).size == (4, 4)
    path = csv(tmp_path / "r.csv", "ann,other,1", "bob,c,5")
    with pytest.raises(ValueError, match=r"none of the 2 rated items, such as 'other', .* such as 'a'"):
        TableSource(ratings=str(path), pictures=str(tmp_path / "p")).pictures()


def test_json_numbers_may_be_ids(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps({"user": 7, "item": i, "rating": i}) for i in (1, 2)))
    assert rows(table(tmp_path / "r.jsonl")) == [("7", "1", 1.0), ("7", "2", 2.0)]


def test_whitespace_around_user_ids_is_stripped_and_counted(tmp_path: Path) -> None:
    read = table(csv(tmp_path / "r.csv", "u0,a,1", "u0 ,b,2", "\u2003u0,c,3", "u1,a,5")).ratings()
    assert list(read.users) == ["u0", "u1"]
    assert read.counts["space around a user id"] == 2


@pytest.mark.parametrize("values", [("1e9", "1000000001"), ("1e-40", "2e-40"), ("1", "1e31"), ("0", "1e-31")])
def test_ratings_that_float32_cannot_distinguish_are_refused(tmp_path: Path, values: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"r.csv.*(in float32|too large)"):
        table(csv(tmp_path / "r.csv", f"ann,a,{values[0]}", f"ann,b,{values[1]}")).ratings()


def test_accents_of_pictures_and_ratings_must_have_the_same_unicode_form(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "cafe\u0301.png")
    path = csv(tmp_path / "r.csv", "ann,caf\u00e9.png,1", "bob,caf\u00e9.png,5")
    with pytest.raises(ValueError, match=r"accents are encoded differently"):
        table(path).pictures()


CHOICES = "user,item,rating,question,picked"


def test_choices_are_read_beside_ratings(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "r.csv",
        "ann,a,,q,0",
        "bob,x,2,,",
        "ann,b,,q,1",
        "bob,y,5,,",
        "bob,a,,q,0",
        "bob,b,,q,0",
        header=CHOICES,
    )
    read = table(path).ratings()
    assert read.question_N is not None
    told = zip(read.users[read.user_N], read.items[read.item_N], read.question_N, read.picked_N, strict=True)
    assert [(str(user), str(item), int(number), bool(pick)) for user, item, number, pick in told] == [
        ("ann", "a", 0, False), ("ann", "b", 0, True),
        ("bob", "x", -1, False), ("bob", "y", -1, False), ("bob", "a", 0, False), ("bob", "b", 0, False),
    ]  # fmt: skip
    assert (read.scale.low, read.scale.high, read.scale.likes_from) == (2, 5, 5)
    assert read.liked_N.tolist() == [False, True, False, True, False, False]


def test_a_choice_is_as_late_as_its_last_row(tmp_path: Path) -> None:
    rows_ = ("ann,a,,q,0,300", "ann,x,3,,,200", "ann,b,,q,1,100", "ann,y,4,,,400")
    read = table(csv(tmp_path / "r.csv", *rows_, header=f"{CHOICES},time")).ratings()
    assert read.items[read.item_N].tolist() == ["x", "a", "b", "y"]
    assert read.time_N is not None
    assert read.time_N.tolist() == [200, 300, 300, 400]


def test_a_table_of_choices_alone_has_no_scale_to_compare_on(tmp_path: Path) -> None:
    read = table(
        csv(tmp_path / "r.csv", "ann,a,1,1", "ann,b,1,0", "ann,a,2,0", "ann,c,2,1", header="user,item,question,picked")
    ).ratings()
    assert read.scale.liked_only
    assert read.liked_N.tolist() == [True, False, False, True]


def test_likes_and_choices_go_together(tmp_path: Path) -> None:
    read = table(
        csv(tmp_path / "r.csv", "ann,a,1,1", "ann,b,1,0", "ann,c,,", header="user,item,question,picked")
    ).ratings()
    assert read.liked_N.tolist() == [True, False, True]
    assert read.passed_N.tolist() == [False, True, False]


def test_empty_columns_of_choices_change_nothing(tmp_path: Path) -> None:
    read = table(csv(tmp_path / "r.csv", "ann,a,2,,", "bob,b,3,,", header=CHOICES)).ratings()
    assert read.question_N is None
