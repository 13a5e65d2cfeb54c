"""`experiment=app`: training goes on from the checkpoint that was served, with what was answered meanwhile."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from prefprior import checkpoint
from prefprior.space import Space
from prefprior.studio.store.database import Database
from tests.commands import fails
from tests.small_run import ITEMS, NODES, QUIET, make_run, save_prior
from tests.studio.answering import arrived, chose, rated
from tests.training.runs import printed, weights

URL = "sqlite:///studio.sqlite"
APP = (
    "experiment=app", "init_from=runs/train/one", f"source.database={URL}", "data.batch_size=16",
    "data.epoch_batches=1", "trainer.max_epochs=1", "~callbacks.speed", QUIET,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_run(tmp_path_factory.mktemp("app"))
    database = Database.open(f"sqlite:///{made / 'studio.sqlite'}")
    for number in range(12):
        (profile,) = arrived(database).profiles
        rated(database, profile, f"i{number:02d}", 4.0)
        for first in range(0, 30, 3):
            chose(database, profile, tuple(f"i{(number + first + k) % ITEMS:02d}" for k in range(3)), (0,))
    database.close()
    return made


@pytest.fixture(scope="module")
def unchanged(folder: Path) -> str:
    """What is printed by a run that learns nothing."""
    return printed(folder, *APP, "optimizer.lr=0", "callbacks.ema=null", "run_dir=runs/train/two")


def test_it_starts_from_the_weights_that_were_served(unchanged: str, folder: Path) -> None:
    assert "starting from the weights of runs/train/one/prior.safetensors" in unchanged
    before, after = weights(folder / "runs/train/one"), weights(folder / "runs/train/two")
    own = [name for name, _ in checkpoint.load(folder / "runs/train/one/prior.safetensors").model.named_parameters()]
    assert own
    assert all(torch.equal(before[name], after[name]) for name in own)


def test_networks_and_space_are_those_of_the_checkpoint(unchanged: str, folder: Path) -> None:
    before, after = (checkpoint.describe(folder / f"runs/train/{run}/prior.safetensors") for run in ("one", "two"))
    assert after["model"] == before["model"]
    assert after["objective"] == before["objective"]
    spaces = [Space.from_dict(each["space"]).fingerprint() for each in (before, after)]
    assert spaces[0] == spaces[1]


def test_the_answers_are_trained_on_beside_the_earlier_ratings(unchanged: str, folder: Path) -> None:
    assert f"table: {480 + 12 * 31:,} ratings in own" in unchanged
    config = yaml.safe_load((folder / "runs/train/two/config.yaml").read_text())
    assert config["source"]["catalogue"]["ratings"] == "ratings.csv"
    assert config["data"]["batch_size"] == 16, "the command gave it"
    assert config["data"]["draws"]["picks_alone"] == 0.8, "the experiment sets it"


def test_a_run_on_answers_can_be_gone_on_from(unchanged: str, folder: Path) -> None:
    words = (*APP, "init_from=runs/train/two", "source.rehearsal=false", "run_dir=runs/train/three")
    assert f"table: {12 * 31} ratings in own" in printed(folder, *words)
    source = json.loads((folder / "runs/train/three/data.json").read_text())["source"]
    assert source["catalogue"] == NODES["source"], "not an app's answers about an app's answers"


def test_no_path_is_in_the_checkpoint(unchanged: str, folder: Path) -> None:
    description = checkpoint.describe(folder / "runs/train/two/prior.safetensors")
    source = description["facts"]["data"]["source"]
    assert source["database"] == "???"
    assert source["catalogue"]["ratings"] == "???"
    assert "studio.sqlite" not in json.dumps(description), "not even as what it was in training"
    assert json.loads((folder / "runs/train/two/data.json").read_text())["source"]["database"] == URL


def test_arguments_of_the_catalogue_can_be_changed(unchanged: str, folder: Path) -> None:
    (folder / "moved.csv").write_bytes((folder / "ratings.csv").read_bytes())
    words = (*APP, "source.catalogue.ratings=moved.csv", "source.catalogue.low=0", "run_dir=runs/train/moved")
    assert f"table: {480 + 12 * 31:,} ratings in own" in printed(folder, *words)
    source = json.loads((folder / "runs/train/moved/data.json").read_text())["source"]
    assert source["catalogue"] == NODES["source"] | {"ratings": "moved.csv", "low": 0}


def test_another_catalogue_takes_the_place_of_the_runs(unchanged: str, folder: Path) -> None:
    whole = {key: value for key, value in NODES["source"].items() if key != "pictures"}
    words = [f"source.catalogue.{key}={value}" for key, value in whole.items()]
    printed(folder, *APP, *words, "run_dir=runs/train/whole")
    source = json.loads((folder / "runs/train/whole/data.json").read_text())["source"]
    assert source["catalogue"] == whole


def test_another_network_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = fails(monkeypatch, folder, "train", *APP, "prior=tiny", "run_dir=runs/train/other")
    assert "do not fit this model" in said
    assert "Choose prior=... and retriever=... as in that run" in said


def test_it_needs_a_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [word for word in APP if not word.startswith("init_from")]
    assert "add init_from=RUN" in fails(monkeypatch, folder, "train", *words)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"_target_": "os.system"}, "'os.system' is not in prefprior.data"),
        (NODES["source"] | {"name": "${oc.env:HOME}"}, "source.name is not a plain value"),
        (None, "it does not record its training data"),
    ],
)
def test_a_foreign_checkpoint_may_name_no_more_than_it_may_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: object, message: str
) -> None:
    space = Space.from_dict(checkpoint.describe(folder / "runs/train/one/prior.safetensors")["space"])
    save_prior(folder / "foreign/prior.safetensors", space, NODES | {"source": source})
    said = fails(monkeypatch, folder, "train", *APP, "init_from=foreign", "run_dir=runs/train/foreign")
    assert "training cannot go on from foreign/prior.safetensors" in said
    assert message in said
