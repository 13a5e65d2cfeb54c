"""Whatever is typed: one message that says what was given and what is allowed, and never a traceback."""

from pathlib import Path

import pytest

from tests.commands import fails

GROUPS = "choose an option by its name"
EMPTY = "is empty: give a value, or"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train experiment=null", f"experiment=null: {GROUPS} (app, flickr_aes, likes,"),
        ("train callbacks=null", f"callbacks=null: {GROUPS} (default, early_stopping, gallery)"),
        ("train prior=5", f"prior=5: {GROUPS}"),
        ("sample decoder=true", f"decoder=true: {GROUPS}"),
        ("train experiment=", f"experiment=: {GROUPS}"),
        ("train experiment=wrld", "did you mean world?"),
        ("train ~source", "source has no value: add source=..."),
        ("sample ~trainer", "trainer has no value: add trainer=..."),
        ("sample ~n", "n cannot be removed: leave ~n out"),
        ("train =1", "=1: the key before `=` is missing"),
        ("sample @x=1", "@x=1: the key before `=` is missing"),
        ("sample n", "missing EQUAL"),
        ("sample prompt=a,b", "Quote text for the shell and for Hydra"),
        ("sample prompt=ü", "Quote text for the shell and for Hydra"),
        ("sample nn=1", "did you mean n?"),
        ("sample n=two", "Value 'two' of type 'str' could not be converted to Integer"),
        ("sample n=[1]", "could not be converted to Integer"),
        ("sample n=1.5", "could not be converted to Integer"),
        ("sample n=null", "field 'n' is not Optional"),
        ("sample n=???", "n has no value: add n=..."),
        ("sample diversity=nan", "diversity is nan; it must be a finite number"),
        ("sample guidance_history=nan", "guidance_history is nan; it must be a finite number"),
        ("sample guidance_rating=-inf", "guidance_rating is -inf; it must be a finite number"),
        ("sample copy_threshold=nan", "copy_threshold is nan; it must be a finite number"),
        ("sample run_dir=", f"run_dir {EMPTY}"),
        ("sample trainer.logger=true", "trainer.logger has no effect: the command sets it itself"),
        ("embed trainer.enable_checkpointing=true", "trainer.enable_checkpointing has no effect"),
        ("sample likes=", f"likes {EMPTY}"),
        ("sample checkpoint=", f"checkpoint {EMPTY}"),
        ("sample source.root=", f"source.root {EMPTY}"),
        ("sample users=[]", "users must be ids, unseen or all"),
        ("sample users={a:1}", "users must be ids, unseen or all"),
        ("sample trainer._target_=os.nothing", "os.nothing"),
        ("sample trainer.devices=null", "trainer.devices is None; lightning.Trainer wants"),
        ("sample trainer.precision=99", "trainer.precision is 99; lightning.Trainer wants"),
        ("sample --resolve", "--resolve flag can only be used"),
        ("evaluate scoreboard=null", "scoreboard is None: choose an option"),
        ("evaluate scoreboard=5", "scoreboard is 5: choose an option"),
        ("evaluate scoreboard.ks=5", "scoreboard.ks is 5;"),
        ("evaluate scoreboard.lengths=[x]", "scoreboard.lengths is ['x'];"),
        ("evaluate scoreboard.controls=permuted", "scoreboard.controls is 'permuted';"),
        ("evaluate baselines=5", "baselines is 5, but it maps names to parts"),
        ("evaluate baselines.mean=5", "baselines.mean is 5: choose an option"),
        ("evaluate baselines.mean=null predictors=[mean]", "a predictor is 'mean'; it must be one of prior, random"),
        ("evaluate predictors=[mean,mean]", "name each only once"),
        ("evaluate history_share=nan", "history_share is nan; it must be a finite number"),
        ("train callbacks.ema=5", "callbacks.ema is 5: choose an option"),
        ("train logger.mine=5", "logger.mine is 5: choose an option"),
        ("train objective.schedule=5", "objective.schedule is 5;"),
        ("train sampler.solver._target_=prefprior.models.diffusion.schedules.CosineSchedule", "wants Solver | None"),
        ("train optimizer.lr=nan", "optimizer.lr is nan; it must be a finite number"),
        ("train optimizer.betas=[0.9]", "optimizer.betas is [0.9];"),
        ("train data.splits=5", "data.splits is 5;"),
        ("embed source=world encoder=null", f"encoder=null: {GROUPS}"),
        ("embed source=world encoder=world max_bad=nan", "max_bad is nan; it must be a finite number"),
        ("shard source=world data=null", f"data=null: {GROUPS}"),
        ("shard source=world shard_megabytes=inf", "shard_megabytes is inf; it must be a finite number"),
    ],
)
def test_invalid_arguments_are_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, message: str
) -> None:
    command, *rest = words.split(" ")
    assert message in fails(monkeypatch, tmp_path, command, *rest)


@pytest.mark.parametrize("word", ["run_dir=.", "run_dir="])
def test_the_working_directory_is_unchanged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str) -> None:
    """Hydra makes a run's folder before the words are checked, and what was refused leaves none."""
    fails(monkeypatch, tmp_path, "sample", word, "users=[]")
    assert tmp_path.is_dir()


def test_a_refused_command_leaves_no_run_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fails(monkeypatch, tmp_path, "sample", "users=[]", "run_dir=made")
    assert not (tmp_path / "made").exists()
