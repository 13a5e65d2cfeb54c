"""Training as a user runs it: what a run leaves behind, that it resumes to the bit, and what it says of wrong words."""

import fcntl
import io
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
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
from prefprior.files import LOCK
from prefprior.models.scale import Standardize
from prefprior.models.schedulers import WarmupCosine
from prefprior.runs import find_checkpoint, last_checkpoint, read_metrics
from prefprior.schemas import TrainConfig, with_default_experiment
from tests.commands import SMALL_WORLD, fails, run

ROOT = Path(__file__).parents[1]
EPOCHS = 3
SHORT = (*SMALL_WORLD, "trainer.enable_progress_bar=false", "trainer.log_every_n_steps=1")
QUICK = (*SHORT, f"trainer.max_epochs={EPOCHS}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all, so that the world's pictures are embedded once."""
    return tmp_path_factory.mktemp("train")


def printed(folder: Path, *words: str) -> str:
    """What a training prints."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        run(patch, folder, "train", *words)
    return said.getvalue()


@pytest.fixture(scope="module")
def begun(folder: Path) -> str:
    """What a whole training prints."""
    return printed(folder, *QUICK, "run_dir=runs/train/unbroken")


@pytest.fixture(scope="module")
def unbroken(begun: str, folder: Path) -> Path:
    return folder / "runs/train/unbroken"


def weights(run_folder: Path) -> dict[str, torch.Tensor]:
    return load_file(run_folder / "prior.safetensors")


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_reports_its_losses(unbroken: Path) -> None:
    figures = read_metrics(unbroken)
    assert figures["world/val/prior/loss"] > 0
    assert all(key.count("/") == 3 for key in figures)


def test_a_run_logs_every_epoch(unbroken: Path) -> None:
    assert pd.read_csv(unbroken / "metrics.csv")["val/loss"].notna().sum() == EPOCHS


def test_a_run_keeps_its_configuration(unbroken: Path) -> None:
    assert OmegaConf.load(unbroken / "config.yaml").source.people == 240


def test_a_run_says_what_its_experiment_sets(begun: str) -> None:
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
def test_the_worlds_settings_are_no_default_for_other_data(given: list[str], made: list[str]) -> None:
    assert with_default_experiment(given) == made


def test_the_best_weights_are_kept_beside_the_last(unbroken: Path) -> None:
    losses = pd.read_csv(unbroken / "metrics.csv")["val/loss"].dropna()
    best = checkpoint.describe(unbroken / "best.safetensors")["facts"]["best"]
    assert best["value"] == pytest.approx(losses.min(), rel=1e-5)
    assert best["epoch"] == losses.reset_index(drop=True).idxmin()
    assert read_metrics(unbroken)["world/val/best/loss"] == best["value"]


def test_the_best_weights_are_the_averaged_ones_that_were_validated(unbroken: Path) -> None:
    best = checkpoint.describe(unbroken / "best.safetensors")["facts"]["best"]
    assert best["epoch"] == EPOCHS - 1, "in so short a training the last epoch is the best"
    last = weights(unbroken)
    assert all(torch.equal(value, last[name]) for name, value in load_file(unbroken / "best.safetensors").items())


def test_the_best_weights_are_a_checkpoint_as_any_other(unbroken: Path) -> None:
    assert find_checkpoint(str(unbroken)) == unbroken / "prior.safetensors"
    assert checkpoint.load(find_checkpoint(str(unbroken / "best.safetensors"))).facts["steps"] == 3 * EPOCHS


def test_metrics_have_plain_names(unbroken: Path) -> None:
    columns = pd.read_csv(unbroken / "metrics.csv").columns
    assert "lr" in columns
    assert not [name for name in columns if "AdamW" in name]


def test_a_checkpoint_knows_its_space_and_its_training(unbroken: Path) -> None:
    saved = checkpoint.load(unbroken / "prior.safetensors")
    assert saved.model.prior.space.name == "world-clip"
    assert saved.facts["data"]["source"]["people"] == 240
    assert saved.facts["steps"] == 3 * EPOCHS


def test_the_same_seed_gives_the_same_weights(unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/again")
    assert equal(unbroken, folder / "runs/train/again")


def test_another_seed_gives_other_weights(unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/other", "seed=1")
    assert not equal(unbroken, folder / "runs/train/other")


def interrupted_at(step: int, folder: Path, *words: str) -> str:
    """The message of a training that is interrupted at a step."""

    def stop(self: NanGuard, trainer: Trainer, *rest: object) -> None:
        if trainer.global_step == step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NanGuard, "on_before_backward", stop)
        return fails(patch, folder, "train", *words)


@pytest.fixture(scope="module")
def broken(folder: Path) -> tuple[Path, str]:
    """A run interrupted in the middle of its third epoch, and what it said."""
    message = interrupted_at(7, folder, *QUICK, "run_dir=runs/train/broken")
    return folder / "runs/train/broken", message


@pytest.fixture(scope="module")
def resumed(broken: tuple[Path, str], folder: Path) -> tuple[Path, str]:
    """The same, gone on with to the end in a copy of its folder, and what was printed."""
    shutil.copytree(broken[0], folder / "runs/train/resumed")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        run(patch, folder, "train", *QUICK, "run_dir=runs/train/resumed")
    return folder / "runs/train/resumed", printed.getvalue()


def test_an_interrupted_run_says_how_to_go_on(broken: tuple[Path, str]) -> None:
    for words in ("python train.py", "run_dir=runs/train/broken", "To go on after epoch 1"):
        assert words in broken[1]


def test_an_interrupted_run_keeps_its_last_epoch(broken: tuple[Path, str]) -> None:
    assert torch.load(broken[0] / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6


def test_an_unfinished_run_is_never_taken_for_a_finished_one(broken: tuple[Path, str]) -> None:
    assert not (broken[0] / "prior.safetensors").exists()


def test_an_interrupted_run_does_not_go_on_with_other_words(
    broken: tuple[Path, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*QUICK, "run_dir=runs/train/broken", "optimizer.lr=0.5")
    assert "begun with other" in fails(monkeypatch, folder, "train", *words)


def test_a_resumed_run_says_where_it_goes_on(resumed: tuple[Path, str]) -> None:
    assert "going on in runs/train/resumed after epoch 1" in resumed[1]


def test_a_resumed_run_has_the_weights_of_an_unbroken_one(resumed: tuple[Path, str], unbroken: Path) -> None:
    assert equal(unbroken, resumed[0])


def test_a_resumed_run_has_the_best_weights_of_an_unbroken_one(resumed: tuple[Path, str], unbroken: Path) -> None:
    one, other = (load_file(folder / "best.safetensors") for folder in (unbroken, resumed[0]))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_resumed_run_keeps_one_checkpoint(resumed: tuple[Path, str]) -> None:
    assert [file.name for file in (resumed[0] / "checkpoints").iterdir()] == ["last.ckpt"]


def test_a_resumed_run_keeps_what_was_logged_before(resumed: tuple[Path, str]) -> None:
    assert pd.read_csv(resumed[0] / "metrics.csv")["val/loss"].notna().sum() == EPOCHS


def test_a_finished_run_is_not_trained_again(unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = fails(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/unbroken")
    assert "holds a finished run" in message


@pytest.fixture(scope="module")
def longer(unbroken: Path, folder: Path) -> tuple[Path, str]:
    """A finished run that was made longer, in a copy of its folder, and what was printed."""
    shutil.copytree(unbroken, folder / "runs/train/longer")
    words = (*SHORT, f"trainer.max_epochs={EPOCHS + 1}", "run_dir=runs/train/longer")
    return folder / "runs/train/longer", printed(folder, *words)


def test_a_finished_run_can_be_made_longer(longer: tuple[Path, str]) -> None:
    assert checkpoint.describe(longer[0] / "prior.safetensors")["facts"]["steps"] == 3 * (EPOCHS + 1)
    assert pd.read_csv(longer[0] / "metrics.csv")["val/loss"].notna().sum() == EPOCHS + 1


def test_a_longer_run_says_what_becomes_of_the_learning_rate(longer: tuple[Path, str]) -> None:
    schedule = WarmupCosine()
    rate = schedule.factor(3 * EPOCHS, 3 * (EPOCHS + 1))
    assert f"it was begun for {EPOCHS} epochs and now has {EPOCHS + 1} epochs" in longer[1]
    assert f"at {rate:.3g} of its peak (at this step the former's is 0.02)" in longer[1]


def test_a_longer_run_trains_at_that_rate_from_its_first_step(longer: tuple[Path, str]) -> None:
    rows = pd.read_csv(longer[0] / "metrics.csv").dropna(subset="lr")
    logged = dict(zip(rows["step"], rows["lr"], strict=True))
    schedule = WarmupCosine()
    for step in range(3 * EPOCHS, 3 * (EPOCHS + 1)):
        assert logged[step] == pytest.approx(2e-3 * schedule.factor(step, 3 * (EPOCHS + 1)))


def test_a_longer_run_is_again_a_finished_one(
    longer: tuple[Path, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*QUICK, "run_dir=runs/train/longer")
    assert "To make it longer, give more trainer.max_epochs" in fails(monkeypatch, folder, "train", *words)


def test_a_finished_run_without_what_it_goes_on_from_names_a_warm_start(
    unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(unbroken, folder / "runs/train/bare", ignore=shutil.ignore_patterns("checkpoints"))
    message = fails(monkeypatch, folder, "train", *SHORT, "trainer.max_epochs=9", "run_dir=runs/train/bare")
    assert "init_from=runs/train/bare starts from its weights" in message


def test_a_run_starts_from_the_weights_of_another(unbroken: Path, folder: Path) -> None:
    words = (*SHORT, "debug=fast", "optimizer.lr=0", "callbacks.ema=null", "run_dir=runs/train/warm")
    assert "starting from the weights of runs/train/unbroken/prior" in printed(
        folder, *words, "init_from=runs/train/unbroken"
    )
    assert equal(unbroken, folder / "runs/train/warm"), "at a learning rate of 0 they stay"


@pytest.fixture(scope="module")
def late(unbroken: Path, folder: Path) -> Path:
    """A run that died after its last epoch, and was run again."""
    late = folder / "runs/train/late"
    shutil.copytree(unbroken, late)
    for name in ("prior.safetensors", "metrics.json", "metrics.csv"):
        (late / name).unlink()
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "train", *QUICK, "run_dir=runs/train/late")
    return late


def test_a_run_that_died_after_its_last_epoch_has_the_averaged_weights(late: Path, unbroken: Path) -> None:
    assert equal(unbroken, late)


@pytest.mark.parametrize("name", ["metrics.json", "metrics.csv"])
def test_a_run_that_died_after_its_last_epoch_has_all_figures(late: Path, unbroken: Path, name: str) -> None:
    assert (late / name).read_bytes() == (unbroken / name).read_bytes()


def test_the_figures_of_a_run_are_there_before_it_counts_as_finished(
    unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    shutil.copytree(unbroken, folder / "runs/train/dies")
    for name in ("prior.safetensors", "metrics.json"):
        (folder / "runs/train/dies" / name).unlink()
    monkeypatch.setattr(checkpoint, "save", dies)
    with pytest.raises(SystemExit):
        run(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/dies")
    assert read_metrics(folder / "runs/train/dies") == read_metrics(unbroken)


def test_a_second_training_in_a_folder_is_refused(
    broken: tuple[Path, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(broken[0] / LOCK, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        message = fails(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/broken")
    assert "is writing into" in message
    assert "choose another run_dir" in message


def test_a_command_that_could_not_begin_does_not_bind_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["experiment=table", "run_dir=runs/train/mine"]
    fails(monkeypatch, tmp_path, "train", *words, "source.ratings=nowhere.csv")
    assert not (tmp_path / "runs/train/mine/config.yaml").exists()


@pytest.fixture(scope="module")
def early(folder: Path) -> str:
    """The message of a run that was interrupted in its first epoch."""
    return interrupted_at(0, folder, *QUICK, "run_dir=runs/train/early")


def test_a_run_interrupted_in_its_first_epoch_says_that_it_must_begin_again(early: str) -> None:
    assert "No epoch was finished. To begin again" in early


def test_a_run_interrupted_in_its_first_epoch_begins_again_and_says_so(
    early: str, unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, folder, "train", *QUICK, "run_dir=runs/train/early")
    assert "interrupted before its first epoch was finished: beginning again" in capsys.readouterr().out
    assert equal(unbroken, folder / "runs/train/early")


def test_bf16_on_a_cpu_learns_much_the_same(unbroken: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "train", *QUICK, "trainer.precision=bf16-mixed", "run_dir=runs/train/bf16")
    one, other = read_metrics(unbroken), read_metrics(folder / "runs/train/bf16")
    assert other["world/val/prior/loss"] == pytest.approx(one["world/val/prior/loss"], rel=5e-3)
    loaded = checkpoint.load(folder / "runs/train/bf16/prior.safetensors")
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


# What a rank draws for itself, and negatives from within a rank, is all that may differ: left out here. Those of the
# whole catalogue do not.
MEMBER = "retriever.retriever.retriever"
SAME_DRAWS = (
    *QUICK, "objective=regression", "sampler=one_step", "trainer.precision=32-true", "callbacks.ema=null",
    "objective.drop_history=0", "objective.drop_rating=0", "objective.answers=1",
    "retriever=item_identity_ensemble", "retriever.retriever.n=2", "scale=whiten", "distillation=retriever",
    f"{MEMBER}.frequencies=8", f"{MEMBER}.loss.negatives.count=100000", f"{MEMBER}.loss.pairwise_weight=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def one_and_two(folder: Path, unbroken: Path) -> tuple[Path, Path]:
    """The same global batches in one process, and split in two: DDP over gloo."""
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    for name, trainer in {
        "one": ["trainer=cpu"],
        "two": ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"],
    }.items():
        command = [sys.executable, str(ROOT / "train.py"), *SAME_DRAWS, *trainer, f"run_dir=runs/train/{name}"]
        subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, timeout=300)
    return folder / "runs/train/one", folder / "runs/train/two"


def test_two_processes_give_the_loss_of_one(one_and_two: tuple[Path, Path]) -> None:
    one, two = (read_metrics(path) for path in one_and_two)
    assert one.keys() == two.keys()
    # Validation people are dealt to ranks in slices that may differ by one.
    assert two["world/val/prior/loss"] == pytest.approx(one["world/val/prior/loss"], rel=2e-3)


def test_two_processes_give_the_weights_of_one(one_and_two: tuple[Path, Path]) -> None:
    one, two = (weights(path) for path in one_and_two)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)


def test_a_whitening_scale_is_learned_from_the_items(one_and_two: tuple[Path, Path], folder: Path) -> None:
    """Along no direction do they vary more than along another; standardised, they do."""
    table = EmbeddingTable.open(next((folder / "embeddings/world").glob("*/manifest.json")).parent)
    items_ND = torch.from_numpy(table.vectors.astype("float32"))
    prior = checkpoint.load(one_and_two[0] / "prior.safetensors").model.prior
    for scale, least, most in ((prior.scale, 0.9, 1.01), (Standardize(space=prior.space), 4, 64)):
        assert least < torch.linalg.eigvalsh(scale.to_model(items_ND).T.cov()).max() < most


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
        (["scheduler.final_lr=2"], "final_lr are shares of 1"),
        (["run_dir=/dev/null/x"], "/dev/null"),
        (["prior._target_=os.nothing"], "prior._target_ is 'os.nothing': os.nothing cannot be imported"),
    ],
)
def test_wrong_words_are_answered_with_the_right_ones(
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
def test_what_lightning_was_asked_to_show_is_shown(reported: tuple[Path, str], shown: str) -> None:
    assert shown in reported[1]


def test_without_a_terminal_there_is_a_line_an_epoch(reported: tuple[Path, str]) -> None:
    (line,) = [line for line in reported[1].splitlines() if line.startswith("epoch ")]
    assert line.startswith("epoch 1/1: train/loss ")
    assert "val/loss " in line
    assert "\r" not in reported[1]


def test_tensorboard_has_the_figures_and_the_hyperparameters(reported: tuple[Path, str]) -> None:
    assert list((reported[0] / "tensorboard").glob("events.out.tfevents.*"))
    logged = OmegaConf.load(reported[0] / "tensorboard/hparams.yaml")
    assert logged.optimizer.lr == 0.002
    assert logged.optimizer.eps == 1e-8, "defaults of constructors too"


def test_early_stopping_stops_and_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*SHORT, "trainer.max_epochs=9", "callbacks=early_stopping", "run_dir=runs/train/early-stop",
             "callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1000")  # fmt: skip
    assert "stopped after epoch 1: Monitored metric val/loss did not improve" in printed(folder, *words)
    assert checkpoint.describe(folder / "runs/train/early-stop/prior.safetensors")["facts"]["steps"] == 6
    assert "holds a finished run" in fails(monkeypatch, folder, "train", *words)


def test_early_stopping_without_validation_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*QUICK, "callbacks=early_stopping", "trainer.limit_val_batches=0")
    assert "nothing is validated" in fails(monkeypatch, folder, "train", *words)


@pytest.fixture(scope="module")
def sweep(folder: Path) -> Path:
    """A sweep over two seeds."""
    printed(folder, "--multirun", *SHORT, "debug=fast", "seed=0,1", "run_dir=runs/train/sweep")
    return folder / "runs/train/sweep"


def test_a_sweep_lies_where_runs_are_looked_for(sweep: Path) -> None:
    assert sorted(path.parent.name for path in sweep.rglob("prior.safetensors")) == ["0", "1"]


def test_a_debug_run_is_not_the_last_run(sweep: Path, unbroken: Path, folder: Path) -> None:
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
def test_a_device_that_is_not_there_is_named_with_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    message = fails(monkeypatch, folder, "train", *SMALL_WORLD, *words)
    assert "trainer=cpu" in message
