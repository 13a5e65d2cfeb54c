"""`python elicit.py`: how many answers it takes to find an unknown user's taste, by policy and kind of question."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from PIL.Image import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from prefprior.command_line import call
from prefprior.composition import data_of_checkpoint
from prefprior.config import build, plain, run_folder
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.asker import Asker
from prefprior.elicitation.belief import Moves
from prefprior.elicitation.calibration import HISTORY, calibrate
from prefprior.elicitation.cast import Cast, Pool, Replay, replays
from prefprior.elicitation.figures import GAIN, figures_of, lines_of
from prefprior.elicitation.people import Levels, Manner
from prefprior.elicitation.policies.policy import Policy
from prefprior.elicitation.questions import MOST_SHOWN, Kind
from prefprior.elicitation.report import curves, filmstrip
from prefprior.elicitation.session import Asked, Sessions, run_sessions
from prefprior.elicitation.tastes import Tastes
from prefprior.elicitation.uncertainty import Cells, Uncertainty
from prefprior.errors import require_between, require_choice
from prefprior.evaluated import chosen_decoding, require_device
from prefprior.evaluation.protocol.decoding import DECODED, Decoding
from prefprior.evaluation.protocol.split import HistoryCut, held_part, people_of
from prefprior.files import make_folder, write_json, written_whole
from prefprior.gallery.contact_sheet import save
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.malloc import keep_freed_memory
from prefprior.runs import INTERVALS, Run, differing_keys, find_checkpoint, save_config, told, write_metrics
from prefprior.schemas import ElicitConfig
from prefprior.world.source import truth_known

SESSIONS = "sessions"  # the folder of finished sessions, from which an interrupted run goes on
HEADLINES = {
    "utility": "utility of what is made",
    "utility_best": "utility of the best made",
    "modes": "tastes covered",
    "spearman": "Spearman",
    "ndcg_20": "NDCG@20",
}
PLOT, STRIP = "curves_{}.png", "questions_{}.png"


def run(cfg: DictConfig) -> Path:
    """Asks simulated or replayed users, judges, and writes figures and pictures; returns the run's folder."""
    keep_freed_memory()
    ways, manner, moves = _ways(cfg), build(cfg.manner, Manner), build(cfg.moves, Moves)
    folder, console = run_folder(), Console()
    cfg.checkpoint = str(find_checkpoint(cfg.checkpoint))
    cfg.device = require_device(cfg.device)
    console.print(f"prior: {told(Path(cfg.checkpoint))}", highlight=False, soft_wrap=True)
    predictor = TrainedPredictor.load(cfg.checkpoint, cfg.device, trust=cfg.trust)
    data = data_of_checkpoint(
        Path(cfg.checkpoint), predictor.facts, source=cfg.source, embeddings=cfg.embeddings, data=cfg.data,
        trust=cfg.trust,
    )  # fmt: skip
    predictor.space.require_same(data.space, "the prior", f"the data of {data.source.name}")
    users, part = _users(cfg, data)
    _require_askable(cfg, data, ways)
    decoding = _decoding(cfg, data)
    if changed := differing_keys(folder, plain(cfg), ignore=("run_dir",)):
        raise ValueError(f"{folder} was begun with another {', '.join(changed)}: choose another run_dir")
    save_config(folder, plain(cfg))
    cast = _cast(cfg, predictor, data, moves, console)
    asking = _Asking(cfg, folder, data, part, users, cast, manner, decoding)
    found: dict[str, list[Sessions]] = {}
    columns = (TextColumn("{task.description:>22}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(ways) * cfg.seeds * len(users))
        for name, asker in ways.items():
            progress.update(task, description=name)
            found[name] = [
                asking.sessions(name, asker, place, lambda: progress.advance(task)) for place in range(cfg.seeds)
            ]
    _write(asking, found, console)
    return folder


def _ways(cfg: DictConfig) -> dict[str, Asker]:
    """Every policy with every kind of question that it is for."""
    kinds = [Kind.named(name) for name in cfg.questions]
    policies = {name: build(node, Policy) for name, node in (cfg.policies or {}).items() if node is not None}
    if not kinds or not cfg.use:
        raise ValueError("questions and use must not be empty: which policies ask which kinds of questions?")
    after = list(cfg.after)
    if not after or min(after) < 0 or len(set(after)) < len(after):
        raise ValueError(f"after must be different numbers of answers of at least 0, got {after}")
    if min(cfg.people, cfg.seeds, cfg.n, cfg.tastes, cfg.imagined, cfg.candidates, cfg.calibrate_people) < 1:
        raise ValueError("people, seeds, n, tastes, imagined, candidates and calibrate_people must be at least 1")
    require_between("reference", cfg.reference, 2, 1_000_000)
    require_between("calibrate_shown", cfg.calibrate_shown, 2, MOST_SHOWN)
    if cfg.temperature is not None:
        require_between("temperature", cfg.temperature, 1e-4, 100)
    found: dict[str, Asker] = {}
    for name in cfg.use:
        require_choice("a policy of use", name, policies)
        for kind in kinds:
            policy = policies[name]
            if not policy.fewest <= kind.shown <= policy.most:
                continue  # a pair of pictures is the only question of some policies
            found[f"{name}_{kind}"] = Asker(
                policy=policy, kind=kind, most_alike=cfg.most_alike, pleasant=cfg.pleasant
            )  # fmt: skip
    if not found:
        raise ValueError(
            f"none of the policies {', '.join(cfg.use)} is for questions of {', '.join(map(str, kinds))} pictures"
        )
    return found


def _require_askable(cfg: DictConfig, data: PreferenceDataModule, ways: Mapping[str, Asker]) -> None:
    """Refuses questions that these data cannot answer, and answers that nothing calibrates."""
    kinds = [asker.kind for asker in ways.values()]
    likes = data.scale.scale.liked_only
    if likes and any(kind.is_rating or kind.none for kind in kinds):
        raise ValueError(
            f"all ratings of {data.source.name} are likes, which say nothing of ratings or of 'none of these': ask for "
            "choices only, such as 'questions=[9]'"
        )
    if truth_known(data.source, data.space):
        for kind in kinds:
            kind.require_enough(min(cfg.candidates, len(data.catalogue)))
    if cfg.temperature is None:
        if not data.has_part("val"):
            raise ValueError(
                "answers are calibrated on validation users, and there are none: give temperature=0.4, and ask for "
                "choices only, such as 'questions=[9]'"
            )
    elif any(kind.is_rating or kind.none for kind in kinds):
        raise ValueError(
            "temperature=... is that of choices. Ratings and 'none of these' are calibrated: leave it out, or ask for "
            "choices only, such as 'questions=[9]'"
        )


def _cast(
    cfg: DictConfig, predictor: TrainedPredictor, data: PreferenceDataModule, moves: Moves, console: Console
) -> Cast:
    """The tastes of a stranger, and how answers are read."""
    catalogue, draws = data.catalogue, torch.Generator().manual_seed(cfg.seed)
    rows = torch.randperm(len(catalogue), generator=draws)[: cfg.reference]
    reference_RD = catalogue.embeddings_ND[rows].float()
    stranger = History.of(torch.zeros(0, data.space.dim), [], ages_K=[], user="")
    with console.status(f"imagining {cfg.tastes:,} users"):
        tastes = Tastes.imagine(predictor, stranger, reference_RD, cfg.tastes, cfg.imagined, draws)
    train = data.part("train")
    levels = Levels.of(data.scale, train.rating_N[train.rated_N])
    if cfg.temperature is not None:
        model = AnswerModel(temperature=cfg.temperature)
    else:
        calibrated = calibrate(
            predictor, data.part("val"), catalogue, data.scale, levels, reference_RD, shown=cfg.calibrate_shown,
            most=cfg.calibrate_people, generator=draws,
        )  # fmt: skip
        model = calibrated.model
        console.print(
            f"answers: temperature {model.temperature:g}, lapse {model.lapse:g}, from {calibrated.people} validation "
            f"users, whose choice among {calibrated.shown} has a probability of {calibrated.choice:.2f} "
            f"(guessing: {1 / calibrated.shown:.2f})",
            highlight=False,
        )
    return Cast(tastes, model, moves, levels, catalogue)


def _users(cfg: DictConfig, data: PreferenceDataModule) -> tuple[list[str], str]:
    """Users who were never trained on, at even distances."""
    part = held_part(data) if cfg.part is None else cfg.part
    require_choice("part", part, [name for name in data.part_names if name != "train"])
    table = data.part(part)
    codes = np.setdiff1d(np.unique(table.user_N), data.part("train").user_N)
    if not truth_known(data.source, data.space):
        counts = np.bincount(table.user_N, minlength=len(table.users))
        codes = codes[counts[codes] >= cfg.fewest]
    if not len(codes):
        raise ValueError(
            f"the part {part} of {data.source.name} has no user to ask: they must not have been trained on and, unless "
            f"it is a world, must have at least fewest={cfg.fewest} ratings. Train with data.splits.by=user"
        )
    count = min(cfg.people, len(codes))
    return [str(table.users[codes[i * len(codes) // count]]) for i in range(count)], part


@dataclass(frozen=True, eq=False)
class _Asking:
    """What all ways to ask have in common."""

    cfg: DictConfig
    folder: Path
    data: PreferenceDataModule
    part: str
    users: list[str]
    cast: Cast
    manner: Manner
    decoding: Decoding | None

    def sessions(self, name: str, asker: Asker, place: int, advance: Callable[[], None]) -> Sessions:
        """The sessions of one way to ask; read where an interrupted run has finished them."""
        path = make_folder(self.folder / SESSIONS) / f"{name}_{place}.json"
        if path.is_file():
            for _ in self.users:
                advance()
            return Sessions.read(path)
        after = list(self.cfg.after)
        decoded_after = [] if self.decoding is None else [count for count in after if count in self.decoding.lengths]
        people = self._people(self.cfg.seed + place)
        found = run_sessions(
            asker, people, after, seed=self.cfg.seed + place, patience=self.manner.patience, keep_made=decoded_after,
            advance=advance,
        )  # fmt: skip
        made = {count: self._decode(found, count) for count in decoded_after}
        if place == 0:
            self._strip(found, people[0], name, made)
        write_json(path, found.plain())
        return found

    def _people(self, seed: int) -> list[Asked]:
        cfg, source = self.cfg, self.data.source
        if not truth_known(source, self.data.space):
            return self.cast.of_ratings(self._replays, self._pool, self.manner, seed=seed)
        return self.cast.of_world(
            source, self.users, self._pool, self._uncertain, self.manner, n=cfg.n, diversity=cfg.diversity, seed=seed
        )

    @cached_property
    def _pool(self) -> Pool:
        """What can be shown: on a world the same random items to everybody, elsewhere what users rated."""
        if truth_known(self.data.source, self.data.space):
            draws = torch.Generator().manual_seed(self.cfg.seed)
            return self.cast.pool(torch.randperm(len(self.data.catalogue), generator=draws)[: self.cfg.candidates])
        item_I = np.unique(np.concatenate([each for one in self._replays for each in (one.item, one.others)]))
        return self.cast.pool(torch.from_numpy(item_I))

    @cached_property
    def _replays(self) -> list[Replay]:
        table, most = self.data.part(self.part), self.cfg.candidates
        return replays(table, self.users, len(self.data.catalogue), most=most, others=most, seed=self.cfg.seed)

    @cached_property
    def _uncertain(self) -> dict[str, Uncertainty]:
        """Of these users, by cells that fit validation users."""
        cfg, data = self.cfg, self.data
        cells = Cells.cut(data.catalogue, cfg.seed)
        if data.has_part("val"):
            people = people_of(data, "val", HistoryCut(), HISTORY).first(cfg.calibrate_people)
            cells = cells.fitted(self.cast.tastes, people, torch.Generator().manual_seed(cfg.seed))
        return Uncertainty.of(cells, data.catalogue, data.part(self.part), self.users)

    def _decode(self, found: Sessions, count: int) -> list[Image]:
        """Adds the utility of decoded pictures, embedded again; returns those of the first user."""
        assert self.decoding is not None
        assert truth_known(self.data.source, self.data.space)
        decoded = self.decoding.decode_and_embed(torch.stack(found.made[count]), self.data.space, self.cfg.seed)
        for user, again_nD, figures in zip(found.users, decoded.embeddings_BnD, found.figures[count], strict=False):
            figures[f"utility{DECODED}"] = float(self.data.source.scaled_utility(user, again_nD).mean())
        return decoded.pictures[0]

    def _strip(self, found: Sessions, asked: Asked, name: str, made: Mapping[int, list[Image]]) -> None:
        """The first user's questions and answers as a picture, where the source has pictures."""
        pictures, user = self.data.source.pictures(), found.users[0]
        if pictures is None:
            return
        ids = self.data.catalogue.ids
        shown = [
            [pictures.open(ids[int(asked.row_N[item])]) for item in answer.question.items]
            for answer in found.answers[user]
        ]
        sheet = filmstrip(f"{user}, asked by {name}", found.answers[user], shown, made, self.cast.levels.raw)
        save(sheet, self.folder / STRIP.format(name))


def _decoding(cfg: DictConfig, data: PreferenceDataModule) -> Decoding | None:
    """What is made is decoded on a world, whose decoder takes seconds; elsewhere nothing is made."""
    if truth_known(data.source, data.space):
        return chosen_decoding(cfg, data)
    if cfg.decoder is not None or cfg.encoder is not None:
        raise ValueError("decoder=... and encoder=... have no effect here: pictures are made on a world only")
    return None


def _write(asking: _Asking, found: Mapping[str, list[Sessions]], console: Console) -> None:
    """Figures with intervals over users, plots, and a table on the terminal."""
    cfg, folder, users = asking.cfg, asking.folder, asking.users
    prefix = f"{asking.data.source.name}/{asking.part}"
    figures, gains = figures_of(found, len(users), cfg.seed)
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
    for key, gain in gains.items():
        if gain.high < 0 and f"/utility{GAIN}" in key:
            console.print(f"answers hurt: {key} {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]", highlight=False)


def elicit(*overrides: str) -> Run:
    """Asks simulated or replayed users; words as for `python elicit.py`."""
    return call("elicit", ElicitConfig, run, overrides)
