"""Training under Lightning: wiring, and nothing else."""

from collections.abc import Callable, Iterable
from typing import Any

import lightning
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from prefprior.history import PreferenceBatch
from prefprior.models.compatibility import require_compatible
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.distillation import AnswerLoss
from prefprior.models.objectives.objective import Objective
from prefprior.models.preparation import TrainingData, prepare_all
from prefprior.models.schedulers import Scheduler, WarmupCosine
from prefprior.seeding import seed_of

CALIBRATION = 1  # which of the validation loaders


class PreferenceModule(lightning.LightningModule):
    """Generator objective, retriever loss and distillation: losses logged, a random generator for each (seed, step).

    A generator per batch, instead of one that is carried along, makes a resumed run equal to an uninterrupted one to
    the bit, and every validation pass equal to the one before.
    """

    def __init__(
        self,
        *,
        model: PreferenceModel,
        objective: Objective,
        distillation: AnswerLoss | None = None,
        optimizer: Callable[[Iterable[Any]], Optimizer],
        scheduler: Scheduler | None = None,
        seed: int = 0,
        compile: bool = False,
    ) -> None:
        super().__init__()
        require_compatible(model, objective, distillation)
        self.model = model
        self.objective = objective
        self.distillation = distillation
        self.make_optimizer = optimizer
        self.scheduler = scheduler or WarmupCosine()
        self.seed = seed
        self.compile_prior = compile

    def setup(self, stage: str) -> None:
        """Compiles in place, so that weights keep their names."""
        if self.compile_prior:
            for network in self.model.networks():
                network.compile()

    def prepare(self, data: TrainingData) -> None:
        """Has every component learn what it must know of the training part, once, before training."""
        self.model.prepare(data)
        prepare_all([self.objective, self.distillation], data)

    def losses(self, batch: PreferenceBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """Weighted loss terms by name; their sum is the loss."""
        prior, retriever = self.model.prior, self.model.retriever
        history, conditions = self.objective.dropout(prior, batch, generator)
        users = self.model.encode(history)
        terms = self.objective.loss(prior, conditions.encode(prior, users.history), batch, generator)
        retrieved = None
        if retriever is not None:
            assert users.tokens_BIW is not None, "a retriever always has user tokens"
            retrieved = retriever.training_step(users.tokens_BIW, batch, generator)
            terms |= retrieved.terms
        if self.distillation is not None:
            terms |= self.distillation.loss(self.objective, prior, users.history, batch, retrieved, generator)  # type: ignore[arg-type]
        return terms

    def on_train_start(self) -> None:
        """Where a run was made longer, the first step's rate too is that of the longer schedule."""
        for config in self.trainer.lr_scheduler_configs:
            scheduler = config.scheduler
            assert isinstance(scheduler, LambdaLR)
            for group, base, factor in zip(scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas):
                group["lr"] = base * factor(scheduler.last_epoch)

    def training_step(self, batch: PreferenceBatch, batch_idx: int) -> Tensor:
        """One batch's loss."""
        generator = self._generator(1 + self.current_epoch, batch_idx)
        torch.manual_seed(generator.initial_seed())  # dropout draws from the global generator
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=len(batch))
        return self._log("train", self.losses(batch, generator), batch)

    def on_validation_epoch_start(self) -> None:
        """Both heads are calibrated anew on each validation pass."""
        if self.model.collaborative is not None:
            self.model.collaborative.blend.begin()
        if self.model.rating is not None:
            self.model.rating.mixture.begin()

    def validation_step(self, batch: PreferenceBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """The same loss on held-out users, with the same random numbers each time; the heads are calibrated on the
        second loader."""
        generator = self._generator(0, batch_idx)
        if dataloader_idx == CALIBRATION:
            self.model.calibrate(batch, generator)
        else:
            self._log("val", self.losses(batch, generator), batch)

    def configure_optimizers(self) -> Any:
        """Matrices decay, vectors and gains do not; the rate is scheduled over the run's true number of steps."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        matrices, vectors = [p for p in trained if p.ndim >= 2], [p for p in trained if p.ndim < 2]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        optimizer = self.make_optimizer([group for group in groups if group["params"]])
        scheduler = self.scheduler.attach(optimizer, self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clips as the trainer is told to; a fused optimizer as well, where Lightning would refuse without need.

        It takes every fused optimizer under mixed precision for one that still has gradients to unscale. In bf16
        nothing is scaled.
        """
        precision = self.trainer.precision_plugin
        if not isinstance(precision, MixedPrecision) or not gradient_clip_val:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif precision.scaler is None:
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
            super(MixedPrecision, precision).clip_gradients(optimizer, gradient_clip_val, algorithm)
        elif any(group.get("fused") for group in optimizer.param_groups):
            raise ValueError(
                f"trainer.precision={precision.precision} scales gradients, which a fused optimizer cannot "
                "clip: add optimizer.fused=false, or use trainer.precision=bf16-mixed"
            )
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _generator(self, round_: int, batch_idx: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed_of(self.seed, round_, batch_idx, self.global_rank))

    def _log(self, part: str, terms: dict[str, Tensor], batch: PreferenceBatch) -> Tensor:
        """Logs a batch's terms and returns their sum."""
        training, total = part == "train", torch.stack(list(terms.values())).sum()
        named = {f"{part}/{name}": value.detach() for name, value in {"loss": total, **terms}.items()}
        self.log_dict(
            named, on_step=training, on_epoch=not training, batch_size=len(batch), sync_dist=not training,
            add_dataloader_idx=False,
        )  # fmt: skip
        return total
