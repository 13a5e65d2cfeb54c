"""Training as a user runs it: what a run leaves behind, that it resumes to the bit, and what it says of wrong words."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning import Trainer
from omegaconf import OmegaConf
from safetensors.torch import load_file

from prefprior import checkpoint
from prefprior.callbacks.nan_guard import NanGuard
from prefprior.config import check, conf_folder
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.scale import Standardize
from prefprior.runs import read_metrics
from prefprior.train import TrainConfig
from tests.commands import SMALL_WORLD, fails, run

ROOT = Path(__file__).parents[1]
QUICK = (*SMALL_WORLD, "trainer.max_epochs=3", "trainer.enable_progress_bar=false")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all, so that the world's pictures are embedded once."""
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "train", *QUICK, "run_dir=runs/train/unbroken")
    return folder / "runs/train/unbroken"


def weights(run_folder: Path) -> dict[str, torch.Tensor]:
    return load_file(run_folder / "prior.safetensors")


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_leaves_config_figures_and_one_checkpoint(unbroken: Path) -> None:
    figures = read_metrics(unbroken)
    assert figures["world/val/prior/loss"] > 0
    assert all(key.count("/") == 3 for key in figures)
    assert OmegaConf.load(unbroken / "config.yaml").source.people == 240
    steps = pd.read_csv(unbroken / "metrics.csv")
    assert steps["val/loss"].notna().sum() == 3
    predictor = TrainedPredictor.load(unbroken / "prior.safetensors")
    assert predictor.space.name == "world-clip"
    assert predictor.facts["data"]["source"]["people"] == 240
    assert predictor.facts["steps"] == 9


