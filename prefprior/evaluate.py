"""`python evaluate.py`: the scoreboard of a trained prior and of what one would have used instead."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prefprior import checkpoint
from prefprior.baselines.search import Search
from prefprior.command_line import call
from prefprior.composition import build_decoder, data_of_checkpoint, decoder_node, training_part
from prefprior.config import build, plain, plain_node, run_folder
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.encoders import OpenClipEncoder, encoder_of
from prefprior.data.held_out import HeldOutUsers
from prefprior.errors import require_choice
from prefprior.evaluation.protocol.bootstrap import Figure
from prefprior.evaluation.protocol.decoding import Decoding
from prefprior.evaluation.protocol.oracle import Oracle
from prefprior.evaluation.protocol.overlap import what_it_saw
from prefprior.evaluation.protocol.results import Results
from prefprior.evaluation.protocol.scoreboard import LEAST_PEOPLE, Scoreboard
from prefprior.evaluation.protocol.split import HistoryCut, fitting_parts, for_tuning, select
from prefprior.evaluation.protocol.tuning import Tuned, Tuner
from prefprior.evaluation.report.html import write_report
from prefprior.evaluation.report.table import terminal_tables
from prefprior.files import write_json
from prefprior.inference.predictor import TrainedPredictor
from prefprior.malloc import keep_freed_memory
from prefprior.models.retriever.cold_start import ColdStart
from prefprior.nodes import importable
from prefprior.predictor import Catalogue, Predictor, TrainingPart
from prefprior.runs import INTERVALS, Run, find_checkpoint, save_config, told, write_metrics
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
    priors = _priors(cfg)
    data = load_data(cfg, priors)
    decoding = _decoding(cfg, data)
    cut = HistoryCut(cfg.history_share, cfg.history_first)
    part, people = select(data, cfg.part, cut, cfg.history_cap)
    reported, tuner = part, None
    if cfg.tune is not None:
        choosing, chooser, people, reported = for_tuning(data, part, people, cut, cfg.history_cap)
        tuner = Tuner(
            choosing, chooser, budget=cfg.tune, figures=cfg.tune_for, ks=scoreboard.ks,
            candidates=scoreboard.candidates, seed=cfg.seed,
        )  # fmt: skip
    people = people if cfg.people is None else people.first(cfg.people)
    _name_by_training(cfg, priors, data, part, people)
    predictors, facts = _predictors(cfg, priors, data), _facts(cfg, priors, people)
    if short := [n for n in scoreboard.lengths if n is not None and people.with_history_of(n) < LEAST_PEOPLE]:
        console.print(
            f"left out: histories of {', '.join(map(str, short))}, which fewer than {LEAST_PEOPLE} users have"
        )
    training = fitting_parts(data, part)
    conditions = scoreboard.conditions(shows=truth_known(data.source, data.space))
    outcomes, tuned = [], dict[str, Tuned]()
    columns = (TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(predictors) * len(conditions))
        for name, predictor in predictors:
            progress.update(task, description=predictor.name)
            if tuner is not None and (search := _search(cfg, name)):
                found = tuned[name] = _tuned(cfg, name, tuner, search, training)
                progress.console.print(f"{name}: {found}", highlight=False, soft_wrap=True)
                predictor = found.predictor
            else:
                predictor.fit(*training, torch.Generator().manual_seed(cfg.seed))
            outcomes += scoreboard.run(predictor, people, data.source, lambda: progress.advance(task), decoding)
    results = Results(data.source.name, scoreboard.labelled(reported), people, outcomes, cfg.seed)
    if tuner is not None:
        facts |= {"tuned": str(tuner)} | {f"{name} tuned to": str(found) for name, found in tuned.items()}
        write_json(folder / TUNING, {"how": str(tuner), **{name: found.plain() for name, found in tuned.items()}})
    save_config(folder, plain(cfg))
    _write_figures(folder, results, tuned)
    write_report(folder / REPORT, results, facts, data.source.pictures())
    for table in terminal_tables(results, console.width):
        console.print(table)
    if people.repeated:
        console.print(f"left out: {people.repeated:,} held-out ratings of pictures that the same user rated before")
    console.print(f"report: {folder / REPORT}", highlight=False)
    return folder


def _require_sense(cfg: DictConfig) -> None:
    """Refuses what contradicts itself, before anything is read."""
    if cfg.people is not None and cfg.people < 3:
        raise ValueError(f"people must be at least 3, or null for all, got {cfg.people}")
    if cfg.tune is None and cfg.tune_for is not None:
        raise ValueError("tune_for=... says what baselines are tuned for: add tune=20, or leave it out")
    there = [name for name, baseline in (cfg.baselines or {}).items() if baseline is not None]
    for name in cfg.predictors:
        require_choice("a predictor", name, ("prior", *there, "oracle"))
    if len(set(cfg.predictors)) < len(cfg.predictors):
        raise ValueError(f"predictors are {', '.join(cfg.predictors)}: name each only once")
    if cfg.tune is not None and not any(_search(cfg, name) for name in cfg.predictors):
        raise ValueError(
            f"tune={cfg.tune} has no effect: none of {', '.join(cfg.predictors)} has a parameter left to tune"
        )
    if cfg.history_first is not None and cfg.history_first > cfg.history_cap:
        raise ValueError(
            f"history_first={cfg.history_first} is more than history_cap={cfg.history_cap}: raise history_cap too"
        )


def load_data(cfg: DictConfig, priors: dict[str, TrainedPredictor]) -> PreferenceDataModule:
    """The data the checkpoint was trained on, with whatever the command changes."""
    path = _trained_on(cfg)
    facts = {} if path is None else checkpoint.describe(path)["facts"]
    data = data_of_checkpoint(path, facts, source=cfg.source, embeddings=cfg.embeddings, data=cfg.data, trust=cfg.trust)
    for name, prior in priors.items():
        prior.space.require_same(data.space, f"the {name}", f"the data of {data.source.name}")
    return data


def require_device(name: str) -> str:
    """Refuses a device that there is not, before anything is read."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device is {name!r}; it must be cpu, cuda, cuda:<number> or mps") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False) or (
        device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    ):
        raise ValueError(f"there is no device {name!r} here. Leave device=... out to use the CPU.")
    return name


