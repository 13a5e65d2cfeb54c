"""`serve.py` as a command: the studio that it opens, and configurations that make no sense."""

import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from sqlalchemy import select

from prefprior.checkpoint import describe
from prefprior.command_line import open_nodes
from prefprior.config import conf_folder
from prefprior.gallery.manifest import file_hash
from prefprior.runs import save_config
from prefprior.schemas import ServeConfig
from prefprior.serve import address, is_loopback
from prefprior.space import Space
from prefprior.studied import arms_of
from prefprior.studio.renewal import Renewal
from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.studies import Studies
from prefprior.studio.store.tables import QuestionRow
from tests.commands import fails, run
from tests.small_run import NODES, make_run, save_prior
from tests.studio.visiting import Person

SMALL = ("tastes=8", "imagined=2", "reference=16", "calibrate_shown=2", "moves.below=0", "making.n=2", "port=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("serve"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What people find, in the place of a server that runs until it is stopped."""
    found: list[Any] = []

    def visited(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        with TestClient(self.config.app, follow_redirects=False) as client:
            person = Person(client)
            for mode in ("nine", "pair", "rate"):
                found.append(len(person.shown(mode)) if client.get(f"/ask/{mode}").status_code == 200 else None)
            found.append(len(person.strip()))

    monkeypatch.setattr(uvicorn.Server, "run", visited)
    return found


def test_it_serves_the_last_run(
    folder: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, folder, "serve", *SMALL)
    assert opened == [9, 2, 1, 2]
    assert {path.name for path in (folder / "runs/serve/studio").iterdir()} >= {"studio.sqlite", "config.yaml"}
    printed = capsys.readouterr().out
    assert "studio: http://127.0.0.1:" in printed
    assert printed.strip().splitlines()[-1] == "folder: runs/serve/studio"


def test_made_pictures_lie_beside_the_database_or_where_one_says(
    folder: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, folder, "serve", *SMALL, "run_dir=runs/serve/beside")
    run(monkeypatch, folder, "serve", *SMALL, "run_dir=runs/serve/elsewhere", f"pictures={folder / 'elsewhere'}")
    for made in (folder / "runs/serve/beside/pictures", folder / "elsewhere"):
        assert len(list(made.rglob("*.png"))) in (1, 2), "both may be the same picture"
    assert not (folder / "runs/serve/elsewhere/pictures").exists()


def test_pages_without_a_policy_are_left_out(folder: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "serve", *SMALL, "pair=null", "rate=null", "run_dir=runs/serve/nine")
    assert opened == [9, None, None, 2]


def test_a_model_of_likes_asks_for_choices(
    tmp_path: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have no ratings and no "none of these"; how sharply people choose is still calibrated."""
    run(monkeypatch, make_run(tmp_path, likes=True), "serve", *SMALL)
    assert opened == [9, 2, None, 2]
    assert "answers: temperature" in capsys.readouterr().out


def test_a_password_is_not_written_down(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = fails(
        monkeypatch, folder, "serve", *SMALL, "database=postgresql+psycopg://me:secret@127.0.0.1:1/none",
        "run_dir=runs/serve/away",
    )  # fmt: skip
    assert "cannot be used" in said
    assert "secret" not in said


def test_a_database_that_another_server_uses_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{folder / 'taken.sqlite'}"
    taken = Database.open(url)
    taken.claim()
    said = fails(monkeypatch, folder, "serve", *SMALL, f"database={url}", "run_dir=runs/serve/taken")
    taken.close()
    assert "another server uses the database" in said


@pytest.fixture
def readied(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[TestClient], None]], None]:
    """Runs a test in the place of a server, which looks for new checkpoints all the time."""

    def visited_by(test: Callable[[TestClient], None]) -> None:
        def visited(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
            with TestClient(self.config.app, follow_redirects=False) as client:
                test(client)

        monkeypatch.setattr(uvicorn.Server, "run", visited)

    monkeypatch.setattr("prefprior.studio.renewal.LOOKING_SECONDS", 0.02)
    return visited_by


def trained_again(path: Path) -> str:
    """Puts another checkpoint in the place of one; returns what the studio calls it."""
    space = Space.from_dict(describe(path)["space"])
    save_prior(path.with_name("new.safetensors"), space, NODES, round=path.stat().st_mtime_ns)
    path.with_name("new.safetensors").replace(path)
    return file_hash(path)


def gone_on(path: Path, name: str, **more: Any) -> str:
    """Finishes a run that went on from a checkpoint; returns what the studio calls it."""
    made = path.parent.with_name(name) / path.name
    made.parent.mkdir()
    save_config(made.parent, {"init_from": str(path.parent)})
    save_prior(made, Space.from_dict(describe(path)["space"]), NODES, round=7, choices={"experiment": "app", **more})
    return file_hash(made)


def until(holds: Callable[[], bool]) -> None:
    """Waits for it."""
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it never came")


def served_model(client: TestClient) -> str:
    return str(client.get("/readyz").json()["model"])


def test_a_checkpoint_that_is_replaced_is_served_without_a_restart(
    tmp_path: Path, readied: Callable[[Callable[[TestClient], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_run(tmp_path) / "runs/train/one/prior.safetensors"

    def test(client: TestClient) -> None:
        person, first = Person(client), served_model(client)
        assert person.answer("1", "nine").status_code == 303
        shown = person.shown("pair")
        second = trained_again(path)
        assert second != first
        until(lambda: served_model(client) == second)
        assert person.answers() == 1
        assert person.shown("pair") == shown, "what waits for an answer is not asked anew"
        assert person.answer("1", "pair").status_code == 303
        assert person.answer("2", "rate").status_code == 303
        assert len(person.strip()) == 2

    readied(test)
    run(monkeypatch, tmp_path, "serve", *SMALL)
    with Database(f"sqlite:///{tmp_path / 'runs/serve/studio/studio.sqlite'}").reading() as session:
        asked = [(question.page, question.model) for question in session.scalars(select(QuestionRow))]
    models = list(dict.fromkeys(model for _, model in asked))
    assert len(models) == 2
    assert models[1] == file_hash(path)
    assert {page for page, model in asked if model == models[1]} >= {"rate"}
    assert ("pair", models[0]) in asked


def test_a_broken_checkpoint_leaves_the_old_one_in_its_place(
    tmp_path: Path, readied: Callable[[Callable[[TestClient], None]], None], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path, logged = make_run(tmp_path) / "runs/train/one/prior.safetensors", ""

    def said(what: str) -> bool:
        nonlocal logged
        logged += capsys.readouterr().err
        return what in logged

    def test(client: TestClient) -> None:
        person, first = Person(client), served_model(client)
        whole = path.with_name("whole.safetensors")
        path.rename(whole)
        path.write_bytes(whole.read_bytes()[:-1])
        until(lambda: said("is not served, and the model"))
        assert person.answer("1", "nine").status_code == 303
        assert served_model(client) == first
        second = trained_again(whole)
        whole.replace(path)
        until(lambda: served_model(client) == second)

    readied(test)
    run(monkeypatch, tmp_path, "serve", *SMALL)
    assert said("is damaged")


def test_a_finished_run_that_went_on_from_it_is_served(
    tmp_path: Path, readied: Callable[[Callable[[TestClient], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_run(tmp_path) / "runs/train/one/prior.safetensors"

    def test(client: TestClient) -> None:
        person, first = Person(client), served_model(client)
        assert person.answer("1", "nine").status_code == 303
        gone_on(path, "ablation", experiment="table")
        gone_on(path, "debugged", debug="tiny")
        gone_on(tmp_path / "runs/train/debugged/prior.safetensors", "other")
        time.sleep(0.5)
        assert served_model(client) == first
        second = gone_on(path, "two")
        until(lambda: served_model(client) == second)
        assert person.answer("2", "rate").status_code == 303
        third = gone_on(tmp_path / "runs/train/two/prior.safetensors", "three")
        until(lambda: served_model(client) == third)
        assert person.answers() == 2

    readied(test)
    run(monkeypatch, tmp_path, "serve", *SMALL)


def test_a_studio_that_is_not_to_be_renewed_looks_for_nothing(
    tmp_path: Path, readied: Callable[[Callable[[TestClient], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_run(tmp_path) / "runs/train/one/prior.safetensors"

    async def watch(self: Renewal, studio: Studio) -> None:
        raise AssertionError("nobody is to look")

    def test(client: TestClient) -> None:
        trained_again(path)
        assert Person(client).answer("1", "nine").status_code == 303

    monkeypatch.setattr(Renewal, "watch", watch)

    readied(test)
    run(monkeypatch, tmp_path, "serve", "renew=false", *SMALL)


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


@pytest.mark.parametrize(
    ("host", "told", "loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", True),
        ("localhost", "http://localhost:80", True),
        ("::1", "http://[::1]:80", True),
        ("::", "http://[::]:80", False),
        ("0.0.0.0", "http://0.0.0.0:80", False),
    ],
)
def test_the_address_is_as_a_browser_takes_it(host: str, told: str, loopback: bool) -> None:
    assert (address(host, 80), is_loopback(host)) == (told, loopback)


def test_cookies_over_plain_http_to_others_are_warned_of(
    folder: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, folder, "serve", *SMALL, "host=0.0.0.0", "run_dir=runs/serve/open")
    assert "cookies travel over it unencrypted" in capsys.readouterr().out


def test_a_port_in_use_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = [word for word in SMALL if word != "port=0"]
        said = fails(monkeypatch, folder, "serve", *given, f"port={port}", "run_dir=runs/serve/port")
    assert f"cannot listen on 127.0.0.1:{port}" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nine=null", "pair=null", "rate=null", "roam=null"], "no page is left"),
        (["policy@pair=pairwise_gp"], "belief of its own"),
        (["exploration.share=0"], "exploration.share must be at least"),
        (["rates.visitor=0"], "per_minute must be at least 1"),
        (["making.n=0"], "making.n must be at least 1 and at most 32"),
        (["candidates=10"], "a question of 9 pictures needs as many"),
        (["database=mysql://localhost/x"], "its driver is mysql"),
        (["pictures=nonsense://a"], "pictures=nonsense://a cannot be used"),
        (["pictures=/proc/made"], "pictures=/proc/made cannot be used"),
        (["beliefs=0"], "beliefs must be at least 1"),
        (["axes=[darker]"], "the encoder of own"),
        (["axes=[nonsense]"], "there is no axis 'nonsense'"),
        (["port=70000"], "port must be at least 0"),
        (["source.pictures=null"], "the studio shows pictures"),
    ],
)
def test_what_makes_no_sense_is_refused(
    folder: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], message: str
) -> None:
    keys = {word.split("=")[0] for word in words}
    given = [word for word in SMALL if word.split("=")[0] not in keys]
    assert message in fails(monkeypatch, folder, "serve", *given, *words, f"run_dir={tmp_path / 'refused'}")
    assert opened == []
