"""The scoreboard as a user runs it."""

import io
import re
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from prefprior import checkpoint
from prefprior.files import read_json, write_json
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.denoiser import DenoiserSize
from prefprior.models.prior.prior import Prior
from prefprior.runs import DATA, read_config, read_metrics
from prefprior.space import Space
from tests.commands import fails, run

SMALL = (
    "scoreboard.lengths=[2,null]",
    "scoreboard.samples=3",
    "scoreboard.ks=[5,20]",
    "scoreboard.controls=[permuted]",
)
TABLE = ("source=table", "source.ratings=r.csv", "source.embeddings=e.npy", "source.items=ids.txt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty people who like one half of sixty pictures each, and an untrained prior of their space."""
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(60, 6)).astype(np.float32)
    np.save(folder / "e.npy", raw)
    (folder / "ids.txt").write_text("".join(f"p{i}\n" for i in range(60)))
    lines = ["user,item,rating"]
    for user in range(80):
        taste = rng.normal(size=6)
        lines += [f"u{user},p{i},{int(raw[i] @ taste > 0)}" for i in rng.choice(60, 24, replace=False)]
    (folder / "r.csv").write_text("\n".join(lines) + "\n")
    space = Space.measure("e", raw)
    torch.manual_seed(0)
    for name in ("one", "two"):
        size = DenoiserSize(width=16, depth=1, heads=2)
        prior = Prior(space=space, width=16, depth=1, heads=2, denoiser=size)
        source = {"ratings": "r.csv", "embeddings": "e.npy", "items": "ids.txt"}
        checkpoint.save(
            folder / "runs" / "train" / name / "prior.safetensors",
            model=PreferenceModel(prior=prior),
            objective=Denoising(schedule=CosineSchedule()),
            sampler=Sampler(steps=2),
            facts={"steps": 0},
        )
        nodes = {
            "source": {"_target_": "prefprior.data.sources.table.TableSource", **source},
            "data": {
                "_target_": "prefprior.data.datamodule.PreferenceDataModule",
                "splits": {"_target_": "prefprior.data.splits.Splits"},
            },
        }
        write_json(folder / "runs" / "train" / name / DATA, nodes)
    return folder