def _trained_on(cfg: DictConfig) -> Path | None:
    """The checkpoint that says what the data are; none is needed where the command names a whole source."""
    whole = cfg.source is not None and "_target_" in cfg.source
    if whole and cfg.checkpoint is None and "prior" not in cfg.predictors:
        return None
    try:
        return find_checkpoint(cfg.checkpoint)
    except ValueError as error:
        if cfg.checkpoint is not None or "prior" in cfg.predictors:
            raise
        raise ValueError(
            f"there are no data to evaluate on: add source=... (for example source=world). {error}"
        ) from None


def _priors(cfg: DictConfig) -> dict[str, TrainedPredictor]:
    if "prior" not in cfg.predictors:
        if cfg.compare is not None:
            raise ValueError("compare=... adds a second prior to the first: add prior to predictors")
        if cfg.cold_start_share is not None:
            raise ValueError("cold_start_share=... changes how the prior ranks new items: add prior to predictors")
        if cfg.rank_by is not None:
            raise ValueError("rank_by=... changes how the prior ranks: add prior to predictors")
        return {}
    priors = {"prior": TrainedPredictor.load(find_checkpoint(cfg.checkpoint), cfg.device, trust=cfg.trust)}
    found = {"prior": find_checkpoint(cfg.checkpoint)}
    if cfg.compare is not None:
        priors["other"] = TrainedPredictor.load(find_checkpoint(cfg.compare), cfg.device, trust=cfg.trust)
        priors["other"].name = "compared"
        found["compared"] = find_checkpoint(cfg.compare)
    for prior in priors.values():
        try:
            if cfg.rank_by is not None:
                prior.rank_by = cfg.rank_by
            if cfg.cold_start_share is not None:
                _require_cold_start(prior).share = cfg.cold_start_share
        except ValueError as error:
            raise ValueError(f"{found[prior.name]}: {error}") from None
    return priors


def _name_by_training(
    cfg: DictConfig, priors: dict[str, TrainedPredictor], data: PreferenceDataModule, part: str, people: HeldOutUsers
) -> None:
    """The names of the priors; a prior trained on other users than the part promises is marked as such."""
    for given, prior in zip((cfg.checkpoint, cfg.compare), priors.values(), strict=False):
        trained_on = training_part(find_checkpoint(given), prior.facts, data, cfg.trust)
        if told := what_it_saw(trained_on, data.part("train"), people, part):
            prior.name = f"{prior.name} ({told})"


def _predictors(
    cfg: DictConfig, priors: dict[str, TrainedPredictor], data: PreferenceDataModule
) -> list[tuple[str, Predictor]]:
    """Each with its name among `predictors`."""
    chosen: list[tuple[str, Predictor]] = []
    for name in cfg.predictors:
        if name == "prior":  # two where they are compared
            chosen += [(name, prior) for prior in priors.values()]
        elif name != "oracle":
            chosen.append((name, build(cfg.baselines[name], Predictor)))
        elif truth_known(data.source, data.space):  # elsewhere the table goes without
            chosen.append((name, Oracle(data.source)))
    if not chosen:
        raise ValueError(f"no predictors to evaluate; choose some of prior, {', '.join(cfg.baselines)}")
    return chosen


