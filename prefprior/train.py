"""`python train.py`: from a source of ratings to a trained prior."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import LightningDataModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import MISSING, DictConfig

from prefprior import checkpoint
from prefprior.callbacks.ema import Ema
from prefprior.callbacks.metrics_csv import KeepMetrics, MetricsCsv
from prefprior.callbacks.whole_checkpoints import WholeCheckpoints, require_undamaged
from prefprior.composition import facts_of_data
from prefprior.config import build, chosen, command_again, plain, run_command, run_folder
from prefprior.invocation import as_called
from prefprior.malloc import keep_freed_memory
from prefprior.models.fsdp import FSDPPreferenceModule, FSDPStrategy, whole
from prefprior.models.model import PreferenceModel
from prefprior.models.module import PreferenceModule
from prefprior.runs import CHECKPOINT, CONFIG, differing_keys, save_config, write_metrics
from prefprior.trainer import build_trainer, stopped_by_hand

# Where a run lies and what it reports may change when it is continued; what it learns, and how, may not.
MAY_DIFFER = ("run_dir", "logger", "debug")


@dataclass
class TrainConfig:
    """The top-level keys of conf/train.yaml."""

    source: Any = MISSING
    embeddings: Any = MISSING
    data: Any = MISSING
    scale: Any = MISSING
    prior: Any = MISSING
    retriever: Any = None
    objective: Any = MISSING
    distillation: Any = None
    sampler: Any = MISSING
    optimizer: Any = MISSING
    trainer: Any = MISSING
    logger: Any = None
    callbacks: Any = None
    experiment: Any = None
    debug: Any = None
    seed: int = 0
    run_dir: str = "runs/train/${now:%Y-%m-%d_%H-%M-%S_%f}"
    warmup: float = 0.05  # share of the steps in which the learning rate rises
    final_lr: float = 0.02  # what is left of it at the end of the cosine
    compile: bool = False  # torch.compile both networks; pays off on a GPU


def run(cfg: DictConfig) -> Path:
    """Trains, or goes on training, in the run's folder; returns it."""
    folder = run_folder()
    if (folder / CHECKPOINT).is_file():
        raise ValueError(f"{folder} holds a finished run. Choose another run_dir, or leave it out for a new one.")
    differing = differing_keys(folder, plain(cfg), MAY_DIFFER)
    if differing:
        raise ValueError(
            f"{folder} was begun with other {', '.join(differing[:8])}. Give the same to go on, or choose "
            "another run_dir."
        )
    resume = folder / "checkpoints" / "last.ckpt"
    begun_before = (folder / CONFIG).is_file()
    keep_freed_memory()
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    source = build(cfg.source)
    data = build(cfg.data, source=source, embeddings=build(cfg.embeddings), seed=cfg.seed)
    data.setup()
    rows = MetricsCsv(folder)
    kept = KeepMetrics(rows)
    trainer = build_trainer(
        cfg.trainer,
        default_root_dir=folder,
        logger=[rows, *_loggers(cfg, folder)],
        callbacks=[*_callbacks(cfg), _keep_last(folder), kept],
        plugins=[WholeCheckpoints()],
        enable_model_summary=False,
    )
    say = rank_zero_only(print)
    say(data.summary())
    module = _module(cfg, data, trainer)
    model = module.model
    if model.prior.origin:
        say(model.prior.origin)
    module.prepare(data)  # before training begins: averaged weights are copied from these
    weights = {"prior": model.prior, "retriever": model.retriever}
    say(", ".join(f"{name}: {_count(part):,} weights" for name, part in weights.items() if part is not None))
    if trainer.is_global_zero:  # only now: what could not even begin leaves nothing that a corrected command must match
        save_config(folder, plain(cfg))
    if begun_before and not resume.is_file():
        say(f"{folder} was interrupted before its first epoch was finished: beginning again")
    steps = _fit(trainer, module, data, resume, kept, say)
    sharded = isinstance(trainer.strategy, FSDPStrategy)
    state = trainer.strategy.lightning_module_state_dict() if sharded else None  # every process has a share to give
    if trainer.is_global_zero:
        write_metrics(folder, _figures(data.source.name, kept.figures))
        checkpoint.save(  # last: a run that has one is finished
            folder / CHECKPOINT,
            model=model if state is None else whole(model, state),
            objective=module.objective,
            sampler=build(cfg.sampler),
            facts={
                "data": facts_of_data(folder, plain(cfg)),
                "choices": {group: chosen(group) for group in ("source", "experiment")},
                "training": data.training_digest,
                "seed": cfg.seed,
                "steps": steps,
            },
        )
        print(
            as_called("next: python evaluate.py (the scoreboard); python sample.py (galleries: by a decoder of ")
            + f"{data.space.name}, or of the data's own pictures)"
        )
    return folder


