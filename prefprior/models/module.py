"""Training under Lightning: wiring, and nothing else."""

import math
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
from prefprior.models.objectives.objective import LossTerms, Objective
from prefprior.models.prior.network import Backbone


class PreferenceModule(lightning.LightningModule):
    """A prior and its objective: losses logged, every draw from a generator of its own (seed, step).

    A generator per batch, not one that is carried along, is what makes a resumed run equal to one that was never
    interrupted, to the bit, and every validation pass equal to the one before.
    """

    def __init__(
        self,
        *,
        prior: Backbone,
        objective: Objective,
        optimizer: Callable[[Iterable[Any]], Optimizer],
        warmup: float = 0.05,
        final_lr: float = 0.02,
        seed: int = 0,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= warmup < 1 or not 0 <= final_lr <= 1:
            raise ValueError(f"warmup and final_lr are shares of 1, got {warmup} and {final_lr}")
        self.prior = prior
        self.objective = objective
        self.make_optimizer = optimizer
        self.warmup = warmup
        self.final_lr = final_lr
        self.seed = seed
        self.compile_prior = compile

    def setup(self, stage: str) -> None:
        """Shows the objective the catalogue, freezes what it does not train, compiles in place (weights keep names)."""
        rank = self.objective.rank
        if (rank is None or not rank.trains_scores) and self.prior.scores is not None:
            self.prior.scores.freeze()  # DDP would wait for their gradients
        data = getattr(self.trainer, "datamodule", None)
        if data is not None and rank is not None:
            counts_N = torch.as_tensor(data.item_counts(), dtype=torch.long)
            rank.use_catalogue(data.catalogue.embeddings_ND, counts_N)
        if self.compile_prior:
            for network in self.prior.networks():
                network.compile()

    def training_step(self, batch: PreferenceBatch, batch_idx: int) -> Tensor:
        """One batch's loss."""
        found = self.objective.loss(self.prior, batch, self._generator(1 + self.current_epoch, batch_idx))
        self._log("train", found, batch)
        return found.total

    def validation_step(self, batch: PreferenceBatch, batch_idx: int) -> None:
        """The same loss on people held out, with the same draws each time."""
        self._log("val", self.objective.loss(self.prior, batch, self._generator(0, batch_idx)), batch)

    def configure_optimizers(self) -> Any:
        """Matrices decay, vectors and gains do not; warm-up and cosine over the run's true number of steps."""
        trained = [p for p in self.prior.parameters() if p.requires_grad]
        matrices, vectors = [p for p in trained if p.ndim >= 2], [p for p in trained if p.ndim < 2]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        optimizer = self.make_optimizer([group for group in groups if group["params"]])
        total = int(self.trainer.estimated_stepping_batches)
        warm = max(1, round(self.warmup * total))

        def share(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            progress = min(1.0, (step - warm) / max(1, total - warm))
            return self.final_lr + (1 - self.final_lr) * (1 + math.cos(math.pi * progress)) / 2

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, share), "interval": "step"},
        }

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
                f"trainer.precision={precision.precision} scales gradients, and a fused optimizer cannot clip those: "
                "add optimizer.fused=false, or use trainer.precision=bf16-mixed"
            )
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _generator(self, round_: int, batch_idx: int) -> torch.Generator:
        # Hashed, so that neighbouring steps and ranks get seeds that have nothing to do with each other.
        mixed = hash((self.seed, round_, batch_idx, self.global_rank)) & (2**63 - 1)
        return torch.Generator(self.device).manual_seed(mixed)

    def _log(self, part: str, found: LossTerms, batch: PreferenceBatch) -> None:
        training = part == "train"
        named = {f"{part}/loss": found.total.detach()} | {f"{part}/{k}": v.detach() for k, v in found.terms.items()}
        self.log_dict(named, on_step=training, on_epoch=not training, batch_size=len(batch), sync_dist=not training)
