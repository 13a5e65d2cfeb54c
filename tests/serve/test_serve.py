"""`serve.py` as a command: the studio that it opens, and configurations that make no sense."""

import gc
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from prefprior.checkpoint import describe
from prefprior.gallery.manifest import file_hash
from prefprior.serve import address, is_loopback
from prefprior.space import Space
from prefprior.studio.renewal import Renewal
from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.tables import QuestionRow
from tests.commands import fails, run
from tests.serve.conftest import SMALL, gone_on
from tests.small_run import NODES, make_run, save_prior
from tests.studio.visiting import Person


def test_it_serves_the_last_run(
    folder: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, folder, "serve", *SMALL)
    assert opened == [9, 2, 1, 2]
    assert {path.name for path in (folder / "runs/serve/studio").iterdir()} >= {"studio.sqlite", "config.yaml"}
    printed = capsys.readouterr().out
    assert "studio: http://127.0.0.1:" in printed
    assert printed.strip().splitlines()[-1] == "folder: runs/serve/studio"


def test_what_was_imported_is_not_collected_while_it_serves(
    folder: Path, readied: Callable[[Callable[[TestClient], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[int] = []
    readied(lambda _: frozen.append(gc.get_freeze_count()))
    run(monkeypatch, folder, "serve", *SMALL)
    assert frozen[0] > 100_000
    assert gc.get_freeze_count() < frozen[0], "native modules would report at the end that they leak"


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


def trained_again(path: Path) -> str:
    """Puts another checkpoint in the place of one; returns what the studio calls it."""
    space = Space.from_dict(describe(path)["space"])
    save_prior(path.with_name("new.safetensors"), space, NODES, round=path.stat().st_mtime_ns)
    path.with_name("new.safetensors").replace(path)
    return file_hash(path)


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