def _module(cfg: DictConfig, data: Any, trainer: lightning.Trainer) -> PreferenceModule:
    """The composition root: builds every component and joins them; what does not go together is refused."""
    objective, distillation = build(cfg.objective), build(cfg.distillation)
    build(cfg.sampler)  # what is wrong with it is said before training
    # Initial weights follow from the seed alone, whatever used the global generator before.
    torch.manual_seed(cfg.seed)
    scale = build(cfg.scale, space=data.space)
    prior = build(cfg.prior, space=data.space, scale=scale)
    shared = {"space": data.space, "scale": prior.scale, "token_width": prior.width}
    retriever = build(cfg.retriever, shared=shared)
    sharded = isinstance(trainer.strategy, FSDPStrategy)
    if sharded and any(isinstance(callback, Ema) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        raise ValueError("averaged weights do not go with trainer=fsdp. Add callbacks.ema=null, or use trainer=ddp.")
    return (FSDPPreferenceModule if sharded else PreferenceModule)(
        model=PreferenceModel(prior=prior, retriever=retriever),
        objective=objective,
        distillation=distillation,
        optimizer=build(cfg.optimizer),
        warmup=cfg.warmup,
        final_lr=cfg.final_lr,
        seed=cfg.seed,
        compile=cfg.compile,
    )


def _count(part: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def _fit(
    trainer: lightning.Trainer,
    module: PreferenceModule,
    data: LightningDataModule,
    resume: Path,
    metrics: KeepMetrics,
    say: Callable[[str], None],
) -> int:
    """Trains to the end, from where it stopped if it did; returns the number of steps taken in all."""
    begun = None
    if resume.is_file():
        require_undamaged(resume)
        begun = torch.load(resume, weights_only=True, map_location="cpu")
    if begun is not None:
        say(f"going on in {resume.parents[1]} after epoch {begun['epoch']}")
    if begun is not None and _is_over(trainer, begun):
        # Only what comes after training was interrupted. Lightning would skip the loop, and with it the step that puts
        # averaged weights in place; a checkpoint's `state_dict` holds those already.
        module.load_state_dict(begun["state_dict"])
        metrics.restore(begun)
        return int(begun["global_step"])
    with stopped_by_hand(trainer, lambda: _interrupted(trainer, resume)):
        trainer.fit(module, datamodule=data, ckpt_path=resume if begun is not None else None, weights_only=True)
    return trainer.global_step


def _interrupted(trainer: lightning.Trainer, resume: Path) -> str:
    """What is whole of a training that was stopped by hand, and how to go on."""
    done = f"To go on after epoch {trainer.current_epoch - 1}"
    kept = done if resume.is_file() else "No epoch was finished. To begin again"
    again = command_again("train", Path(trainer.default_root_dir))
    return f"interrupted in epoch {trainer.current_epoch}. {kept}:\n  {again}"


def _is_over(trainer: lightning.Trainer, begun: dict[str, Any]) -> bool:
    """Whether a checkpoint is of the last epoch or the last step; -1 is how Lightning says that there is no last."""
    epochs, steps = -1 if trainer.max_epochs is None else trainer.max_epochs, trainer.max_steps
    return 0 <= epochs <= begun["epoch"] + 1 or 0 <= steps <= begun["global_step"]


def _figures(source: str, latest: dict[str, float]) -> dict[str, float]:
    """The last losses of both parts, by prior: `<source>/<part>/prior/<loss>`."""
    named = {name: value for name, value in latest.items() if name.startswith(("train/", "val/"))}
    return {
        f"{source}/{part}/prior/{loss}": value for (part, loss), value in ((n.split("/"), v) for n, v in named.items())
    }


def _keep_last(folder: Path) -> ModelCheckpoint:
    # Not `save_last`: where nothing else is kept, Lightning then writes at the end of training alone.
    return ModelCheckpoint(
        folder / "checkpoints", filename="last", save_top_k=1, every_n_epochs=1, save_on_train_epoch_end=True,
        enable_version_counter=False,
    )  # fmt: skip


def _callbacks(cfg: DictConfig) -> list[Any]:
    return [build(node) for node in (cfg.callbacks or {}).values() if node is not None]


def _loggers(cfg: DictConfig, folder: Path) -> list[Logger]:
    return [build(node, folder=folder) for node in (cfg.logger or {}).values()]


def main() -> None:
    """The command."""
    run_command("train", TrainConfig, run)


if __name__ == "__main__":
    main()
