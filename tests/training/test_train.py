"""Training as a user runs it: what a run leaves behind and reports, and what it says of wrong words."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from prefprior import checkpoint
from prefprior.config import check, conf_folder
from prefprior.runs import find_checkpoint, last_checkpoint, read_metrics
from prefprior.schemas import TrainConfig, with_default_experiment
from tests.commands import SMALL_WORLD, fails, run
from tests.training.runs import EPOCHS, QUICK, SHORT, equal, printed, weights


def test_a_run_reports_its_losses(unbroken: Path) -> None:
    figures = read_metrics(unbroken)
    assert figures["world/val/prior/loss"] > 0
    assert all(key.count("/") == 3 for key in figures)


def test_a_run_logs_every_epoch(unbroken: Path) -> None:
    assert pd.read_csv(unbroken / "metrics.csv")["val/loss"].notna().sum() == EPOCHS


def test_a_run_keeps_its_configuration(unbroken: Path) -> None:
    assert OmegaConf.load(unbroken / "config.yaml").source.people == 240


def test_a_run_prints_what_its_experiment_sets(begun: str) -> None:
    (line,) = [line for line in begun.splitlines() if line.startswith("experiment=world sets ")]
    assert "optimizer.lr=0.002" in line
    assert "data.batch_size" not in line, "the command sets it"
    assert "prior=world" not in line, "the command chose another"


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ([], ["experiment=world"]),
        (["source=world", "seed=1"], ["experiment=world", "source=world", "seed=1"]),
        (["--multirun", "seed=0,1"], ["--multirun", "experiment=world", "seed=0,1"]),
        (["source=table", "seed=1"], ["source=table", "seed=1"]),
        (["seed=1", "experiment=likes"], ["seed=1", "experiment=likes"]),
        (["+experiment=null"], ["+experiment=null"]),
    ],
)
def test_other_sources_do_not_use_the_worlds_settings(given: list[str], made: list[str]) -> None:
    assert with_default_experiment(given) == made


def test_best_and_last_weights_are_saved(unbroken: Path) -> None:
    losses = pd.read_csv(unbroken / "metrics.csv")["val/loss"].dropna()
    best = checkpoint.describe(unbroken / "best.safetensors")["facts"]["best"]
    assert best["value"] == pytest.approx(losses.min(), rel=1e-5)
    assert best["epoch"] == losses.reset_index(drop=True).idxmin()
    assert read_metrics(unbroken)["world/val/best/loss"] == best["value"]


def test_the_best_weights_are_the_ema_weights_that_were_validated(unbroken: Path) -> None:
    best = checkpoint.describe(unbroken / "best.safetensors")["facts"]["best"]
    assert best["epoch"] == EPOCHS - 1, "in so short a training the last epoch is the best"
    last = weights(unbroken)
    assert all(torch.equal(value, last[name]) for name, value in load_file(unbroken / "best.safetensors").items())


def test_the_best_weights_load_as_a_checkpoint(unbroken: Path) -> None:
    assert find_checkpoint(str(unbroken)) == unbroken / "prior.safetensors"
    assert checkpoint.load(find_checkpoint(str(unbroken / "best.safetensors"))).facts["steps"] == 3 * EPOCHS


def test_metrics_have_plain_names(unbroken: Path) -> None:
    columns = pd.read_csv(unbroken / "metrics.csv").columns
    assert "lr" in columns
    assert not [name for name in columns if "AdamW" in name]


def test_a_checkpoint_stores_its_space_and_its_training(unbroken: Path) -> None:
    saved = checkpoint.load(unbroken / "prior.safetensors")
    assert saved.model.prior.space.name == "world-clip"
    assert saved.facts["data"]["source"]["people"] == 240
    assert saved.facts["steps"] == 3 * EPOCHS


def test_the_same_seed_gives_the_same_weights(unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/again")
    assert equal(unbroken, folder / "runs/train/again")


def test_different_seeds_give_different_weights(unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/other", "seed=1")
    assert not equal(unbroken, folder / "runs/train/other")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sede=1"], "did you mean seed?"),
        (["prior=smal"], "did you mean small?"),
        (["prior.widht=3"], "did you mean width?"),
        (["+prior.widht=3"], "did you mean width?"),
        (["prior.width=wide"], "prior.width is 'wide'"),
        (["experiment=flickr"], "did you mean flickr_aes?"),
        (["data.draws.order=tine"], "did you mean time?"),
        (["trainer.max_epoch=3"], "did you mean max_epochs?"),
        (["source=table"], "source.ratings has no value: add source.ratings=..."),
        (["data.seed=1"], "data.seed has no effect: the command sets it itself"),
        (["trainer.logger=false"], "trainer.logger has no effect"),
        (["scheduler.final_lr=2"], "must be fractions between 0 and 1"),
        (["run_dir=/dev/null/x"], "/dev/null"),
        (["prior._target_=os.nothing"], "prior._target_ is 'os.nothing': os.nothing cannot be imported"),
    ],
)
def test_mistyped_keys_and_options_get_a_suggestion(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert expected in fails(monkeypatch, tmp_path, "train", *words)
    assert not list(tmp_path.glob("runs/train/*")), "a run that never began leaves no folder"


@pytest.fixture(scope="module")
def reported(folder: Path) -> tuple[Path, str]:
    """A run of one epoch that reports in every way there is, and what it printed."""
    words = (
        *SMALL_WORLD, "trainer.max_epochs=1", "trainer.accumulate_grad_batches=3", "trainer.profiler=simple",
        "trainer.enable_model_summary=true", "logger=tensorboard", "run_dir=runs/train/reported",
    )  # fmt: skip
    return folder / "runs/train/reported", printed(folder, *words)


def test_gradients_are_accumulated(reported: tuple[Path, str]) -> None:
    assert checkpoint.describe(reported[0] / "prior.safetensors")["facts"]["steps"] == 1


@pytest.mark.parametrize("shown", ["Profiler Report", "Trainable params"])
def test_progress_bar_and_model_summary_can_be_enabled(reported: tuple[Path, str], shown: str) -> None:
    assert shown in reported[1]


def test_without_a_terminal_one_line_per_epoch_is_printed(reported: tuple[Path, str]) -> None:
    (line,) = [line for line in reported[1].splitlines() if line.startswith("epoch ")]
    assert line.startswith("epoch 1/1: train/loss ")
    assert "val/loss " in line
    assert "\r" not in reported[1]


def test_tensorboard_has_metrics_and_hyperparameters(reported: tuple[Path, str]) -> None:
    assert list((reported[0] / "tensorboard").glob("events.out.tfevents.*"))
    logged = OmegaConf.load(reported[0] / "tensorboard/hparams.yaml")
    assert logged.optimizer.lr == 0.002
    assert logged.optimizer.eps == 1e-8, "defaults of constructors too"


def test_early_stopping_stops_and_prints_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*SHORT, "trainer.max_epochs=9", "callbacks=early_stopping", "run_dir=runs/train/early-stop",
             "callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1000")  # fmt: skip
    assert "stopped after epoch 1: Monitored metric val/loss did not improve" in printed(folder, *words)
    assert checkpoint.describe(folder / "runs/train/early-stop/prior.safetensors")["facts"]["steps"] == 6
    assert "holds a finished run" in fails(monkeypatch, folder, "train", *words)


def test_early_stopping_without_validation_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*QUICK, "callbacks=early_stopping", "trainer.limit_val_batches=0")
    assert "validation is off" in fails(monkeypatch, folder, "train", *words)


@pytest.fixture(scope="module")
def sweep(folder: Path) -> Path:
    """A sweep over two seeds."""
    printed(folder, "--multirun", *SHORT, "debug=fast", "seed=0,1", "run_dir=runs/train/sweep")
    return folder / "runs/train/sweep"


def test_runs_of_a_sweep_are_found_as_last_runs(sweep: Path) -> None:
    assert sorted(path.parent.name for path in sweep.rglob("prior.safetensors")) == ["0", "1"]


def test_the_last_run_is_never_a_debug_run(sweep: Path, unbroken: Path, folder: Path) -> None:
    assert not last_checkpoint(folder / "runs").is_relative_to(sweep)


def options(group: str) -> list[str]:
    return sorted(p.stem for p in (conf_folder() / group).glob("*.yaml"))


@pytest.mark.parametrize(
    "word",
    [
        f"{group}={name}"
        for group in ("experiment", "source", "embeddings", "data", "scale", "prior", "retriever", "objective",
                      "distillation", "sampler", "optimizer",
                      "scheduler", "trainer", "logger", "callbacks", "debug")
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
def test_a_missing_device_is_named_with_the_remedy(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    message = fails(monkeypatch, folder, "train", *SMALL_WORLD, *words)
    assert "trainer=cpu" in message
