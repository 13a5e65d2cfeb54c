"""`python train.py`: from a source of ratings to a trained prior."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from prefprior import checkpoint
from prefprior.callbacks.best import KeepBest, in_order
from prefprior.callbacks.ema import Ema
from prefprior.callbacks.epoch_lines import EpochLines
from prefprior.callbacks.metrics_csv import KeepMetrics, MetricsCsv
from prefprior.callbacks.whole_checkpoints import WholeCheckpoints
from prefprior.checkpoint import warm_start
from prefprior.command_line import call, open_nodes
from prefprior.composition import facts_of_data, taken_over
from prefprior.config import (
    build,
    check,
    chosen,
    command_again,
    effective,
    overrides,
    plain,
    plain_node,
    recomposed,
    run_folder,
    set_by_option,
)
from prefprior.continuation import Earlier, End
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding_lookup import Embeddings
from prefprior.data.sources.source import Source
from prefprior.data_settings import settings_for, without_given
from prefprior.evaluation.protocol.split import HistoryCut, people_of
from prefprior.inference.certainty import MANY, Certainty
from prefprior.inference.predictor import TrainedPredictor
from prefprior.invocation import as_called
from prefprior.malloc import keep_freed_memory
from prefprior.models.collaborative.collaborative_head import CollaborativeHead
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.fsdp import FSDPPreferenceModule, FSDPStrategy, whole
from prefprior.models.model import PreferenceModel
from prefprior.models.module import PreferenceModule
from prefprior.models.objectives.distillation import AnswerLoss
from prefprior.models.objectives.objective import Objective
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.rating.rating_head import RatingHead
from prefprior.models.retriever.retriever import Retriever
from prefprior.models.scale import Standardize
from prefprior.nodes import merged
from prefprior.runs import BEST, CHECKPOINT, Run, find_checkpoint, save_config, write_metrics
from prefprior.schemas import TrainConfig, with_default_experiment
from prefprior.trainer import build_trainer, stopped_by_hand


def run(cfg: DictConfig) -> Run:
    """Trains, goes on training or makes a run longer, in the run's folder; the figure is the monitored one."""
    folder = run_folder()
    cfg = _going_on(cfg)
    source = build(cfg.source, Source)
    cfg = _suited(cfg, source)
    config = effective(cfg, TrainConfig)
    earlier = Earlier(folder)
    earlier.require_continuable(config)
    keep_freed_memory()
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    embeddings = build(cfg.embeddings, Embeddings)
    data = build(cfg.data, PreferenceDataModule, source=source, embeddings=embeddings, seed=cfg.seed)
    data.setup()
    saving, kept = Saving(cfg, folder, data), KeepMetrics(MetricsCsv(folder))
    trainer = _trainer(cfg, folder, saving, kept)
    say = rank_zero_only(print)
    if settings := set_by_option(cfg, "experiment"):
        say(f"experiment={chosen('experiment')} sets {', '.join(settings)}")
    _require_validation(trainer, data)
    module = _module(cfg, data, trainer)
    model = module.model
    if model.prior.origin:
        say(model.prior.origin)
    module.prepare(data)  # before training begins: averaged weights are copied from these
    if cfg.init_from is not None and earlier.state is None:
        warm_start(model, find_checkpoint(cfg.init_from))
        say(f"starting from the weights of {find_checkpoint(cfg.init_from)}")
    weights = {"prior": model.prior, "retriever": model.retriever}
    say(", ".join(f"{name}: {_count(part):,} weights" for name, part in weights.items() if part is not None))
    for line in earlier.note(config, module.scheduler):
        say(line)
    if trainer.is_global_zero:  # only now: what could not even begin leaves nothing that a corrected command must match
        save_config(folder, config)
    for logger in trainer.loggers:
        logger.log_hyperparams(config)
    steps = _fit(trainer, module, data, earlier, kept)
    for stopper in _stoppers(trainer):
        if stopper.stopping_reason_message:
            say(f"stopped after epoch {stopper.stopped_epoch}: {stopper.stopping_reason_message}")
    if trainer.is_global_zero:
        write_metrics(folder, _figures(data.source.name, kept.figures, _best(trainer)))
    facts = {"steps": steps, "end": str(End.of(config)), **_certainty(cfg, trainer, module, data)}
    saving.save(CHECKPOINT, trainer, module, facts)  # now it is finished
    if trainer.is_global_zero:
        print(
            as_called(
                "next: python evaluate.py (compares it with baselines), python sample.py (makes galleries "
                "with the decoder of "
            )
            + f"{data.space.name}, or with pictures of the data)"
        )
    return Run(folder, _monitored(cfg, kept.figures, _best(trainer)))


def _certainty(
    cfg: DictConfig, trainer: lightning.Trainer, module: PreferenceModule, data: PreferenceDataModule
) -> dict[str, Any]:
    """How sure the model is of validation users, which galleries compare with. Not of a model whose weights are split
    among processes: none of them has it whole."""
    if not trainer.is_global_zero or not data.has_part("val") or isinstance(module, FSDPPreferenceModule):
        return {}
    people = people_of(data, "val", HistoryCut(), MANY)
    model, before = module.model, module.device
    predictor = TrainedPredictor(
        model=model.to(trainer.strategy.root_device), objective=module.objective, sampler=build(cfg.sampler)
    )
    found = Certainty.measured(predictor, people, torch.Generator().manual_seed(cfg.seed))
    model.to(before)
    return {} if found is None else {"certainty": found.plain()}