def test_the_same_seed_gives_the_same_weights(unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/again")
    assert equal(unbroken, folder / "runs/train/again")
    run(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/other", "seed=1")
    assert not equal(unbroken, folder / "runs/train/other")


def test_an_interrupted_run_goes_on_to_the_same_weights(
    unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*QUICK, "run_dir=runs/train/broken")
    with monkeypatch.context() as patch:

        def stop(self: NanGuard, trainer: Trainer, *rest: object) -> None:
            if trainer.global_step == 7:  # in the middle of the third epoch
                raise KeyboardInterrupt

        patch.setattr(NanGuard, "on_before_backward", stop)
        message = fails(patch, folder, "train", *words)
    assert "python train.py" in message
    assert "run_dir=runs/train/broken" in message
    assert "To go on after epoch 1" in message
    broken = folder / "runs/train/broken"
    assert torch.load(broken / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6
    capsys.readouterr()
    assert not (broken / "prior.safetensors").exists(), "an unfinished run is never taken for a finished one"
    assert "begun with other" in fails(monkeypatch, folder, "train", *words, "optimizer.lr=0.5")
    run(monkeypatch, folder, "train", *words)
    assert "going on in runs/train/broken after epoch 1" in capsys.readouterr().out
    assert [file.name for file in (broken / "checkpoints").iterdir()] == ["last.ckpt"]
    assert equal(unbroken, broken)
    logged = pd.read_csv(broken / "metrics.csv")
    assert logged["val/loss"].notna().sum() == 3, "what was logged before the interruption is kept"
    assert "holds a finished run" in fails(monkeypatch, folder, "train", *words)


def test_a_run_that_died_after_its_last_epoch_is_only_finished(
    unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*QUICK, "run_dir=runs/train/late")
    run(monkeypatch, folder, "train", *words)
    late = folder / "runs/train/late"
    figures = read_metrics(late)
    (late / "prior.safetensors").unlink()
    (late / "metrics.json").unlink()
    run(monkeypatch, folder, "train", *words)
    assert equal(unbroken, late), "the averaged weights, not the last ones"
    assert read_metrics(late)["world/val/prior/loss"] == pytest.approx(figures["world/val/prior/loss"], rel=1e-6)


def test_a_command_that_could_not_begin_does_not_bind_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["experiment=table", "run_dir=runs/train/mine"]
    fails(monkeypatch, tmp_path, "train", *words, "source.ratings=nowhere.csv")
    assert not (tmp_path / "runs/train/mine/config.yaml").exists()


def test_a_run_interrupted_in_its_first_epoch_begins_again_and_says_so(
    unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*QUICK, "run_dir=runs/train/early")
    with monkeypatch.context() as patch:

        def stop(self: NanGuard, trainer: Trainer, *rest: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(NanGuard, "on_before_backward", stop)
        assert "No epoch was finished. To begin again" in fails(patch, folder, "train", *words)
    run(monkeypatch, folder, "train", *words)
    assert "interrupted before its first epoch was finished: beginning again" in capsys.readouterr().out
    assert equal(unbroken, folder / "runs/train/early")


def test_bf16_on_a_cpu_learns_much_the_same(unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "train", *QUICK, "trainer.precision=bf16-mixed", "run_dir=runs/train/bf16")
    one, other = read_metrics(unbroken), read_metrics(folder / "runs/train/bf16")
    assert other["world/val/prior/loss"] == pytest.approx(one["world/val/prior/loss"], rel=5e-3)
    loaded = checkpoint.load(folder / "runs/train/bf16/prior.safetensors")
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


def test_the_checkpoint_loads_in_a_fresh_process_from_another_folder(unbroken: Path, tmp_path: Path) -> None:
    code = (
        "from prefprior.inference.predictor import TrainedPredictor; import sys, torch;"
        "from prefprior.history import History; p = TrainedPredictor.load(sys.argv[1]); e = torch.zeros(1, 2, 64);"
        "h = History(e, torch.ones(1, 2), torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool),"
        " torch.full((1, 2), -1), ['x']); print(p.sample(h, 3, torch.Generator().manual_seed(0)).sum().item())"
    )
    command = [sys.executable, "-c", code, str(unbroken / "prior.safetensors")]
    env = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    out = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert torch.isfinite(torch.tensor(float(out)))


def test_two_processes_give_the_loss_of_one(folder: Path, unbroken: Path) -> None:
    """The same global batches, split in two: DDP over gloo."""
    words = [*QUICK, "objective=regression", "sampler=one_step", "trainer.precision=32-true", "callbacks.ema=null"]
    # What a rank draws for itself, and negatives from within a rank, is all that may differ: left out here. Those of
    # the whole catalogue do not.
    words += ["objective.drop_history=0", "objective.drop_rating=0", "objective.answers=1"]
    words += ["retriever=item_identity_ensemble", "retriever.retriever.n=2", "scale=whiten", "distillation=retriever"]
    member = "retriever.retriever.retriever"
    words += [f"{member}.frequencies=8", f"{member}.loss.negatives.count=100000", f"{member}.loss.pairwise_weight=0"]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    for name, more in {
        "one": ["trainer=cpu"],
        "two": ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"],
    }.items():
        command = [sys.executable, str(ROOT / "train.py"), *words, *more, f"run_dir=runs/train/{name}"]
        subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, timeout=300)
    one, two = (read_metrics(folder / "runs/train" / name) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for key in ("world/val/prior/loss",):
        # Validation people are dealt to ranks in slices that may differ by one.
        assert two[key] == pytest.approx(one[key], rel=2e-3)
    one_prior, two_prior = (
        checkpoint.load(folder / "runs/train" / name / "prior.safetensors") for name in ("one", "two")
    )
    for name, value in one_prior.model.state_dict().items():
        torch.testing.assert_close(two_prior.model.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    # The scale was learned, and from the very pictures: along no direction do they vary more than along another.
    table = EmbeddingTable.open(next((folder / "embeddings/world").glob("*/manifest.json")).parent)
    pictures_ND = torch.from_numpy(table.vectors.astype("float32"))
    space = one_prior.model.prior.space
    for scale, least, most in ((one_prior.model.prior.scale, 0.9, 1.01), (Standardize(space=space), 4, 64)):
        assert least < torch.linalg.eigvalsh(scale.to_model(pictures_ND).T.cov()).max() < most


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sede=1"], "did you mean seed?"),
        (["prior=smal"], "did you mean small?"),
        (["prior.widht=3"], "did you mean width?"),
        (["+prior.widht=3"], "did you mean width?"),
        (["prior.width=wide"], "prior.width is 'wide'"),
        (["experiment=flickr"], "did you mean flickr_aes?"),
        (["data.order=tine"], "did you mean time?"),
        (["trainer.max_epoch=3"], "did you mean max_epochs?"),
        (["source=table"], "source.ratings has no value: add source.ratings=..."),
        (["run_dir=/dev/null/x"], "/dev/null"),
        (["prior._target_=os.nothing"], "prior._target_ is os.nothing: os.nothing cannot be imported"),
    ],
)
def test_wrong_words_are_answered_with_the_right_ones(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert expected in fails(monkeypatch, tmp_path, "train", *words)
    assert not list(tmp_path.glob("runs/train/*")), "a run that never began leaves no folder"


def options(group: str) -> list[str]:
    return sorted(p.stem for p in (conf_folder() / group).glob("*.yaml"))


@pytest.mark.parametrize(
    "word",
    [
        f"{group}={name}"
        for group in ("experiment", "source", "embeddings", "data", "scale", "prior", "retriever", "objective",
                      "distillation", "sampler", "optimizer",
                      "trainer", "logger", "callbacks", "debug")
        for name in options(group)
    ],
)  # fmt: skip
def test_every_config_composes_and_fits_its_constructors(word: str) -> None:
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="train_schema", node=TrainConfig)
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        cfg = compose("train", overrides=[word])
    try:
        check(cfg, TrainConfig)
    except ValueError as error:
        # What a person has to say for themselves may be missing; nothing else may be wrong.
        wrong = [line for line in str(error).splitlines()[1:] if "has no value: add source." not in line]
        assert not wrong, wrong


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with a GPU has what is asked for")
@pytest.mark.parametrize("words", [("trainer=gpu",), ("trainer.accelerator=cuda",)])
def test_a_device_that_is_not_there_is_named_with_what_to_do(monkeypatch, tmp_path, words):
    message = fails(monkeypatch, tmp_path, "train", *SMALL_WORLD, *words)
    assert "trainer=cpu" in message
