"""`python evaluate.py`: the scoreboard of a trained prior and of what one would have used instead."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prefprior.command_line import call
from prefprior.config import build, plain, run_folder
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.held_out import HeldOutUsers
from prefprior.errors import require_choice
from prefprior.evaluated import (
    chosen_decoding,
    chosen_predictors,
    cold_start_items,
    load_data,
    load_priors,
    name_by_training,
    require_device,
    search_space,
    tuned,
)
from prefprior.evaluation.protocol.bootstrap import Figure
from prefprior.evaluation.protocol.few_shot import FewShot
from prefprior.evaluation.protocol.results import Outcome, Results
from prefprior.evaluation.protocol.scoreboard import LEAST_PEOPLE, Scoreboard
from prefprior.evaluation.protocol.split import HistoryCut, fitting_parts, for_tuning, select
from prefprior.evaluation.protocol.tuning import Tuned, Tuner
from prefprior.evaluation.report.few_shot import few_shot_table
from prefprior.evaluation.report.html import write_report
from prefprior.evaluation.report.table import terminal_tables
from prefprior.files import write_json
from prefprior.inference.predictor import TrainedPredictor
from prefprior.malloc import keep_freed_memory
from prefprior.predictor import Predictor, TrainingPart
from prefprior.runs import INTERVALS, METRICS, Run, find_checkpoint, save_config, told, write_metrics
from prefprior.schemas import EvaluateConfig
from prefprior.world.source import truth_known

REPORT = "report.html"
TUNING = "tuning.json"  # every setting that was tried, where baselines were tuned


def run(cfg: DictConfig) -> Path:
    """Evaluates, prints the table and writes figures and report; returns the run's folder."""
    keep_freed_memory()
    _require_sense(cfg)
    folder, console, scoreboard = run_folder(), Console(), build(cfg.scoreboard, Scoreboard)
    if "prior" in cfg.predictors:
        cfg.checkpoint = str(find_checkpoint(cfg.checkpoint))  # so that the run's folder says which
        console.print(f"prior: {told(Path(cfg.checkpoint))}", highlight=False, soft_wrap=True)
    cfg.device = require_device(cfg.device)
    priors = load_priors(cfg)
    data = load_data(cfg, priors)
    if cfg.protocol is None:
        _run_scoreboard(cfg, scoreboard, priors, data, folder, console)
    else:
        _run_protocol(cfg, scoreboard, priors, data, folder, console)
    return folder


def _run_scoreboard(
    cfg: DictConfig,
    scoreboard: Scoreboard,
    priors: dict[str, TrainedPredictor],
    data: PreferenceDataModule,
    folder: Path,
    console: Console,
) -> None:
    """Every metric and control, in `report.html`."""
    decoding = chosen_decoding(cfg, data, cfg.device)
    cut = HistoryCut(cfg.history_share, cfg.history_first)
    part, people = select(data, cfg.part, cut, cfg.history_cap)
    reported, tuner = part, None
    if cfg.tune is not None:
        choosing, chooser, people, reported = for_tuning(data, part, people, cut, cfg.history_cap)
        tuner = _tuner(cfg, scoreboard, choosing, chooser)
    people = people if cfg.people is None else people.first(cfg.people)
    name_by_training(cfg, priors, data, part, people)
    predictors, facts = chosen_predictors(cfg, priors, data), _facts(cfg, priors, people)
    if short := [n for n in scoreboard.lengths if n is not None and people.with_history_of(n) < LEAST_PEOPLE]:
        console.print(
            f"left out: histories of {', '.join(map(str, short))}, which fewer than {LEAST_PEOPLE} users have"
        )
    training = fitting_parts(data, part)
    conditions = scoreboard.conditions(shows=truth_known(data.source, data.space))
    outcomes, settings = [], dict[str, Tuned]()
    with _progress(console) as progress:
        task = progress.add_task("", total=len(predictors) * len(conditions))
        for name, predictor in predictors:
            progress.update(task, description=predictor.name)
            predictor = _fitted(cfg, name, predictor, tuner, training, settings, progress.console)
            outcomes += scoreboard.run(predictor, people, data.source, lambda: progress.advance(task), decoding)
    results = Results(data.source.name, scoreboard.labelled(reported), people, outcomes, cfg.seed)
    if tuner is not None:
        facts |= {"tuned": str(tuner)} | {f"{name} tuned to": str(found) for name, found in settings.items()}
    _write(cfg, folder, [results], tuner, settings)
    write_report(folder / REPORT, results, facts, data.source.pictures())
    for table in terminal_tables(results, console.width):
        console.print(table)
    if people.repeated:
        console.print(f"left out: {people.repeated:,} held-out ratings of pictures that the same user rated before")
    console.print(f"report: {folder / REPORT}", highlight=False)


