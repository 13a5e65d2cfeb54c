"""Published weights as a start, from the command line: trained, resumed, saved, and sampled where they are no more."""

import io
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from lightning import Trainer
from safetensors.torch import load_file

from prefprior import checkpoint
from prefprior.callbacks.nan_guard import NanGuard
from tests.commands import fails, run
from tests.models.published import tiny_published

ROOT = Path(__file__).parents[3]
WORLD = ("source.people=240", "source.pictures=240", "data.batch_size=32", "data.epoch_batches=2",
         "data.draws.history_cap=8", "trainer.max_epochs=2", "trainer.enable_progress_bar=false")  # fmt: skip
START = ("prior=kandinsky", "prior.trained_in=null", "prior.pretrained=published")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pretrained")
    for name in ("published", "removable"):
        tiny_published(made / name / "prior", 64)
    tiny_published(made / "eclipse", 64, time=False)
    return made


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    """What a run printed that began with published weights, was interrupted in its second epoch, and resumed."""
    words = (*WORLD, *START, "prior.pretrained=removable", "run_dir=runs/train/resumed")

    def stop(self: NanGuard, trainer: Trainer, *rest: object) -> None:
        if trainer.global_step == 3:
            raise KeyboardInterrupt

    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NanGuard, "on_before_backward", stop)
        with redirect_stdout(printed):
            fails(patch, folder, "train", *words)
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "train", *words)
    return printed.getvalue()


@pytest.fixture(scope="module")
def resumed(folder: Path, said: str) -> Path:
    return folder / "runs/train/resumed"


@pytest.fixture(scope="module")
def published(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "removable/prior/diffusion_pytorch_model.safetensors")


def test_it_prints_which_weights_are_used_and_which_are_new(said: str) -> None:
    assert "weights used, 0 refused, 11 new" in said
    assert "  new target_rating.enter.bias" in said


def test_a_resumed_run_uses_its_own_weights(resumed: Path, published: dict[str, torch.Tensor]) -> None:
    trained = load_file(resumed / "prior.safetensors")
    moved = trained["prior.network.proj_in.weight"] - published["proj_in.weight"]
    assert 0 < moved.abs().max() < 0.1, "four steps from where it began"


def test_the_objective_is_that_of_the_published_weights(resumed: Path) -> None:
    assert checkpoint.load(resumed / "prior.safetensors").objective.config["prediction"] == "x0"


def test_the_scale_is_that_of_the_published_weights(resumed: Path, published: dict[str, torch.Tensor]) -> None:
    std_D = torch.from_numpy(checkpoint.load(resumed / "prior.safetensors").model.prior.space.std_D)
    torch.testing.assert_close(std_D, published["clip_std"][0])


def test_a_trained_checkpoint_does_not_need_the_published_weights(
    resumed: Path, folder: Path, published: object
) -> None:
    (folder / "removable").rename(folder / "removed")
    command = [sys.executable, str(ROOT / "sample.py"), "checkpoint=runs/train/resumed", "people=2", "n=2",
               "decoder=retrieval", "run_dir=runs/sample/it", "trainer.enable_progress_bar=false"]  # fmt: skip
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, timeout=300)
    assert len(list((folder / "runs/sample/it/gallery/people").iterdir())) == 2


def test_eclipse_samples_in_one_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*WORLD, "prior=eclipse", "prior.trained_in=null", "prior.pretrained=eclipse", "debug=fast")
    run(monkeypatch, folder, "train", *words, "run_dir=runs/train/eclipse")
    made = checkpoint.load(folder / "runs/train/eclipse/prior.safetensors")
    assert made.objective.one_step
    assert made.model.prior.network.time_embedding is None


def test_eclipse_takes_no_other_objective(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*WORLD, "prior=eclipse", "prior.trained_in=null", "prior.pretrained=eclipse", "objective=flow")
    assert "only works in one step" in fails(monkeypatch, folder, "train", *words)


def test_the_in_context_prior_trains_from_random_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, folder, "train", *WORLD, "prior=in_context", "debug=fast", "run_dir=runs/train/nothing")
    made = checkpoint.load(folder / "runs/train/nothing/prior.safetensors")
    assert made.model.prior.origin is None
    assert made.model.retriever is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["objective=flow"], "Give objective=diffusion_x0"),
        (["objective.schedule.shift=0.5"], "Give objective=diffusion_x0"),
        (["retriever=two_tower"], "retriever.encoder=own"),
        (["prior.trained_in=ViT-bigG-14/laion2b_s39b_b160k"], "were trained in the space ViT-bigG-14/laion2b"),
        (["prior.pretrained=nobody/nothing"], "hf download nobody/nothing prior/config.json prior/diffusion_pytorch_"),
        (["prior.pretrained=."], "contains no config.json"),
    ],
)
def test_incompatible_options_are_refused_before_training(
    words: list[str], expected: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = fails(monkeypatch, folder, "train", *WORLD, *START, *words, "run_dir=runs/train/wrong")
    assert expected in message
    assert not (folder / "runs/train/wrong").exists(), "a run that never began leaves no folder"
