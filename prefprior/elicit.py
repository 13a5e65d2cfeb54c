"""`python elicit.py`: how many answers it takes to find an unknown user's taste, by policy and kind of question."""

from dataclasses import asdict
from functools import cache
from pathlib import Path

import lightning
import numpy as np
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from prefprior.asked import TRAIN, chosen_users, chosen_ways, decoding_of, require_askable
from prefprior.command_line import call
from prefprior.composition import data_of_checkpoint
from prefprior.config import build, command_again, plain, run_folder
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.elicitation.belief import Moves
from prefprior.elicitation.cast import Cast
from prefprior.elicitation.figures import figures_of, harm, lines_of
from prefprior.elicitation.groups import AskingModule, DealtGroups, Group, all_groups, read_groups
from prefprior.elicitation.people import Manner
from prefprior.elicitation.report import curves
from prefprior.elicitation.session import Sessions
from prefprior.elicitation.sitting import Sitting
from prefprior.elicitation.strangers import stranger_cast
from prefprior.elicitation.told import write_answers
from prefprior.files import write_json, written_whole
from prefprior.inference.predictor import TrainedPredictor
from prefprior.locks import is_first_process
from prefprior.malloc import keep_freed_memory
from prefprior.runs import INTERVALS, Run, differing_keys, find_checkpoint, save_config, told, write_metrics
from prefprior.schemas import ElicitConfig
from prefprior.trainer import build_trainer, stopped_by_hand

SESSIONS = "sessions"  # the folder of finished sessions, from which an interrupted run goes on
ANSWERS = "answers.parquet"  # what was asked and answered, as ratings and choices
HEADLINES = {
    "utility": "utility of what is made",
    "utility_best": "utility of the best made",
    "modes": "tastes covered",
    "spearman": "Spearman",
    "ndcg_20": "NDCG@20",
}
PLOT = "curves_{}.png"


def run(cfg: DictConfig) -> Path:
    """Asks simulated or replayed users, judges, and writes figures and pictures; returns the run's folder."""
    keep_freed_memory()
    ways, manner, moves = chosen_ways(cfg), build(cfg.manner, Manner), build(cfg.moves, Moves)
    folder, console = run_folder(), Console(quiet=not is_first_process())
    trainer = _trainer(cfg, folder)
    device = str(trainer.strategy.root_device)  # this process's own
    cfg.checkpoint = str(find_checkpoint(cfg.checkpoint))
    console.print(f"prior: {told(Path(cfg.checkpoint))}", highlight=False, soft_wrap=True)
    predictor = TrainedPredictor.load(cfg.checkpoint, device, trust=cfg.trust)
    data = data_of_checkpoint(
        Path(cfg.checkpoint), predictor.facts, source=cfg.source, embeddings=cfg.embeddings, data=cfg.data,
        trust=cfg.trust,
    )  # fmt: skip
    predictor.space.require_same(data.space, "the prior", f"the data of {data.source.name}")
    users, part = chosen_users(cfg, data)
    require_askable(cfg, data, ways)
    decoding = decoding_of(cfg, data, device)
    if part == TRAIN:
        console.print(
            "part=train: the model was trained on these users: figures say nothing of strangers", soft_wrap=True
        )
    if trainer.is_global_zero:
        _begin(cfg, folder)

    @cache
    def sitting() -> Sitting:
        """Made only where somebody is left to ask."""
        return Sitting(
            folder=folder, data=data, part=part, users=users, cast=_cast(cfg, predictor, data, moves, console),
            manner=manner, decoding=decoding, after=tuple(cfg.after), n=cfg.n, diversity=cfg.diversity,
            candidates=cfg.candidates, seed=cfg.seed, device=device,
        )  # fmt: skip

    groups, root = all_groups(ways, cfg.seeds, users), folder / SESSIONS
    dealt = DealtGroups(root, groups)
    shown = console if cfg.trainer.get("enable_progress_bar", True) else Console(quiet=True)
    with _progress(shown) as progress:
        task = progress.add_task("", total=None)

        def ask(group: Group) -> Sessions:
            total = sum(len(groups[place].users) for place in dealt.mine)
            progress.update(task, description=group.asked, total=total)
            return sitting().sessions(ways[group.way], group, lambda: progress.advance(task))

        with stopped_by_hand(trainer, lambda: _interrupted(folder)):
            trainer.predict(AskingModule(root, groups, ask), datamodule=dealt, return_predictions=False)
    trainer.strategy.barrier("sessions")
    if trainer.is_global_zero:
        found = read_groups(root, groups)
        _write_answers(cfg, folder, data, part, found)
        _write(cfg, folder, f"{data.source.name}/{part}", found, console)
    return folder