def _suited(cfg: DictConfig, source: Source) -> DictConfig:
    """The configuration that suits the data, where the user left the choice: `experiment=table`."""
    if chosen("experiment") != "table":
        return cfg
    words, reason = settings_for(source.ratings())
    if words := without_given(words, overrides()):
        rank_zero_only(print)(f"experiment=table chooses {' '.join(words)}: {reason}")
        named = any(word.startswith("experiment=") for word in words)
        table = "experiment=table"
        opened = [open_nodes(word) for word in words]
        cfg = recomposed("train", cfg, opened if named else [table, *opened], instead_of=table)
        check(cfg, TrainConfig)
    return cfg


def _going_on(cfg: DictConfig) -> DictConfig:
    """The configuration with the networks and the data of the checkpoint that `experiment=app` goes on from, except for
    what the experiment or the command chooses itself."""
    if chosen("experiment") != "app":
        return cfg
    if cfg.init_from is None:
        raise ValueError("experiment=app goes on from the checkpoint that was served: add init_from=RUN")
    taken = taken_over(find_checkpoint(cfg.init_from))
    served = taken["source"]
    own = plain_node(cfg.source)
    if "_target_" not in (own.get("catalogue") or {}):  # a whole one takes the place of the run's, arguments change it
        own = merged({"catalogue": served.get("catalogue", served)}, own)  # on an app's answers a run has one itself
    taken["source"] = own
    words = [*overrides(), *set_by_option(cfg, "experiment")]
    given = {word.lstrip("+~").split("=", 1)[0] for word in words}
    for name in taken.keys() - (given - {"source"}):
        mine = {key: OmegaConf.select(cfg, key) for key in given if key.startswith(f"{name}.")}
        # A checkpoint may leave out a part that has defaults alone: what is set there needs its class.
        parts = {f"{key.rpartition('.')[0]}._target_" for key in mine} - {f"{name}._target_"}
        classes = {key: OmegaConf.select(cfg, key) for key in parts}
        OmegaConf.update(cfg, name, taken[name], merge=False, force_add=True)
        missing = {key: value for key, value in classes.items() if value and OmegaConf.select(cfg, key) is None}
        for key, value in (missing | mine).items():
            OmegaConf.update(cfg, key, value, force_add=True)
    check(cfg, TrainConfig)
    return cfg


class Saving:
    """Writes a model in training as a checkpoint into the run's folder."""

    def __init__(self, cfg: DictConfig, folder: Path, data: PreferenceDataModule) -> None:
        self.cfg, self.folder, self.data = cfg, folder, data

    def save(self, name: str, trainer: lightning.Trainer, module: PreferenceModule, facts: dict[str, Any]) -> None:
        """To be called on every process: where weights are split among them, each has a share to give."""
        state, strategy = None, trainer.strategy
        if isinstance(strategy, FSDPStrategy):  # without a model where there was nothing left to train
            state = module.state_dict() if strategy.model is None else strategy.lightning_module_state_dict()
        if not trainer.is_global_zero:
            return
        checkpoint.save(
            self.folder / name,
            model=module.model if state is None else whole(module.model, state),
            objective=module.objective,
            sampler=build(self.cfg.sampler),
            facts={
                "data": facts_of_data(self.folder, plain(self.cfg)),
                "choices": {group: chosen(group) for group in ("source", "experiment", "debug")},
                "training": self.data.training_digest,
                "seed": self.cfg.seed,
                **facts,
            },
        )


def _trainer(cfg: DictConfig, folder: Path, saving: Saving, kept: KeepMetrics) -> lightning.Trainer:
    nodes = [node for node in (cfg.callbacks or {}).values() if node is not None]
    callbacks = in_order(
        [build(node, lightning.Callback, shared={"save": partial(saving.save, BEST)}) for node in nodes]
    )
    return build_trainer(
        cfg.trainer,
        default_root_dir=folder,
        logger=[
            kept.rows,
            *(build(part, Logger, folder=folder) for part in (cfg.logger or {}).values() if part is not None),
        ],
        callbacks=[*callbacks, *_progress(cfg, callbacks), _keep_last(folder), kept],
        plugins=[WholeCheckpoints()],
    )


def _progress(cfg: DictConfig, callbacks: list[Any]) -> list[ProgressBar]:
    """Lightning's own bar on a terminal, elsewhere a line an epoch."""
    bar = cfg.trainer.get("enable_progress_bar")
    other = any(isinstance(callback, ProgressBar) for callback in callbacks)
    return [] if bar is False or other or sys.stdout.isatty() else [EpochLines()]


def _stoppers(trainer: lightning.Trainer) -> list[EarlyStopping]:
    return [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]  # type: ignore[attr-defined]


