"""`python serve.py`: the studio, on a trained prior, its decoder and a database."""

import gc
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import torch
import uvicorn
from omegaconf import DictConfig
from rich.console import Console

from prefprior.command_line import call
from prefprior.composition import build_decoder, data_of_checkpoint, decoder_node
from prefprior.config import build, plain, plain_node, run_folder
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.encoders import encoder_of
from prefprior.data.embedding.text_axes import require_axis
from prefprior.decoders.safety import NoSafety, Safety
from prefprior.elicitation.asker import Asker
from prefprior.elicitation.belief import Moves
from prefprior.elicitation.exploration import Exploration
from prefprior.elicitation.policies.policy import Policy
from prefprior.elicitation.questions import Kind
from prefprior.elicitation.strangers import stranger_cast
from prefprior.errors import require_between
from prefprior.evaluated import require_device
from prefprior.gallery.manifest import file_hash
from prefprior.inference.certainty import Certainty
from prefprior.inference.predictor import TrainedPredictor
from prefprior.inference.steering import Steering
from prefprior.malloc import keep_freed_memory
from prefprior.runs import Run, gone_on_from, save_config, told
from prefprior.schemas import ServeConfig
from prefprior.studied import find_runs, of_second
from prefprior.studio.apart import Apart
from prefprior.studio.arms import Studied, require_comparable
from prefprior.studio.inference import Inference, Making, Sampling
from prefprior.studio.painter import Painter
from prefprior.studio.renewal import Renewal
from prefprior.studio.served import PAGES, Offer, Parts
from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.picture_files import PictureFiles, default_of
from prefprior.studio.store.studies import Studies, Study
from prefprior.studio.web.app import Rates, create_app
from prefprior.studio.wishes import Wishes

DATABASE = "studio.sqlite"
OPEN_WARNING = (
    "warning: other machines can reach this address, and cookies travel over it unencrypted. Let a proxy speak HTTPS, "
    "and give secure_cookies=true 'proxies=[ADDRESS OF THE PROXY]' (docs/studio.md)"
)
TEMPERATURE = 0.4  # of choices, where nothing calibrates them


def run(cfg: DictConfig) -> Path:
    """Serves until it is stopped; returns the run's folder."""
    folder, rates = run_folder(), build(cfg.rates, Rates)
    with _imports_uncollected(), socket_of(cfg.host, cfg.port) as listening:
        began = time.time()
        studio = studio_of(cfg, folder, Console())
        renewal = Renewal(
            Path(cfg.checkpoint), since=began, newer=gone_on_from,
            load=lambda path: parts_of(cfg, path, Console(quiet=True)),
        )  # fmt: skip
        save_config(folder, plain(cfg) | {"database": studio.database.name})
        app = create_app(
            studio, secure_cookies=cfg.secure_cookies, invite_only=cfg.invite_only, rates=rates,
            renewal=renewal if cfg.renew and studio.arms is None else None,  # a study compares what it began with
        )  # fmt: skip
        if not is_loopback(cfg.host) and not cfg.secure_cookies:
            print(OPEN_WARNING, flush=True)
        print(f"studio: {address(cfg.host, listening.getsockname()[1])} (Ctrl-C ends it)", flush=True)
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False, proxy_headers=bool(cfg.proxies),
                forwarded_allow_ips=list(cfg.proxies), timeout_graceful_shutdown=10,
            )
        )  # fmt: skip
        server.run(sockets=[listening])
    return folder


@contextmanager
def _imports_uncollected() -> Iterator[None]:
    """A full garbage collection would look through all that was imported: half a second in which everybody waits."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()  # or native modules report at the end that they leak


def studio_of(cfg: DictConfig, folder: Path, console: Console) -> Studio:
    """The studio of a configuration: its checkpoint is loaded, and a stranger's tastes are imagined."""
    keep_freed_memory()
    for name in ("tastes", "imagined", "candidates", "calibrate_people", "beliefs", "waiting"):
        require_between(name, cfg[name], 1, 10_000_000)
    require_between("reference", cfg.reference, 2, 1_000_000)
    for axis in cfg.axes:
        require_axis(axis)
    cfg.device = require_device(cfg.device)
    runs = find_runs(cfg)
    path = Path(cfg.checkpoint)
    database = Database.open(cfg.database or f"sqlite:///{folder / DATABASE}")
    database.claim()
    files = PictureFiles(database, cfg.pictures or default_of(database, folder))
    files.recover()
    priors = [told(Path(each)) for each in cfg.study or [path]]
    console.print(
        f"prior: {' and '.join(priors)}\ndatabase: {database.name}\nmade pictures: {files.url}", highlight=False,
        soft_wrap=True,
    )  # fmt: skip
    settings: dict[str, Any] = {
        "database": database, "files": files, "making": build(cfg.making, Making), "waiting": cfg.waiting,
    }  # fmt: skip
    parts = parts_of(cfg, path, console)
    if cfg.study is None:
        return Studio(parts=parts, **settings)
    second = parts_of(of_second(cfg), Path(cfg.study[1]), console)
    require_comparable(parts, second, settings["making"].n)  # before the database has a study that never begins
    studies, both = Studies(database), (parts, second)
    arms = [
        arm | {"model": each.inference.model, "catalogue": each.sampling.catalogue.digest()}
        for arm, each in zip(runs, both, strict=True)
    ]
    before = studies.all()
    study = studies.open(arms, parts.offer.levels)
    console.print(_told(study, before, database.name), highlight=False, soft_wrap=True)
    parts_at = {study.place_of(arm): each for arm, each in zip(arms, both, strict=True)}
    return Studio(parts=parts_at[0], studied=Studied(study, parts_at[1]), **settings)


