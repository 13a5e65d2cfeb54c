"""Pick-a-Pic: which of two generated pictures a user preferred."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefprior.data.columns.columns import Columns, Wanted
from prefprior.data.columns.ids import shown
from prefprior.data.columns.parquet import parquet_file
from prefprior.data.columns.read import read_columns
from prefprior.data.columns.values import ids, numbers, times
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.pictures import FolderPictures, Pictures
from prefprior.data.sources.parquet_pictures import PICTURE_REMEDY, ParquetPictures
from prefprior.data.sources.validate import ratings_table
from prefprior.nodes import Loadable
from prefprior.ratings import RatingScale, RatingsTable

PART_NAMES = {"train": "train", "validation": "val", "test": "test"}
COLUMNS = {
    "user": "user_id",
    "item_0": "image_0_uid",
    "item_1": "image_1_uid",
    "label_0": "label_0",
    "label_1": "label_1",
    "time": "created_at",
}


class PickapicSource(Loadable):
    """Parquet files below `root` (or `root/data`) named after their part: `train-*.parquet`, `validation-*`, `test-*`.

    Columns: `user_id`, `image_0_uid` and `image_1_uid`, `label_0` and `label_1` (1 won, 0 lost, 0.5 a tie), if known
    `created_at`, and the pictures in `jpg_0` and `jpg_1`: bytes, or paths below `root`. Published at
    https://huggingface.co/datasets/yuvalkirstain/pickapic_v1 (Kirstain et al., "Pick-a-Pic", NeurIPS 2023); its card
    states the terms. The `*_unique` files repeat rows of the others and are not read.
    A pair is a choice among two, of which the preferred one was picked. Of a tie neither was picked: it says that both
    are about as good, and not that either is liked.
    """

    PATHS = ("root",)

    name = "pickapic"

    def __init__(
        self,
        *,
        root: str = "data/pickapic",
        picture_0: str = "jpg_0",
        picture_1: str = "jpg_1",
        columns: dict[str, str] | None = None,
    ) -> None:
        """`picture_0` and `picture_1` are the columns of bytes or paths; `columns` maps our names to the files'."""
        self.root, self.picture_columns = Path(root), (picture_0, picture_1)
        unknown = sorted(set(columns or {}) - set(COLUMNS))
        if unknown:
            raise ValueError(f"source.columns maps {', '.join(COLUMNS)}, not {', '.join(unknown)}")
        self.columns = {**COLUMNS, **(columns or {})}

    def ratings(self) -> RatingsTable:
        """A choice for each comparison."""
        return self._ratings

    @cached_property
    def _files(self) -> list[tuple[str, Path]]:
        folder = self.root / "data" if (self.root / "data").is_dir() else self.root
        found = [
            (part, path)
            for part in PART_NAMES
            for path in sorted(folder.glob(f"{part}*.parquet"))
            if not path.name.startswith(f"{part}_")
        ]
        if not any(part == "train" for part, _ in found):
            raise ValueError(
                f"there are no train*.parquet files in {folder}. Give Pick-a-Pic's folder: source.root=..."
            )
        return found

    @cached_property
    def _ratings(self) -> RatingsTable:
        wanted = Wanted(self.columns, optional=("time",))
        read = [(part, read_columns(path, wanted)) for part, path in self._files]
        pairs = Columns.join([columns for _, columns in read], self.root)
        for name in ("user", "item_0", "item_1"):
            ids(pairs, name)  # refuses what cannot be one
        won_0, won_1 = numbers(pairs, "label_0"), numbers(pairs, "label_1")
        wrong = ~(np.isclose(won_0 + won_1, 1) & np.isin(won_0, (0, 0.5, 1)))
        unlabelled = np.isnan(won_0) | np.isnan(won_1) | ((won_0 == 0) & (won_1 == 0))
        if (wrong & ~unlabelled).any():
            rows = np.flatnonzero(wrong & ~unlabelled)
            raise ValueError(
                f"{pairs.some(rows)}: the labels are {won_0[rows[0]]:g} and {won_1[rows[0]]:g}; they must be "
                "1 and 0, 0 and 1, or both 0.5. Correct or remove these rows."
            )
        same = pc.equal(pairs.values["item_0"], pairs.values["item_1"]).to_numpy(zero_copy_only=False).astype(bool)
        keep = np.flatnonzero(~unlabelled & ~same)
        if len(keep) == 0:
            raise ValueError(
                f"{self.root} has no comparison with a winner: {int(unlabelled.sum())} have no label, "
                f"{int(same.sum())} compare a picture with itself. Is the data set complete?"
            )
        pair_P = np.arange(len(keep))
        part_P = np.concatenate([np.full(len(c), PART_NAMES[part], dtype="<U8") for part, c in read])[keep]
        time_P = times(pairs)[keep] if "time" in pairs.values else None
        first, second, user_P = (
            np.asarray(pairs.values[name].to_pylist(), dtype=object)[keep] for name in ("item_0", "item_1", "user")
        )
        scale = RatingScale(0, 1, 1, liked_only=True)
        values = {
            "user": pa.array(np.repeat(user_P, 2), pa.string()),
            "item": pa.array(_interleave(first, second), pa.string()),
        }
        return ratings_table(
            self.name,
            scale,
            pairs.made(values, np.repeat(keep, 2)),
            rating_N=scale.as_chosen(_interleave(won_0[keep], won_1[keep]) == 1),
            time_N=None if time_P is None else np.repeat(time_P, 2),
            part_N=np.repeat(part_P, 2),
            question_N=np.repeat(pair_P, 2),
            counts={
                "comparison without a label": int(unlabelled.sum()),
                "picture compared with itself": int(same.sum()),
            },
        )

    def pictures(self) -> Pictures:
        """The compared pictures: inside the Parquet files, or files that they name."""
        first, second = self.picture_columns
        places = (self.columns["item_0"], first), (self.columns["item_1"], second)
        path = self._files[0][1]
        with parquet_file(path) as opened:
            schema = opened.schema_arrow
        Wanted({"first": first, "second": second}, remedy=PICTURE_REMEDY).choose(str(path), schema.names)
        files = [path for _, path in self._files]
        if pa.types.is_string(schema.field(first).type) or pa.types.is_large_string(schema.field(first).type):
            return FolderPictures(self.root, files=_paths(files, places))
        return ParquetPictures(files, places)

    def embeddings(self) -> EmbeddingTable | None:
        """None: `python embed.py` makes them."""
        return None


def _paths(files: Sequence[Path], places: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The path of each picture, which is the same wherever it is shown."""
    paths: dict[str, str] = {}
    for file in files:
        for item, column in places:
            told = read_columns(file, Wanted({"item": item, "path": column}, remedy=PICTURE_REMEDY))
            ids(told, "item")
            ids(told, "path")
            for row, (name, path) in enumerate(zip(*(told.values[key].to_pylist() for key in ("item", "path")))):
                if paths.setdefault(name, path) != path:
                    raise ValueError(
                        f"{told.where(row)}: the picture {shown(name)} has the path {path!r} here, but "
                        f"{paths[name]!r} in an earlier row. Each picture has one path: correct these rows."
                    )
    return paths


def _interleave(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack([first, second], axis=1).reshape(-1)