def _trainer(cfg: DictConfig, folder: Path) -> lightning.Trainer:
    """What shares the work among processes."""
    return build_trainer(
        cfg.trainer, default_root_dir=folder, logger=False, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False, inference_mode=False, precision="32-true",
    )  # fmt: skip


def _begin(cfg: DictConfig, folder: Path) -> None:
    """Writes down what is asked, or refuses to go on with a run that was begun otherwise."""
    # How many processes ask changes nothing of what comes of it.
    if changed := differing_keys(folder, plain(cfg), ignore=("run_dir", "trainer")):
        raise ValueError(f"{folder} was begun with another {', '.join(changed)}: choose another run_dir")
    save_config(folder, plain(cfg))


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:>22}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _interrupted(folder: Path) -> str:
    kept = folder / SESSIONS
    return f"interrupted: finished sessions are kept in {kept}. To resume:\n  {command_again('elicit', folder)}"


def _cast(
    cfg: DictConfig, predictor: TrainedPredictor, data: PreferenceDataModule, moves: Moves, console: Console
) -> Cast:
    """The tastes of a stranger, and how answers are read."""
    with console.status(f"imagining {cfg.tastes:,} users"):
        cast, calibrated = stranger_cast(
            predictor, data, moves, tastes=cfg.tastes, imagined=cfg.imagined, reference=cfg.reference,
            temperature=cfg.temperature, shown=cfg.calibrate_shown, most=cfg.calibrate_people, seed=cfg.seed,
        )  # fmt: skip
    if calibrated is not None:
        console.print(f"answers: {calibrated.in_words()}", highlight=False)
    return cast


def _write_answers(
    cfg: DictConfig, folder: Path, data: PreferenceDataModule, part: str, found: dict[str, list[Sessions]]
) -> None:
    """What was answered as rows, after all that the users of the part said before."""
    time_N = data.part(part).time_N
    known_N = np.zeros(1) if time_N is None else time_N[~np.isnan(time_N)]
    by_way = {f"{way}_{place}": each.told for way, some in found.items() for place, each in enumerate(some)}
    write_answers(folder / ANSWERS, by_way, begin=np.ceil(known_N.max(initial=0)), most=max(cfg.after))


def _write(cfg: DictConfig, folder: Path, prefix: str, found: dict[str, list[Sessions]], console: Console) -> None:
    """Figures with intervals over users, plots, and a table on the terminal."""
    people = len(next(iter(found.values()))[0].users)
    figures, gains = figures_of(found, people, cfg.seed)
    write_metrics(folder, {f"{prefix}/{key}": figure.value for key, figure in figures.items()})
    every = {f"{prefix}/{key}": asdict(figure) for key, figure in {**figures, **gains}.items()}
    write_json(folder / INTERVALS, every)
    for metric, label in HEADLINES.items():
        by_way = lines_of(figures, metric)
        if not by_way:
            continue
        with written_whole(folder / PLOT.format(metric)) as path:
            path.write_bytes(curves(label, by_way))
        table = Table("", *(str(after) for after in cfg.after), title=f"{label}, after so many answers")
        for name, line in by_way.items():
            cells = [
                f"{line[a].value:.3f} ±{(line[a].high - line[a].low) / 2:.3f}" if a in line else "" for a in cfg.after
            ]
            table.add_row(name, *cells)
        console.print(table)
    judged = next((metric for metric in ("utility", "spearman", "ndcg_20") if lines_of(figures, metric)), "utility")
    for words in harm(gains, judged):
        console.print(words, highlight=False, soft_wrap=True)


def elicit(*overrides: str) -> Run:
    """Asks simulated or replayed users; words as for `python elicit.py`."""
    return call("elicit", ElicitConfig, run, overrides)