@dataclass
class Finished:
    """What an evaluation left behind."""

    folder: Path
    printed: str
    figures: dict[str, float]
    intervals: dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def first(folder: Path) -> Finished:
    """Without arguments: the last checkpoint and the baselines, on its own data."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        run(patch, folder, "evaluate", *SMALL, "run_dir=runs/evaluate/first")
    here = folder / "runs" / "evaluate" / "first"
    return Finished(here, printed.getvalue(), read_metrics(here), read_json(here / "metrics_intervals.json"))


def test_the_last_line_names_the_folder(first: Finished) -> None:
    assert first.printed.strip().splitlines()[-1] == "folder: runs/evaluate/first"


def test_controls_are_printed(first: Finished) -> None:
    assert "+permuted" in first.printed


def test_every_metric_has_an_interval(first: Finished) -> None:
    assert first.figures.keys() <= first.intervals.keys()
    resampled = {key: bounds for key, bounds in first.intervals.items() if bounds["low"] is not None}
    outside = [key for key, bounds in resampled.items() if not bounds["low"] <= bounds["value"] <= bounds["high"]]
    assert not outside
    assert {key.split("/")[-1] for key in resampled} >= {"auc@2", "coverage_20@2", "fair_satisfied_20@all"}


def test_differences_are_written_with_the_metrics(first: Finished) -> None:
    assert first.intervals["table/unseen/prior-mean/auc@all"]["people"] > 0


def test_a_baseline_learns_this_taste(first: Finished) -> None:
    assert first.figures["table/unseen/svm/auc@all"] > 0.7


def test_prior_and_baselines_are_evaluated_and_only_a_world_has_an_oracle(first: Finished) -> None:
    rows = {key.split("/")[2] for key in first.figures}
    assert {"prior", "random", "wals", "rocchio+permuted"} <= rows
    assert "oracle" not in rows


def test_report_and_configuration_are_written(first: Finished) -> None:
    assert "<svg" in (first.folder / "report.html").read_text()
    assert (first.folder / "config.yaml").is_file()


def test_two_checkpoints_are_compared_by_paired_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("checkpoint=runs/train/one", "compare=runs/train/two", "predictors=[prior]", "run_dir=runs/evaluate/two")
    run(monkeypatch, folder, "evaluate", *SMALL, *words)
    intervals = read_json(folder / "runs" / "evaluate" / "two" / "metrics_intervals.json")
    assert "table/unseen/prior-compared/auc@all" in intervals


@pytest.fixture(scope="module")
def compared(folder: Path) -> Path:
    """An evaluation beside a prior that was trained on everybody."""
    shutil.copytree(folder / "runs/train/two", folder / "runs/train/all")
    nodes = read_json(folder / "runs/train/all" / DATA)
    nodes["data"]["splits"] |= {"val": 0.0, "test": 0.0}
    write_json(folder / "runs/train/all" / DATA, nodes)
    words = ("checkpoint=runs/train/one", "compare=runs/train/all", "predictors=[prior]", "run_dir=runs/evaluate/all")
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "evaluate", *SMALL, *words)
    return folder / "runs/evaluate/all"


def test_training_users_are_marked_in_the_metrics(compared: Path) -> None:
    rows = {key.split("/")[2] for key in read_json(compared / "metrics_intervals.json")}
    (label,) = {row for row in rows if row.startswith("compared")} - {row for row in rows if "+" in row}
    people = read_json(compared / "metrics_intervals.json")[f"table/unseen/{label}/auc@all"]["people"]
    assert re.fullmatch(r"compared \(trained on (\d+) of \1 people\)", label)
    assert people > 0
    assert f"prior-{label}" in rows
    assert "prior" in rows


def test_training_users_are_marked_in_the_report(compared: Path) -> None:
    assert "compared (trained on" in (compared / "report.html").read_text()


def test_another_split_does_not_make_training_users_unseen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("checkpoint=runs/train/one", "predictors=[prior]", "data.splits.seed=5", "run_dir=runs/evaluate/resplit")
    run(monkeypatch, folder, "evaluate", *SMALL, *words)
    assert "prior (trained on" in capsys.readouterr().out


def test_a_checkpoint_with_unavailable_training_data_is_marked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lone = folder / "lone.safetensors"
    shutil.copy(folder / "runs/train/two/prior.safetensors", lone)
    words = (
        "checkpoint=runs/train/one",
        "compare=lone.safetensors",
        "predictors=[prior]",
        "run_dir=runs/evaluate/lone",
    )
    run(monkeypatch, folder, "evaluate", *SMALL, *words)
    rows = {key.split("/")[2] for key in read_metrics(folder / "runs/evaluate/lone")}
    assert "compared (trained on other ratings)" in rows


TINY = ("prior=tiny", "trainer.max_epochs=1", "data.epoch_batches=2", "data.batch_size=8", "callbacks=default")
ON_REFINED = ("experiment=table", *TABLE[1:], "embeddings=wals", *TINY)


@pytest.fixture(scope="module")
def refined(folder: Path) -> Path:
    """Baselines alone, without a checkpoint; WALS exports the embeddings it refined."""
    words = (*TABLE, "predictors=[mean,wals]", "baselines.wals.export=refined", "run_dir=runs/evaluate/export")
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "evaluate", *SMALL, *words)
    return folder


def test_refined_embeddings_change_the_metrics(refined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*TABLE, "embeddings=wals", "predictors=[mean]", "run_dir=runs/evaluate/refined")
    run(monkeypatch, refined, "evaluate", *SMALL, *words)
    runs, key = refined / "runs" / "evaluate", "table/unseen/mean/auc@all"
    assert read_metrics(runs / "export")[key] != read_metrics(runs / "refined")[key]


def test_a_prior_trained_on_refined_embeddings_has_its_own_space(
    refined: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, refined, "train", *ON_REFINED, "run_dir=runs/refined/one")
    saved = checkpoint.load(refined / "runs" / "refined" / "one" / "prior.safetensors")
    assert saved.model.prior.space.name == "e+wals"


def test_missing_refined_embeddings_are_an_error_with_the_command(
    refined: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*ON_REFINED, "embeddings.folder=nowhere", "run_dir=runs/refined/two")
    message = fails(monkeypatch, refined, "train", *words)
    assert "python evaluate.py source=table source.ratings=r.csv" in message
    assert "baselines.wals.export=nowhere" in message


def test_baselines_alone_are_evaluated_on_the_data_of_the_last_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, folder, "evaluate", *SMALL, "predictors=[mean]", "run_dir=runs/evaluate/five")
    assert "table/unseen/mean/auc@all" in read_metrics(folder / "runs" / "evaluate" / "five")


def test_sampled_candidates_are_labelled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("predictors=[mean]", "scoreboard.sampled_candidates=20", "run_dir=runs/evaluate/six")
    run(monkeypatch, folder, "evaluate", *SMALL, *words)
    here = folder / "runs" / "evaluate" / "six"
    figures = read_metrics(here)
    assert {key.split("/")[1] for key in figures} == {"unseen (20 sampled candidates)"}
    assert "20 sampled candidates" in (here / "report.html").read_text()
    key = "table/unseen (20 sampled candidates)/mean/auc@all"
    assert read_json(here / "metrics_intervals.json")[key]["items"] == 60


def test_without_data_a_source_is_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "add source=" in fails(monkeypatch, tmp_path, "evaluate", "predictors=[mean]")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predictors=[prior,waals]",), "did you mean wals"),
        (("part=unsen",), "did you mean unseen"),
        (("checkpoint=nowhere",), "there is no checkpoint at nowhere"),
        (("predictors=[mean]", "compare=runs/train/two"), "add prior to predictors"),
        (("predictors=[mean]", "checkpoint=nowhere"), "there is no checkpoint at nowhere"),
        (("device=gpu",), "must be cpu, cuda"),
        (("device=cuda:99",), "there is no device"),
        (("decoder=retrieval",), "shows real pictures"),
        (("encoder=world",), "add decoder="),
        (("decoder=kandinsky",), "ViT-bigG-14/laion2b_s39b_b160k, but the prior generates embeddings of e"),
        (("decoder=retrieval", "decoding=null"), "with decoding=null nothing is decoded"),
        (("people=-1",), "people must be at least 3"),
        (("history_first=900",), "more than history_cap=512"),
        (("decoder.stepps=5",), "decoder.stepps is unknown"),
        (("baselines.wals.pul=3",), "did you mean pull"),
        (("source.raings=r.csv",), "did you mean ratings"),
        (("part=seen",), "train with data.splits.by=item"),
        (("scoreboard.controls=[odd]",), "controls must be"),
    ],
)
def test_invalid_arguments_are_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    assert message in fails(monkeypatch, folder, "evaluate", *words)


@pytest.fixture(scope="module")
def cold(folder: Path) -> Path:
    """A run that knows which items were rated; p7, p17, ... were not."""
    rated = (folder / "r.csv").read_text().splitlines()
    few = [line for line in rated if not line.split(",")[1].endswith("7")]
    (folder / "few.csv").write_text("\n".join(few) + "\n")
    retriever = ("retriever=item_identity_ensemble", "retriever.share=0.9")
    train = ("experiment=table", *TABLE[1:], "source.ratings=few.csv", *TINY, *retriever)
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "train", *train, "run_dir=runs/cold/one")
    return folder


@pytest.mark.parametrize("share", ["null", "0.0"])
def test_the_share_of_cold_start_items_can_be_changed(cold: Path, monkeypatch: pytest.MonkeyPatch, share: str) -> None:
    words = ("checkpoint=runs/cold/one", "predictors=[prior]", f"cold_start_share={share}", "source.ratings=r.csv")
    run(monkeypatch, cold, "evaluate", *SMALL, *words, f"run_dir=runs/evaluate/share_{share}")
    report = (cold / "runs" / "evaluate" / f"share_{share}" / "report.html").read_text()
    assert ("6 of 60, with a probability of 90% together" in report) == (share == "null")


def test_a_share_of_a_model_without_cold_start_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("checkpoint=runs/train/one", "cold_start_share=0.1", "run_dir=runs/evaluate/refused")
    assert "item_identity_ensemble" in fails(monkeypatch, folder, "evaluate", *SMALL, *words)


def test_a_catalogue_of_other_embeddings_is_refused_for_cold_start(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cold / "other").mkdir()
    np.save(cold / "other" / "e.npy", np.load(cold / "e.npy") * 1.01)
    words = ("checkpoint=runs/cold/one", "source.embeddings=other/e.npy", "run_dir=runs/evaluate/refused")
    assert "none of the 60" in fails(monkeypatch, cold, "evaluate", *SMALL, *words)


def test_ranking_by_samples_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("checkpoint=runs/train/one", "predictors=[prior]", "rank_by=samples", "run_dir=runs/evaluate/by_samples")
    run(monkeypatch, folder, "evaluate", *SMALL, *words)
    report = (folder / "runs" / "evaluate" / "by_samples" / "report.html").read_text()
    assert re.search(r"the prior ranks by\W.*samples", report)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rank_by=retriever",), "runs/train/one/prior.safetensors: rank_by=retriever, but"),
        (("rank_by=retreiver",), "did you mean retriever"),
        (("predictors=[mean]", "rank_by=samples"), "add prior to"),
        (("predictors=[mean]", "cold_start_share=0.1"), "add prior to"),
    ],
)
def test_invalid_ranking_settings_are_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    one = ("checkpoint=runs/train/one", "predictors=[prior]")  # trained without a retriever
    assert message in fails(monkeypatch, folder, "evaluate", *SMALL, *one, *words, "run_dir=runs/evaluate/refused")


@pytest.fixture(scope="module")
def tuned(folder: Path) -> Finished:
    """Baselines with three settings each, one of them given by the command."""
    printed, words = io.StringIO(), ("tune=3", "predictors=[mean,blend,ease]", "baselines.ease.strength=7")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        run(patch, folder, "evaluate", *TABLE, *words, *SMALL, "run_dir=runs/evaluate/tuned")
    here = folder / "runs" / "evaluate" / "tuned"
    return Finished(here, printed.getvalue(), read_metrics(here), read_json(here / "metrics_intervals.json"))


def test_the_choice_of_a_setting_is_printed_and_in_the_report(tuned: Finished) -> None:
    assert re.search(r"^blend: .*of 3 settings; by default", tuned.printed, re.MULTILINE)
    assert "blend tuned to" in (tuned.folder / "report.html").read_text()


def test_every_setting_that_was_tried_is_listed(tuned: Finished) -> None:
    found = read_json(tuned.folder / "tuning.json")
    assert found.keys() == {"how", "blend", "ease"}
    assert len(found["blend"]["trials"]) == 3
    assert tuned.figures["table/tuning/blend/tuned_for@all"] == found["blend"]["figure"]
    assert tuned.intervals["table/tuning/blend/tuned_for@all"]["low"] is None


def test_what_the_command_gives_is_not_tuned(tuned: Finished) -> None:
    trials = read_json(tuned.folder / "tuning.json")["ease"]["trials"]
    assert all("strength" not in trial["settings"] for trial in trials)


def test_the_runs_configuration_holds_the_chosen_settings(tuned: Finished) -> None:
    chosen, config = read_json(tuned.folder / "tuning.json"), read_config(tuned.folder)
    for name in ("blend", "ease"):
        assert config["baselines"][name].items() >= chosen[name]["settings"].items()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune=3", "predictors=[mean]"], "tune=3 has no effect"),
        (["tune_for=[auc]", "predictors=[ease]"], "add tune=20"),
        (["tune=3", "tune_for=[auk]", "predictors=[ease]"], "did you mean auc"),
    ],
)
def test_tuning_without_effect_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    assert message in fails(monkeypatch, folder, "evaluate", *TABLE, *words)
