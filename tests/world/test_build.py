"""Making the weights again: a training that was interrupted ends as one that was not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from prefprior.world.build import movq as build_movq
from prefprior.world.build.decoder import EMBEDDING, LatentReader, save_pipeline, train_unet
from prefprior.world.build.figures import load_decoder
from prefprior.world.build.movq import LATENT_CHANNELS, LATENT_SIDE, train_movq
from prefprior.world.build.progress import Progress
from prefprior.world.clip import WEIGHTS


class InterruptedTrainingError(Exception):
    """What stops a training in these tests."""


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> dict[str, int | None]:
    """Keeps every step, and stops after the one that is asked for."""
    stop: dict[str, int | None] = {"after": None}
    keep = Progress.keep

    def keep_and_stop(self: Progress, step: int) -> None:
        self.seconds = 0.0
        keep(self, step)
        if step == stop["after"]:
            raise InterruptedTrainingError

    monkeypatch.setattr(Progress, "keep", keep_and_stop)
    return stop


def unet(cache: Path) -> torch.nn.Module:
    """Three steps on a few random latents."""
    draws = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    return train_unet(
        cache=cache,
        latent_NLYX=torch.randn(6, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE, generator=draws),
        embedding_ND=torch.randn(6, EMBEDDING, generator=draws),
        reader=LatentReader().eval().requires_grad_(False),
        steps=3,
        batch=2,
    )


def movq(cache: Path) -> torch.nn.Module:
    """Three steps on a few random pictures."""
    pictures = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), dtype=np.uint8)
    return train_movq(pictures_NYXC=pictures, cache=cache, steps=3, batch=2)


@pytest.mark.parametrize("train", [unet, movq])
def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, stopping: dict[str, int | None], train: type
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    whole = train(tmp_path / "whole").state_dict()
    stopping["after"] = 2
    with pytest.raises(InterruptedTrainingError):
        train(tmp_path / "broken")
    stopping["after"] = None
    resumed = train(tmp_path / "broken").state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_trained_decoder_is_a_pipeline_on_disk(tmp_path: Path, stopping: dict[str, int | None]) -> None:
    (tmp_path / "cache").mkdir()
    assert WEIGHTS.is_file()
    save_pipeline(unet(tmp_path / "cache"), build_movq.make_movq(), tmp_path / "decoder")
    assert load_decoder(tmp_path / "decoder").unet.config.encoder_hid_dim == EMBEDDING
    assert not list(tmp_path.glob(".*"))