def _told(study: Study, before: list[Study], database: str) -> str:
    """Whether a study goes on or begins; of one that begins, how it differs from the earlier one most like it."""
    is_new = study.id not in {each.id for each in before}
    said = f"study {study.id} {'begins' if is_new else 'goes on'}: python scripts/study.py {database}"
    if not (is_new and before):
        return said
    nearest = min(reversed(before), key=lambda each: len(each.differences(study)))
    return f"{said}\nit is not study {nearest.id}, which has {', '.join(nearest.differences(study))}"


def parts_of(cfg: DictConfig, path: Path, console: Console) -> Parts:
    """A checkpoint's model and decoder with their pictures, and what they can be asked."""
    # What is wrong with these is said before the minute that tastes take.
    exploration, making, moves = build(cfg.exploration, Exploration), build(cfg.making, Making), build(cfg.moves, Moves)
    model = file_hash(path)
    predictor = TrainedPredictor.load(path, cfg.device, trust=cfg.trust)
    if file_hash(path) != model:
        raise ValueError(f"{path} was written while it was loaded: try again")
    data = data_of_checkpoint(
        path, predictor.facts, source=cfg.source, embeddings=cfg.embeddings, data=cfg.data, trust=cfg.trust
    )
    predictor.space.require_same(data.space, "the prior", f"the data of {data.source.name}")
    pictures = data.source.pictures()
    if pictures is None:
        raise ValueError(
            f"the studio shows pictures, but those of {data.source.name} were not found. Give their folder: "
            "source.pictures=FOLDER (of a table) or source.root=FOLDER (of a data set)"
        )
    decoder = build_decoder(decoder_node(plain_node(cfg.decoder), predictor.space.name), data, predictor.space.name)
    decoder.to(cfg.device)
    safety: Safety = build(cfg.safety, Safety) or NoSafety()
    safety.to(cfg.device)
    encoder = encoder_of(predictor.space.name, cfg.device) if cfg.axes or cfg.prompts else None
    if encoder is not None and cfg.axes:
        # Refuses what its CLIP does not know, and axes that depend on each other.
        Steering.named(dict.fromkeys(cfg.axes, 0.0), encoder, predictor.model.lengths.direction_PD)
    wishes = Wishes(tuple(cfg.axes), cfg.prompts, decoder.takes_negative)
    calibrated = _is_calibrated(data)
    askers = _askers(cfg, calibrated=calibrated)
    for asker in askers.values():  # twice as many: chance may replace all that a policy chose
        asker.kind.require_enough(min(cfg.candidates, len(data.catalogue)) // 2)
    with console.status(f"imagining {cfg.tastes:,} users"):
        cast, found = stranger_cast(
            predictor, data, moves, tastes=cfg.tastes, imagined=cfg.imagined,
            reference=cfg.reference, temperature=None if data.has_part("val") else TEMPERATURE,
            shown=cfg.calibrate_shown, most=cfg.calibrate_people, seed=cfg.seed,
        )  # fmt: skip
        draws = torch.Generator().manual_seed(cfg.seed)
        pool = cast.pool(torch.randperm(len(data.catalogue), generator=draws)[: cfg.candidates])
    if found is not None:
        console.print(f"answers: {found.in_words()}", highlight=False)
    inference = Inference(
        model=model, cast=cast, pool=pool, askers=askers,
        exploration=exploration, most_beliefs=cfg.beliefs,
    )  # fmt: skip
    sampling = Sampling(
        catalogue=data.catalogue, certainty=Certainty.told(predictor.facts), making=making, wishes=wishes,
        # On another device they take little of a processor, and a second process would need its memory too.
        encoder=encoder, apart=Apart(cast, pool) if cfg.device == "cpu" else None,
    )  # fmt: skip
    console.print(f"pages: {', '.join(askers)}; decoder: {decoder.identity}", highlight=False)
    return Parts(
        inference=inference, sampling=sampling, painter=Painter(decoder=decoder, safety=safety), pictures=pictures,
        offer=Offer({name: asker.kind for name, asker in askers.items()}, cast.levels.raw, wishes),
    )  # fmt: skip


def address(host: str, port: int) -> str:
    """Where a browser finds it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether other machines cannot reach it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def socket_of(host: str, port: int) -> socket.socket:
    """Taken before the minutes that loading takes; until then nobody is let in."""
    require_between("port", port, 0, 65_535)
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        told = error.strerror or str(error)
        raise ValueError(
            f"cannot listen on {host}:{port}: {told}. Choose another with host=... and port=..."
        ) from error
    return made


def _is_calibrated(data: PreferenceDataModule) -> bool:
    """Whether ratings and "none of these" mean something: that needs validation users with more than likes."""
    return data.has_part("val") and not data.scale.scale.liked_only


def _askers(cfg: DictConfig, *, calibrated: bool) -> dict[str, Asker]:
    """By page, those that were chosen and that the data allow."""
    found: dict[str, Asker] = {}
    for name, shown in PAGES.items():
        policy = build(cfg[name], Policy)
        if policy is None or (shown == 1 and not calibrated):
            continue
        if policy.along or type(policy).begin is not Policy.begin:
            raise ValueError(
                f"the policy {type(policy).__name__} asks about pictures or by a belief of its own, which the studio "
                f"does not keep: choose another for {name}, such as policy@{name}=eubo"
            )
        kind = Kind(shown, none=shown > 2 and calibrated)
        found[name] = Asker(policy=policy, kind=kind, most_alike=cfg.most_alike, pleasant=cfg.pleasant)
    if not found:
        raise ValueError("no page is left: give nine, pair, rate or roam a policy, such as policy@nine=eubo")
    return found


def serve(*overrides: str) -> Run:
    """Opens the studio until it is stopped; words as for `python serve.py`."""
    return call("serve", ServeConfig, run, overrides)
