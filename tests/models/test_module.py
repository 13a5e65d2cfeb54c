"""The training module: resuming and validating repeat to the bit, the schedule ends where the run ends."""

from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch.utils.data import DataLoader

from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.module import PreferenceModule
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.schedulers import WarmupCosine
from prefprior.space import Space
from tests.models.conftest import make_batch, make_model


class Batches(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> PreferenceBatch:
        return make_batch(seed=index)


def make_module(space: Space, **settings: Any) -> PreferenceModule:
    torch.manual_seed(0)
    return PreferenceModule(
        model=make_model(space, dropout=0.1).train(),
        objective=Denoising(schedule=LinearSchedule()),
        optimizer=partial(torch.optim.AdamW, lr=1e-2),
        **settings,
    )


def fit(
    module: PreferenceModule, folder: Path, epochs: int, resume: Path | None = None, **settings: Any
) -> lightning.Trainer:
    lightning.seed_everything(1, verbose=False)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=folder,
        enable_model_summary=False, **settings,
    )  # fmt: skip
    loader = DataLoader(Batches(), batch_size=None)
    trainer.fit(module, loader, loader, ckpt_path=resume)
    return trainer


def test_a_resumed_run_is_the_same_to_the_bit(space: Space, tmp_path: Path) -> None:
    whole = make_module(space)
    fit(whole, tmp_path, 4)
    # The schedule knows the whole run's length, so the first half stops early instead of being shorter.
    half = make_module(space)

    class Stop(lightning.Callback):
        def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            trainer.should_stop = trainer.current_epoch == 1

    trainer = fit(half, tmp_path, 4, callbacks=[Stop()])
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    resumed = make_module(space)
    fit(resumed, tmp_path, 4, resume=tmp_path / "half.ckpt")
    assert trainer.global_step == 8
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_validation_repeats_to_the_bit(space: Space, tmp_path: Path) -> None:
    module = make_module(space)
    loader = DataLoader(Batches(), batch_size=None)
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
        enable_checkpointing=False,
    )
    first, second = (trainer.validate(module, loader, verbose=False)[0] for _ in range(2))
    assert first == second
    assert set(first) == {f"val/{t}" for t in (
        "loss", "denoising", "score_softmax", "score_pairwise", "popularity_softmax", "popularity_pairwise",
    )}  # fmt: skip


def test_the_learning_rate_schedule_spans_the_true_number_of_steps(space: Space, tmp_path: Path) -> None:
    rates = []

    class Watch(lightning.Callback):
        def on_train_batch_start(self, trainer: lightning.Trainer, *rest: Any) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    fit(make_module(space, scheduler=WarmupCosine(warmup=0.25, final_lr=0.1)), tmp_path, 4, callbacks=[Watch()])
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert max(rates) == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.001, rel=0.2)
    assert all(a >= b for a, b in pairwise(rates[3:]))


def test_vectors_have_no_weight_decay(space: Space, tmp_path: Path) -> None:
    trainer = fit(make_module(space), tmp_path, 1)
    matrices, vectors = trainer.optimizers[0].param_groups
    assert all(p.ndim >= 2 for p in matrices["params"])
    assert all(p.ndim < 2 for p in vectors["params"])
    assert vectors["weight_decay"] == 0 < matrices["weight_decay"]


def test_training_noise_depends_on_step_and_seed(space: Space) -> None:
    module = make_module(space)
    first = torch.rand(3, generator=module._generator(1, 0))
    assert not torch.equal(first, torch.rand(3, generator=module._generator(1, 1)))
    assert not torch.equal(first, torch.rand(3, generator=make_module(space, seed=1)._generator(1, 0)))
    assert torch.equal(first, torch.rand(3, generator=make_module(space)._generator(1, 0)))


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_of_a_fused_optimizer_are_clipped_in_bf16(space: Space, tmp_path: Path, algorithm: str) -> None:
    """Lightning takes every fused optimizer under mixed precision for one whose gradients are still scaled."""
    seen = []

    class Watch(lightning.Callback):
        def on_train_batch_end(
            self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *rest: Any
        ) -> None:
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            largest = max(float(g.abs().max()) for g in gradients)
            seen.append({"norm": float(torch.stack([g.norm() for g in gradients]).norm()), "value": largest})

    module = make_module(space)
    module.make_optimizer = partial(torch.optim.AdamW, lr=1e-3, fused=True)
    settings = {"gradient_clip_val": 0.01, "gradient_clip_algorithm": algorithm, "callbacks": [Watch()]}
    fit(module, tmp_path, 1, precision="bf16-mixed", **settings)
    assert max(found[algorithm] for found in seen) <= 0.0101


def test_a_fused_optimizer_with_gradient_scaling_is_refused_with_the_remedy(space: Space) -> None:
    module = make_module(space)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    trainer: Any = SimpleNamespace(precision_plugin=MixedPrecision("16-mixed", "cpu"))
    module._trainer = trainer
    with pytest.raises(ValueError, match=r"optimizer\.fused=false"):
        module.configure_gradient_clipping(optimizer, 1.0, "norm")
