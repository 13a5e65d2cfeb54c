"""`elicit.py` on a small world: users of the world answer, and a prior is trained with what they said."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from prefprior.files import read_json
from prefprior.runs import read_metrics
from prefprior.world.source import WorldSource
from tests.commands import SMALL_WORLD, fails, run

QUICK = (*SMALL_WORLD, "sampler.steps=2", "trainer.max_epochs=1", "trainer.enable_progress_bar=false")
ASK = (
    "checkpoint=runs/train/one", "people=9", "tastes=8", "imagined=2", "reference=16", "after=[1,2]", "use=[thompson]",
    "candidates=60", "n=2", "calibrate_people=20", "calibrate_shown=2", "moves.below=0", "decoding=null",
    "trainer.enable_progress_bar=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "train", *QUICK, "run_dir=runs/train/one")
        run(patch, folder, "elicit", *ASK, "part=train", "questions=[3+none,1]", "run_dir=runs/elicit/asked")
    return folder


def test_the_world_reads_what_its_users_answered(folder: Path) -> None:
    """After all their own ratings, and as shown pictures."""
    path = folder / "runs/elicit/asked/answers.parquet"
    world = WorldSource(people=240, pictures=240, root=str(folder / "embeddings"))
    before = world.ratings()
    table = WorldSource(people=240, pictures=240, root=str(folder / "embeddings"), sessions=str(path)).ratings()
    rows = pq.read_table(path).to_pylist()
    chosen = [row for row in rows if row["question"] is not None]
    assert table.question_N is not None
    assert table.shown_N is not None
    assert int((table.question_N >= 0).sum()) == len(chosen) == 9 * 2 * 3
    repeated = sum(count for reason, count in table.counts.items() if "rat" in reason)
    assert len(table) == len(before) + len(rows) - repeated
    for user in {row["user"] for row in rows}:
        own = table.user_N == table.users.tolist().index(user)
        assert (table.question_N[own][-6:] >= 0).any()
        assert table.shown_N[own][-6:].all()


def test_a_prior_is_trained_with_what_was_answered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("source.sessions=runs/elicit/asked/answers.parquet", "run_dir=runs/train/asked")
    run(monkeypatch, folder, "train", *QUICK, *words)
    run(
        monkeypatch,
        folder,
        "elicit",
        "checkpoint=runs/train/asked",
        *ASK[1:],
        "questions=[3]",
        "run_dir=runs/elicit/new",
    )
    assert "world/test/thompson_3/utility@2" in read_metrics(folder / "runs/elicit/new")
    assert (
        "p_holm" in read_json(folder / "runs/elicit/new/metrics_intervals.json")["world/test/thompson_3/utility_gain@2"]
    )


def test_answers_at_random_are_other_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("part=train", "questions=[3+none]")
    run(monkeypatch, folder, "elicit", *ASK, *words, "manner.flips=0.5", "run_dir=runs/elicit/flipped")
    plain, flipped = (
        pq.read_table(folder / f"runs/elicit/{name}/answers.parquet").to_pylist() for name in ("asked", "flipped")
    )
    plain = [row for row in plain if row["way"] == "thompson_3+none_0"]
    assert len(plain) == len(flipped)
    assert plain != flipped


def test_pictures_are_decoded_for_the_first_users_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of users are decoded apart, each picture with its own noise."""
    given = [word for word in ASK if word != "decoding=null" and not word.startswith("after=")]
    words = ("questions=[3]", "decoding.people=8", "decoding.samples=1", "decoding.lengths=[1]", "after=[1]")
    run(monkeypatch, folder, "elicit", *given, *words, "run_dir=runs/elicit/decoded")
    intervals = read_json(folder / "runs/elicit/decoded/metrics_intervals.json")
    assert intervals["world/test/thompson_3/utility_decoded@1"]["people"] == 8
    assert intervals["world/test/thompson_3/utility@1"]["people"] == 9


def test_answers_of_a_larger_world_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("source.people=20", "source.sessions=runs/elicit/asked/answers.parquet", "run_dir=runs/train/smaller")
    said = fails(monkeypatch, folder, "train", *QUICK[1:], *words)
    assert "the world has no user" in said


def test_questions_along_axes_show_made_pictures_which_are_rows_of_no_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("use=[axes]", "questions=[2]", "policies.axes.words=[darker]", "policies.axes.pictures=5")
    kept = [word for word in ASK if not word.startswith("use=")]
    run(monkeypatch, folder, "elicit", *kept, *words, "run_dir=runs/elicit/axes")
    assert not (folder / "runs/elicit/axes/answers.parquet").exists()
    figures = read_metrics(folder / "runs/elicit/axes")
    assert figures["world/test/axes_2/answers@2"] == 2
    assert not any("recall" in key for key in figures)


def test_an_axis_that_the_clip_cannot_read_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [word for word in ASK if not word.startswith("use=")]
    words = ("use=[axes]", "questions=[2]", "policies.axes.words=[older]", "run_dir=runs/elicit/older")
    assert "the axis 'older'" in fails(monkeypatch, folder, "elicit", *kept, *words)
