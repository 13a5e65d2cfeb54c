"""`elicit.py` as a command: figures, pictures, answers as rows, resumption, processes, and words that make no sense."""

import io
import os
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from prefprior.data.sources.table import TableSource
from prefprior.files import read_json
from prefprior.runs import read_metrics
from tests.commands import fails, run
from tests.small_run import make_run

ROOT = Path(__file__).parents[1]

SMALL = (
    "people=3", "tastes=8", "imagined=2", "reference=16", "after=[0,1,2]", "questions=[1,2]", "use=[random,eubo]",
    "fewest=4", "calibrate_shown=2", "moves.below=0", "part=test",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("elicit"))


@pytest.fixture(scope="module")
def first(folder: Path) -> tuple[Path, str]:
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        run(patch, folder, "elicit", *SMALL, "run_dir=runs/elicit/first")
    return folder / "runs/elicit/first", printed.getvalue()


def test_every_way_to_ask_has_figures_with_intervals(first: tuple[Path, str]) -> None:
    figures, intervals = read_metrics(first[0]), read_json(first[0] / "metrics_intervals.json")
    assert {key.split("/")[2] for key in figures} == {"random_1", "random_2", "eubo_2"}
    assert {"table/test/eubo_2/spearman@0", "table/test/eubo_2/spearman@2"} <= figures.keys()
    assert figures.keys() <= intervals.keys()
    assert 0 <= intervals["table/test/eubo_2/spearman_gain@2"]["p_holm"] <= 1


def test_without_answers_all_ways_to_ask_are_the_same(first: tuple[Path, str]) -> None:
    figures = read_metrics(first[0])
    assert len({figures[f"table/test/{way}/spearman@0"] for way in ("random_1", "random_2", "eubo_2")}) == 1


def test_it_draws_curves_and_questions(first: tuple[Path, str]) -> None:
    assert {path.name for path in first[0].glob("*.png")} >= {
        "curves_spearman.png", "questions_random_1.png", "questions_random_2.png", "questions_eubo_2.png",
    }  # fmt: skip
    assert first[1].strip().splitlines()[-1] == "folder: runs/elicit/first"


def test_it_says_that_answers_do_not_hurt(first: tuple[Path, str]) -> None:
    assert "no gain of spearman is below 0 (Holm, 3 comparisons)" in first[1]


