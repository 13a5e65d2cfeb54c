"""A run whose numbers go bad stops with good weights on disk, and says where they are."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from prefprior.callbacks.nan_guard import NanGuard


class Breaks(LightningModule):
    def __init__(self, how: str, at: int) -> None:
        super().__init__()
        self.how, self.at = how, at
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        if self.global_step == self.at and self.how == "loss":
            return self.weight.sum() * float("nan")
        if self.global_step == self.at and self.how == "gradient":
            return (self.weight - self.weight.detach()).sqrt().sum()  # 0, with an infinite slope
        return self.weight.square().sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_the_last_checkpoint_is_finite(tmp_path: Path, how: str) -> None:
    keep = ModelCheckpoint(tmp_path, save_last=True, every_n_train_steps=2)
    trainer = Trainer(
        accelerator="cpu", max_steps=20, callbacks=[NanGuard(), keep], logger=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    model = Breaks(how, at=5)
    with pytest.raises(ValueError, match=r"at step 5 .* Last good checkpoint: .*last\.ckpt"):
        trainer.fit(model, DataLoader(torch.zeros(20, 1), batch_size=1))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert torch.isfinite(saved["state_dict"]["weight"]).all()
    assert torch.isfinite(model.weight).all(), "the step itself must not have been taken"


def test_weights_with_nan_are_not_saved() -> None:
    guard = NanGuard(every=1000)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(ValueError, match="the weight w is NaN or infinite"):
        guard.on_save_checkpoint(trainer, Breaks("", 0), {"state_dict": {"w": torch.tensor([float("inf")])}})


@pytest.mark.parametrize(("precision", "stops"), [("16-mixed", False), ("bf16-mixed", True)])
def test_infinite_gradients_are_ignored_under_fp16(precision: str, stops: bool) -> None:
    """The scaler begins too high on purpose: its first steps overflow, are skipped, and it halves its scale."""
    model, trainer = Breaks("", 0), Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    state = SimpleNamespace(
        global_step=0, precision=precision, current_epoch=0, checkpoint_callback=trainer.checkpoint_callback
    )
    model.weight.grad = torch.full((1,), torch.inf)
    guard, optimizer = NanGuard(), torch.optim.SGD(model.parameters())
    with pytest.raises(ValueError, match="a gradient is NaN") if stops else nullcontext():
        guard.on_before_optimizer_step(state, model, optimizer)
    with pytest.raises(ValueError, match="the loss is NaN"):
        guard.on_before_backward(state, model, torch.tensor(torch.nan))
