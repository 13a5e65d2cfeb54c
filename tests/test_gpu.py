"""On a GPU: training runs as shipped, and a model samples and ranks as it does on the CPU."""

from pathlib import Path

import pytest
import torch

from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.predictor import Catalogue
from prefprior.space import Space
from tests.commands import SMALL_WORLD, run
from tests.models.conftest import DIM, make_history, make_model, space

__all__ = ["space"]  # a fixture
pytestmark = pytest.mark.gpu


def predictor(space: Space, device: str) -> TrainedPredictor:
    model = make_model(space).to(device)
    return TrainedPredictor(model=model, objective=Denoising(schedule=CosineSchedule()), sampler=Sampler(steps=3))


def test_training_runs_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*SMALL_WORLD, "trainer=gpu", "debug=fast", "run_dir=runs/train/gpu")
    run(monkeypatch, tmp_path, "train", *words)
    assert (tmp_path / "runs/train/gpu/prior.safetensors").is_file()


def test_samples_agree_with_the_cpu(space: Space) -> None:
    history = make_history(5, 9)
    made = [
        predictor(space, device).sample(history, 4, torch.Generator().manual_seed(0)).cpu()
        for device in ("cpu", "cuda")
    ]
    torch.testing.assert_close(*made, rtol=1e-3, atol=1e-3)


def test_ranking_agrees_with_the_cpu(space: Space) -> None:
    history, raw_ND = make_history(5, 9), torch.randn(50, DIM, generator=torch.Generator().manual_seed(0))
    catalogue = Catalogue(space, [str(i) for i in range(50)], raw_ND)
    scores = [predictor(space, device).rank(history, catalogue).cpu() for device in ("cpu", "cuda")]
    torch.testing.assert_close(*scores, rtol=1e-3, atol=1e-3)
