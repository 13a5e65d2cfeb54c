"""`elicit.py` as a command: figures, pictures, resumption, and words that make no sense."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from prefprior.files import read_json
from prefprior.runs import read_metrics
from tests.commands import fails, run
from tests.small_run import make_run

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
    assert "table/test/eubo_2/spearman_gain@2" in intervals


def test_without_answers_all_ways_to_ask_are_the_same(first: tuple[Path, str]) -> None:
    figures = read_metrics(first[0])
    assert len({figures[f"table/test/{way}/spearman@0"] for way in ("random_1", "random_2", "eubo_2")}) == 1


def test_it_draws_curves_and_questions(first: tuple[Path, str]) -> None:
    assert {path.name for path in first[0].glob("*.png")} >= {
        "curves_spearman.png", "questions_random_1.png", "questions_random_2.png", "questions_eubo_2.png",
    }  # fmt: skip
    assert first[1].strip().splitlines()[-1] == "folder: runs/elicit/first"


def test_an_interrupted_run_goes_on(folder: Path, first: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One way to ask is missing: only that is asked again, and the figures are the same."""
    before, kept = read_metrics(first[0]), first[0] / "sessions/random_2_0.json"
    written = kept.stat().st_mtime_ns
    (first[0] / "sessions/eubo_2_0.json").unlink()
    run(monkeypatch, folder, "elicit", *SMALL, "run_dir=runs/elicit/first")
    assert read_metrics(first[0]) == before
    assert kept.stat().st_mtime_ns == written


def test_policies_ask_the_questions_that_they_are_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [word for word in SMALL if not word.startswith(("use=", "questions="))]
    run(monkeypatch, folder, "elicit", *given, "use=[mcmv,roam,eubo]", "questions=[1]", f"run_dir={tmp_path / 'one'}")
    assert {key.split("/")[2] for key in read_metrics(tmp_path / "one")} == {"roam_1"}


def test_the_baseline_brings_a_belief_of_its_own(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [word for word in SMALL if not word.startswith(("use=", "people="))]
    run(monkeypatch, folder, "elicit", *given, "people=2", "use=[pairwise_gp,random]", f"run_dir={tmp_path / 'gp'}")
    figures = read_metrics(tmp_path / "gp")
    assert {key.split("/")[2] for key in figures} == {"pairwise_gp_2", "random_1", "random_2"}
    assert {"table/test/pairwise_gp_2/spearman@2", "table/test/pairwise_gp_2/ndcg_20@0"} <= figures.keys()


def test_likes_alone_are_chosen_among_what_nobody_came_to(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path_factory.mktemp("likes"))
    lines = (folder / "ratings.csv").read_text().splitlines()
    (folder / "ratings.csv").write_text(
        "\n".join(["user,item", *(line.rsplit(",", 1)[0] for line in lines[1:])]) + "\n"
    )
    given = [word for word in SMALL if not word.startswith("questions=")]
    run(monkeypatch, folder, "elicit", *given, "questions=[3]", "run_dir=runs/elicit/likes")
    figures = read_metrics(folder / "runs/elicit/likes")
    assert figures["table/test/random_3/answers@2"] == 2
    assert "table/test/eubo_3/ndcg_20@2" in figures
    assert "table/test/eubo_3/spearman@2" not in figures
    assert "ask for choices only" in fails(monkeypatch, folder, "elicit", *SMALL, "run_dir=runs/elicit/ratings")


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
        (["part=nowhere"], "part is 'nowhere'; it must be one of val, test"),
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