def _run_protocol(
    cfg: DictConfig,
    scoreboard: Scoreboard,
    priors: dict[str, TrainedPredictor],
    data: PreferenceDataModule,
    folder: Path,
    console: Console,
) -> None:
    """The figures of a published protocol, a table for each part; nothing else is measured."""
    protocol = build(cfg.protocol, FewShot)
    tasks = protocol.tasks(data, cfg.history_cap)
    tuner = None
    if cfg.tune is not None:
        _, choosing = select(data, "val", HistoryCut(cfg.history_share), cfg.history_cap)
        cfg.tune_for = cfg.tune_for or list(protocol.figures)
        tuner = _tuner(cfg, scoreboard, choosing, "val")
    name_by_training(cfg, priors, data, tasks[0].part, tasks[0].draws[0])
    for asked in tasks:
        if asked.left_out:
            console.print(f"left out of {asked.condition.shots} shots: {asked.left_out} users with too few ratings")
    training, settings = fitting_parts(data, protocol.parts[0]), dict[str, Tuned]()
    outcomes: dict[str, list[Outcome]] = {asked.part: [] for asked in tasks}
    predictors = chosen_predictors(cfg, priors, data)
    with _progress(console) as progress:
        task = progress.add_task("", total=len(predictors) * len(tasks))
        for name, predictor in predictors:
            progress.update(task, description=predictor.name)
            predictor = _fitted(cfg, name, predictor, tuner, training, settings, progress.console)
            for asked in tasks:
                outcomes[asked.part].append(protocol.run(predictor, asked))
                progress.advance(task)
    people = {asked.part: asked.draws[0] for asked in reversed(tasks)}
    found = [Results(data.source.name, part, people[part], asked, cfg.seed) for part, asked in outcomes.items()]
    _write(cfg, folder, found, tuner, settings)
    for results in found:
        console.print(few_shot_table(results))
    console.print(f"figures: {folder / METRICS}", highlight=False)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _tuner(cfg: DictConfig, scoreboard: Scoreboard, choosing: HeldOutUsers, chooser: str) -> Tuner:
    return Tuner(
        choosing, chooser, budget=cfg.tune, figures=cfg.tune_for, ks=scoreboard.ks, candidates=scoreboard.candidates,
        seed=cfg.seed,
    )  # fmt: skip


def _fitted(
    cfg: DictConfig,
    name: str,
    predictor: Predictor,
    tuner: Tuner | None,
    training: tuple[TrainingPart, TrainingPart | None],
    settings: dict[str, Tuned],
    console: Console,
) -> Predictor:
    """A predictor that has learned; one that was tuned has its settings noted."""
    if tuner is not None and (search := search_space(cfg, name)):
        found = settings[name] = tuned(cfg, name, tuner, search, training)
        console.print(f"{name}: {found}", highlight=False, soft_wrap=True)
        return found.predictor
    predictor.fit(*training, torch.Generator().manual_seed(cfg.seed))
    return predictor