def _require_validation(trainer: lightning.Trainer, data: PreferenceDataModule) -> None:
    """Where nothing is validated, early stopping waits for a figure that never comes."""
    if _stoppers(trainer) and not (data.has_part("val") and trainer.limit_val_batches):
        raise ValueError(
            "early stopping needs a validation metric, but validation is off: leave it out "
            "(~callbacks.early_stopping), or give data.splits.val and trainer.limit_val_batches above 0"
        )


def _best(trainer: lightning.Trainer) -> KeepBest | None:
    return next((callback for callback in trainer.callbacks if isinstance(callback, KeepBest)), None)  # type: ignore[attr-defined]


def _module(cfg: DictConfig, data: Any, trainer: lightning.Trainer) -> PreferenceModule:
    """The composition root: builds every component and joins them; what does not go together is refused."""
    objective, distillation = build(cfg.objective, Objective), build(cfg.distillation, AnswerLoss)
    build(cfg.sampler, Sampler)  # what is wrong with it is said before training
    # Initial weights follow from the seed alone, whatever used the global generator before.
    torch.manual_seed(cfg.seed)
    scale = build(cfg.scale, Standardize, space=data.space)
    prior = build(cfg.prior, PriorNetwork, space=data.space, scale=scale)
    shared = {"space": data.space, "scale": prior.scale, "token_width": prior.width}
    retriever = build(cfg.retriever, Retriever, shared=shared)
    collaborative = build(cfg.collaborative, CollaborativeHead, space=data.space, scale=prior.scale)
    rating = build(cfg.rating, RatingHead, space=data.space, scale=prior.scale)
    sharded = isinstance(trainer.strategy, FSDPStrategy)
    if sharded and any(isinstance(callback, Ema) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        raise ValueError("EMA weights are not supported with trainer=fsdp. Add callbacks.ema=null, or use trainer=ddp.")
    return (FSDPPreferenceModule if sharded else PreferenceModule)(
        model=PreferenceModel(prior=prior, retriever=retriever, collaborative=collaborative, rating=rating),
        objective=objective,
        distillation=distillation,
        optimizer=build(cfg.optimizer),
        scheduler=build(cfg.scheduler),
        seed=cfg.seed,
        compile=cfg.compile,
    )


def _count(part: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def _monitored(cfg: DictConfig, latest: dict[str, float], best: KeepBest | None) -> float | None:
    """The best of the monitored figure, or the last where none is kept; None where nothing computes it."""
    kept = best is not None and best.monitor == cfg.monitor and best.value is not None
    return best.value if kept and best is not None else latest.get(cfg.monitor)


def _fit(
    trainer: lightning.Trainer,
    module: PreferenceModule,
    data: PreferenceDataModule,
    earlier: Earlier,
    kept: KeepMetrics,
) -> int:
    """Trains to the end, from where it stopped if it did; returns the number of steps taken in all."""
    state = earlier.state
    if state is not None and End(trainer.max_epochs, trainer.max_steps).reached(state):
        # Only what comes after training was interrupted. Lightning would skip the loop, and with it the step that puts
        # averaged weights in place; a checkpoint's `state_dict` holds those already.
        module.load_state_dict(state["state_dict"])
        if best := _best(trainer):
            best.load_state_dict(state["callbacks"].get(best.state_key, {"value": None}))
        kept.restore(state)
        return int(state["global_step"])
    with stopped_by_hand(trainer, lambda: _interrupted(trainer, earlier.path)):
        trainer.fit(module, datamodule=data, ckpt_path=None if state is None else earlier.path, weights_only=True)
    return trainer.global_step


def _interrupted(trainer: lightning.Trainer, resume: Path) -> str:
    """What is whole of a training that was stopped by hand, and how to go on."""
    done = f"To resume after epoch {trainer.current_epoch - 1}"
    kept = done if resume.is_file() else "No epoch was finished. To start again"
    again = command_again("train", Path(trainer.default_root_dir))
    return f"interrupted in epoch {trainer.current_epoch}. {kept}:\n  {again}"


def _figures(source: str, latest: dict[str, float], best: KeepBest | None) -> dict[str, float]:
    """The last losses of both parts, `<source>/<part>/prior/<loss>`, and the best one of the monitored loss."""
    named = {name: value for name, value in latest.items() if name.startswith(("train/", "val/"))}
    figures = {
        f"{source}/{part}/prior/{loss}": value for (part, loss), value in ((n.split("/"), v) for n, v in named.items())
    }
    if best is not None and best.value is not None:
        figures[f"{source}/{best.monitor.replace('/', '/best/', 1)}"] = best.value
    return figures


def _keep_last(folder: Path) -> ModelCheckpoint:
    # Not `save_last`: where nothing else is kept, Lightning then writes at the end of training alone.
    return ModelCheckpoint(
        folder / "checkpoints", filename="last", save_top_k=1, every_n_epochs=1, save_on_train_epoch_end=True,
        enable_version_counter=False,
    )  # fmt: skip


def train(*overrides: str) -> Run:
    """Trains, or goes on training; words as for `python train.py`. The folder holds `prior.safetensors`."""
    return call("train", TrainConfig, run, with_default_experiment(overrides))