def answers(run: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(run / "answers.parquet").to_pylist()
    return rows


def test_an_interrupted_run_goes_on(folder: Path, first: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One way to ask is missing: only that is asked again, and figures and answers are the same."""
    before, told = read_metrics(first[0]), (first[0] / "answers.parquet").read_bytes()
    kept = first[0] / "sessions/random_2_0/00000.json"
    written = kept.stat().st_mtime_ns
    (first[0] / "sessions/eubo_2_0/00000.json").unlink()
    (first[0] / "answers.parquet").unlink()
    run(monkeypatch, folder, "elicit", *SMALL, "run_dir=runs/elicit/first")
    assert read_metrics(first[0]) == before
    assert (first[0] / "answers.parquet").read_bytes() == told
    assert kept.stat().st_mtime_ns == written


def test_two_processes_find_the_same(folder: Path, first: tuple[Path, str]) -> None:
    words = (
        *SMALL, "run_dir=runs/elicit/two", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2",
        "trainer.enable_progress_bar=false",
    )  # fmt: skip
    command = subprocess.Popen(
        [sys.executable, str(ROOT / "elicit.py"), *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    try:
        said, errors = command.communicate(timeout=480)
    except subprocess.TimeoutExpired:
        os.killpg(command.pid, signal.SIGKILL)  # its second process too, which would wait for the first for ever
        raise
    assert command.returncode == 0, errors[-2000:]
    assert said.count("prior: ") == 1, "only the first of them speaks"
    for name in ("metrics.json", "metrics_intervals.json", "answers.parquet", "questions_eubo_2.png"):
        assert (folder / "runs/elicit/two" / name).read_bytes() == (first[0] / name).read_bytes()


def test_what_was_answered_is_kept_as_rows(first: tuple[Path, str]) -> None:
    rows = answers(first[0])
    assert list(rows[0]) == ["user", "item", "rating", "question", "picked", "time", "way"]
    assert {row["way"] for row in rows} == {"random_1_0", "random_2_0", "eubo_2_0"}
    rated = [row for row in rows if row["way"] == "random_1_0"]
    assert len(rated) == 3 * 2
    assert all(1 <= row["rating"] <= 5 and row["question"] is None and row["picked"] is None for row in rated)
    pair = [row for row in rows if row["question"] == "eubo_2_0/1" and row["user"] == rows[0]["user"]]
    assert len(pair) == 2
    assert sum(row["picked"] for row in pair) >= 1
    assert len({row["time"] for row in pair}) == 1


def test_a_table_reads_the_answers_of_several_ways(folder: Path, first: tuple[Path, str]) -> None:
    source = TableSource(
        ratings=str(first[0] / "answers.parquet"), embeddings=str(folder / "vectors.npy"),
        items=str(folder / "items.txt"), duplicates="first",
    )  # fmt: skip
    table = source.ratings()
    assert table.question_N is not None
    assert int((table.question_N >= 0).sum()) == sum(row["question"] is not None for row in answers(first[0]))


def test_users_who_were_trained_on_are_asked_where_that_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word for word in SMALL if not word.startswith(("part=", "questions="))]
    run(monkeypatch, folder, "elicit", *given, "part=train", "questions=[2]", f"run_dir={tmp_path / 'train'}")
    assert "the model was trained on these users: figures say nothing of strangers" in capsys.readouterr().out
    assert "table/train/eubo_2/spearman@2" in read_metrics(tmp_path / "train")
    assert len({row["user"] for row in answers(tmp_path / "train")}) == 3


def test_where_nothing_is_asked_there_are_no_answers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [word for word in SMALL if not word.startswith("after=")]
    run(monkeypatch, folder, "elicit", *given, "after=[0]", f"run_dir={tmp_path / 'none'}")
    assert not (tmp_path / "none/answers.parquet").exists()


def test_policies_ask_the_questions_that_they_are_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [word for word in SMALL if not word.startswith(("use=", "questions="))]
    given += ["use=[mcmv,directed,eubo]", "questions=[1]"]
    run(monkeypatch, folder, "elicit", *given, f"run_dir={tmp_path / 'one'}")
    assert {key.split("/")[2] for key in read_metrics(tmp_path / "one")} == {"directed_1"}


def test_the_baseline_brings_a_belief_of_its_own(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [word for word in SMALL if not word.startswith(("use=", "people="))]
    run(monkeypatch, folder, "elicit", *given, "people=2", "use=[pairwise_gp,random]", f"run_dir={tmp_path / 'gp'}")
    figures = read_metrics(tmp_path / "gp")
    assert {key.split("/")[2] for key in figures} == {"pairwise_gp_2", "random_1", "random_2"}
    assert {"table/test/pairwise_gp_2/spearman@2", "table/test/pairwise_gp_2/ndcg_20@0"} <= figures.keys()


def test_likes_alone_are_chosen_among_what_nobody_came_to(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model whose generator cannot draw: users are imagined by items, anew after each answer."""
    folder = make_run(tmp_path_factory.mktemp("likes"), likes=True)
    given = [word for word in SMALL if not word.startswith(("questions=", "moves.", "tastes="))]
    words = (*given, "questions=[3]", "tastes=40", "moves.below=1e9", "moves.tastes=16")
    run(monkeypatch, folder, "elicit", *words, "run_dir=runs/elicit/likes")
    figures = read_metrics(folder / "runs/elicit/likes")
    assert figures["table/test/random_3/answers@2"] == 2
    assert figures["table/test/eubo_3/ndcg_20@2"] != figures["table/test/eubo_3/ndcg_20@0"]
    assert "table/test/eubo_3/spearman@2" not in figures
    assert "ask for choices only" in fails(monkeypatch, folder, "elicit", *SMALL, "run_dir=runs/elicit/ratings")
    assert "Lower imagined" in fails(monkeypatch, folder, "elicit", *words, "imagined=49", "run_dir=runs/elicit/many")


def test_another_configuration_does_not_go_on_in_the_same_folder(
    folder: Path, first: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = fails(monkeypatch, folder, "elicit", *SMALL, "seeds=2", "run_dir=runs/elicit/first")
    assert "begun with another seeds: choose another run_dir" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["use=[guess]"], "a policy of use"),
        (["questions=[nine]"], "it must be a number of pictures, such as 1, 2 or 9, or 9+none"),
        (["questions=[1+none]"], "a rating has no answer 'none of these'"),
        (["questions=[101]"], "from 1 picture (to be rated) to 100"),
        (["questions=[]"], "questions and use must not be empty"),
        (["use=[pairwise_gp]", "questions=[2+none]"], "has no answer 'none of these'"),
        (["use=[pairwise_gp]", "policies.pairwise_gp.axes=0"], "policy.axes must be at least 1"),
        (["use=[mcmv]", "questions=[9]"], "none of the policies mcmv is for questions of 9 pictures"),
        (["reference=1"], "reference must be at least 2"),
        (["calibrate_shown=1"], "calibrate_shown must be at least 2 and at most 100"),
        (["temperature=0"], "temperature must be at least 0.0001"),
        (["temperature=0.4"], "Ratings and 'none of these' are calibrated"),
        (["after=[1,1]"], "after must be different numbers of answers"),
        (["part=nowhere"], "part is 'nowhere'; it must be one of train, val, test"),
        (["fewest=1000"], "has no user to ask"),
        (["tastes=0"], "must be at least 1"),
        (["calibrate_shown=40"], "have too few ratings to calibrate answers"),
        (["manner.flips=2"], "manner.flips must be at least 0 and at most 1"),
        (["policies.information.starts=0", "use=[information]"], "policy.starts must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    keys = {word.split("=")[0] for word in words}
    given = [word for word in SMALL if word.split("=")[0] not in keys]
    assert message in fails(monkeypatch, folder, "elicit", *given, *words, f"run_dir={tmp_path / 'refused'}")