def _search(cfg: DictConfig, name: str) -> Search:
    """What a baseline may be tuned over: arguments that the configuration leaves to it."""
    if name in ("prior", "oracle"):
        return {}
    node = plain_node(cfg.baselines[name])
    search: Search = getattr(importable(node["_target_"]), "search", {})
    return {argument: values for argument, values in search.items() if argument not in node}


def _tuned(
    cfg: DictConfig, name: str, tuner: Tuner, search: Search, training: tuple[TrainingPart, TrainingPart | None]
) -> Tuned:
    """A baseline with the best settings, which the run's configuration then holds."""
    node = plain_node(cfg.baselines[name])
    found = tuner(lambda drawn: build(node | drawn, Predictor), search, training)
    cfg.baselines[name] = node | found.best.settings
    return found


def _decoding(cfg: DictConfig, data: PreferenceDataModule) -> Decoding | None:
    """Samples are decoded by the decoder that was chosen and, on a world, by its own: that takes seconds."""
    chosen = cfg.decoder is not None
    if cfg.decoding is None and (chosen or cfg.encoder is not None):
        raise ValueError(
            "with decoding=null nothing is decoded: leave it out, or leave decoder=... and encoder=... out"
        )
    decodes = cfg.decoding is not None and (chosen or truth_known(data.source, data.space))
    if cfg.encoder is not None and not decodes:
        raise ValueError("encoder=... embeds decoded pictures: add decoder=..., or leave encoder out")
    if cfg.encoder is not None and "_target_" not in cfg.encoder:
        raise ValueError("encoder arguments need an encoder: add encoder=... (such as encoder=world)")
    if not decodes:
        return None
    space = data.space.name
    decoder = build_decoder(decoder_node(cfg.decoder, space), data, space)
    encoder = encoder_of(space) if cfg.encoder is None else build(cfg.encoder, OpenClipEncoder)
    decoder.to(cfg.device)
    encoder.to(cfg.device)
    return build(cfg.decoding, Decoding, decoder=decoder, encoder=encoder)


def _facts(cfg: DictConfig, priors: dict[str, TrainedPredictor], people: HeldOutUsers) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if "prior" in priors:
        facts["checkpoint"] = find_checkpoint(cfg.checkpoint)
        facts["trained for steps"] = priors["prior"].facts.get("steps", "?")
    if "other" in priors:
        facts["compared with"] = find_checkpoint(cfg.compare)
    for name, prior in priors.items():
        facts[f"the {name} ranks by"] = prior.rank_by
        if known := _known(prior, people.catalogue):
            facts[f"cold-start items of the {name}"] = known
    if people.repeated:
        facts["held-out ratings left out because the same user rated the picture before"] = f"{people.repeated:,}"
    return {**facts, "seed": cfg.seed}


def _require_cold_start(prior: TrainedPredictor) -> ColdStart:
    if prior.cold_start is None:
        raise ValueError(
            "cold_start_share=... needs a ColdStart retriever that ranks, and this model has none: leave "
            "it out, or train with retriever=item_identity_ensemble"
        )
    return prior.cold_start


def _known(prior: TrainedPredictor, catalogue: Catalogue) -> str | None:
    """How many items are new to a prior that ranks such apart."""
    cold_start = prior.cold_start
    if cold_start is None or not cold_start.share:
        return None
    parts = catalogue.embeddings_ND.split(65536)
    rated = sum(int(cold_start.known(part.to(prior.device)).sum()) for part in parts)
    if not rated:
        raise ValueError(
            f"cold_start_share={cold_start.share}, but none of the {len(catalogue):,} items here was "
            "rated in training: these are other embeddings or other items. Give cold_start_share=0, or "
            "evaluate on the data it was trained on."
        )
    return f"{len(catalogue) - rated:,} of {len(catalogue):,}, with a probability of {cold_start.share:.0%} together"


def _write_figures(folder: Path, results: Results, tuned: dict[str, Tuned]) -> None:
    """`metrics.json`, and the same with intervals and paired differences beside them."""
    nothing = float("nan")  # what chose a setting has no interval
    chosen_by = {
        f"{results.data}/tuning/{name}/tuned_for@all": Figure(found.best.figure, nothing, nothing, found.people)
        for name, found in tuned.items()
    }
    figures = {**results.figures, **chosen_by}
    write_metrics(folder, {key: figure.value for key, figure in figures.items()})
    items = len(results.people.catalogue)
    every = {**figures, **results.differences}
    write_json(folder / INTERVALS, {key: _described(figure, items) for key, figure in every.items()})


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
