"""`serve.py study=[A,B]`: which studies it begins, goes on with and refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from sqlalchemy import select

from prefprior.command_line import open_nodes
from prefprior.config import conf_folder
from prefprior.gallery.manifest import file_hash
from prefprior.schemas import ServeConfig
from prefprior.studied import arms_of
from prefprior.studio.store.database import Database
from prefprior.studio.store.studies import Studies
from prefprior.studio.store.tables import QuestionRow
from tests.commands import fails, run
from tests.serve.conftest import SMALL, gone_on
from tests.small_run import make_run
from tests.studio.visiting import Person


def test_a_study_deals_people_to_two_runs(
    tmp_path: Path, readied: Callable[[Callable[[TestClient], None]], None], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path, found = make_run(tmp_path) / "runs/train/one/prior.safetensors", list[list[str]]()
    gone_on(path, "two")
    gone_on(path, "three")

    def test(client: TestClient) -> None:
        for _ in range(4):
            client.cookies.clear()
            person = Person(client)
            assert person.answer("1").status_code == 303
            found.append(person.strip())
        assert client.get("/readyz").json()["model"] is None

    readied(test)
    run(monkeypatch, tmp_path, "serve", *SMALL, "study=[runs/train/one,runs/train/two]")
    assert (
        "study 1 begins: python scripts/study.py sqlite:///runs/serve/studio/studio.sqlite" in capsys.readouterr().out
    )
    run(monkeypatch, tmp_path, "serve", *SMALL, "study=[runs/train/two,runs/train/one]")
    assert "study 1 goes on: " in capsys.readouterr().out
    run(monkeypatch, tmp_path, "serve", *SMALL, "study=[runs/train/one,runs/train/one]", "policy@second.nine=random")
    models = [file_hash(path), file_hash(tmp_path / "runs/train/two/prior.safetensors")]
    database = Database(f"sqlite:///{tmp_path / 'runs/serve/studio/studio.sqlite'}")
    with database.reading() as session:
        asked = {(row.study, row.arm, row.model, row.policy) for row in session.scalars(select(QuestionRow))}
    database.close()
    assert asked == {
        (1, 0, models[0], "information"), (1, 1, models[1], "information"),
        (2, 0, models[0], "information"), (2, 1, models[0], "random"),
    }  # fmt: skip
    assert [len(strip) for strip in found] == [2] * 12


def test_a_study_goes_on_where_its_data_have_moved_and_says_why_it_does_not(
    tmp_path: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone_on(make_run(tmp_path) / "runs/train/one/prior.safetensors", "two")
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "pictures", moved / "pictures")
    for name in ("ratings.csv", "vectors.npy", "items.txt"):
        shutil.copy(tmp_path / name, moved)
    study = (*SMALL, "study=[runs/train/one,runs/train/two]")
    there = ("source.ratings=moved/ratings.csv", "source.embeddings=moved/vectors.npy", "source.items=moved/items.txt")

    def said(*words: str) -> str:
        run(monkeypatch, tmp_path, "serve", *study, *words)
        return capsys.readouterr().out

    assert "study 1 begins" in said()
    assert "study 1 goes on" in said(*there, "source.pictures=moved/pictures")
    assert "it is not study 1, which has pleasant=0.0 (now 0.5)\n" in said("pleasant=0.5")
    assert "it is not study 2, which has seed=0 (now 1)\n" in said("pleasant=0.5", "seed=1")
    assert "it is not study 1, which has data.missing_allowed=0.01 (now 0.02)" in said("+data.missing_allowed=0.02")
    np.save(moved / "vectors.npy", 2 * np.load(moved / "vectors.npy"))
    assert "it is not study 1, which has catalogue=" in said(*there)


def test_a_study_of_runs_that_cannot_be_compared_is_not_begun(
    tmp_path: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_on(make_run(tmp_path) / "runs/train/one/prior.safetensors", "two")
    words = [word for word in SMALL if word != "making.n=2"]
    said = fails(monkeypatch, tmp_path, "serve", *words, "making.n=1", "study=[runs/train/one,runs/train/two]")
    assert "making.n must be at least 2" in said
    database = Database(f"sqlite:///{tmp_path / 'runs/serve/studio/studio.sqlite'}")
    assert Studies(database).all() == []
    database.close()


@pytest.mark.parametrize(
    "word",
    ["exploration.share=0.2", "making.n=4", "moves.rounds=1", "tastes=9", "pleasant=0.5", "safety=diffusers", "seed=1"],
)
def test_a_setting_that_changes_what_people_see_is_kept_by_a_study(folder: Path, word: str) -> None:
    path = str(folder / "runs/train/one/prior.safetensors")
    ConfigStore.instance().store(name="serve_schema", node=ServeConfig)

    def arms(*words: str) -> list[dict[str, Any]]:
        given = (f"study=['{path}','{path}']", *words)
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            return arms_of(compose("serve", overrides=[open_nodes(each) for each in given]))

    assert arms("port=9000", "device=cuda") == arms()
    assert arms(word) != arms()
    assert arms("exploration.share=0.1") == arms(), "the default, said"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study=[runs/train/one]"], "a study compares two runs, got 1"),
        (["study=[runs/train/one,runs/train/one]"], "the same model and ask in the same way"),
        (["study=[runs/train/one,runs/train/none]"], "runs/train/none"),
        (["study=[runs/train/one,runs/train/one]", "checkpoint=runs/train/one"], "leave checkpoint=... out"),
        (["policy@second.nine=eubo"], "add 'study=[RUN,RUN]'"),
        (["study=[runs/train/one,runs/train/one]", "policy@second.pair=pairwise_gp"], "belief of its own"),
    ],
)  # fmt: skip
def test_studies_that_compare_nothing_are_refused(
    folder: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], message: str
) -> None:
    given = [word for word in SMALL if word.split("=")[0] not in {each.split("=")[0] for each in words}]
    assert message in fails(monkeypatch, folder, "serve", *given, *words, f"run_dir={tmp_path / 'refused'}")
    assert opened == []