def _require_sense(cfg: DictConfig) -> None:
    """Refuses what contradicts itself, before anything is read."""
    if cfg.people is not None and cfg.people < 3:
        raise ValueError(f"people must be at least 3, or null for all, got {cfg.people}")
    if cfg.tune is None and cfg.tune_for is not None:
        raise ValueError("tune_for=... says what baselines are tuned for: add tune=20, or leave it out")
    if cfg.protocol is not None:
        _require_protocol_alone(cfg)
    there = [name for name, baseline in (cfg.baselines or {}).items() if baseline is not None]
    for name in cfg.predictors:
        require_choice("a predictor", name, ("prior", *there, "oracle"))
    if len(set(cfg.predictors)) < len(cfg.predictors):
        raise ValueError(f"predictors are {', '.join(cfg.predictors)}: name each only once")
    if cfg.tune is not None and not any(search_space(cfg, name) for name in cfg.predictors):
        raise ValueError(
            f"tune={cfg.tune} has no effect: none of {', '.join(cfg.predictors)} has a parameter left to tune"
        )
    if cfg.history_first is not None and cfg.history_first > cfg.history_cap:
        raise ValueError(
            f"history_first={cfg.history_first} is more than history_cap={cfg.history_cap}: raise history_cap too"
        )


def _require_protocol_alone(cfg: DictConfig) -> None:
    """Refuses what only the scoreboard reads."""
    default = EvaluateConfig()
    for name in ("part", "people", "history_share", "history_first", "decoder", "encoder"):
        if cfg[name] != getattr(default, name):
            raise ValueError(
                f"{name}=... has no effect with protocol=...: a protocol says itself which users are evaluated, and "
                "after which ratings (protocol.parts, protocol.shots). Leave one of them out"
            )


def _facts(cfg: DictConfig, priors: dict[str, TrainedPredictor], people: HeldOutUsers) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if "prior" in priors:
        facts["checkpoint"] = find_checkpoint(cfg.checkpoint)
        facts["trained for steps"] = priors["prior"].facts.get("steps", "?")
    if "other" in priors:
        facts["compared with"] = find_checkpoint(cfg.compare)
    for name, prior in priors.items():
        facts[f"the {name} ranks by"] = prior.rank_by
        if known := cold_start_items(prior, people.catalogue):
            facts[f"cold-start items of the {name}"] = known
    if people.repeated:
        facts["held-out ratings left out because the same user rated the picture before"] = f"{people.repeated:,}"
    return {**facts, "seed": cfg.seed}


def _write(
    cfg: DictConfig, folder: Path, results: Sequence[Results], tuner: Tuner | None, settings: dict[str, Tuned]
) -> None:
    """`metrics.json`, the same with intervals and paired differences beside it, and the configuration."""
    if tuner is not None:
        write_json(folder / TUNING, {"how": str(tuner), **{name: found.plain() for name, found in settings.items()}})
    save_config(folder, plain(cfg))
    nothing = float("nan")  # what chose a setting has no interval
    figures = {
        f"{results[0].data}/tuning/{name}/tuned_for@all": Figure(found.best.figure, nothing, nothing, found.people)
        for name, found in settings.items()
    }
    every = dict[str, Figure]()
    for part in results:
        figures |= part.figures
        every |= part.differences
    write_metrics(folder, {key: figure.value for key, figure in figures.items()})
    items = len(results[0].people.catalogue)
    write_json(folder / INTERVALS, {key: _described(figure, items) for key, figure in {**figures, **every}.items()})


def _described(figure: Figure, items: int) -> dict[str, float | int | None]:
    """A figure as JSON holds it: null for what has no interval."""
    resampled = figure.low == figure.low
    return {
        "value": figure.value,
        "low": figure.low if resampled else None,
        "high": figure.high if resampled else None,
        "people": figure.people,
        "items": items,
    }


def evaluate(*overrides: str) -> Run:
    """Measures a trained prior and baselines; words as for `python evaluate.py`."""
    return call("evaluate", EvaluateConfig, run, overrides)
