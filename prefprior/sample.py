"""`python sample.py`: galleries for people, by a trained prior and a decoder of its space."""

import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from prefprior.composition import data_of_checkpoint
from prefprior.config import build, plain, run_command, run_folder
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.encoders import encoder_of
from prefprior.decoders.decoder import Decoder, require_space
from prefprior.decoders.default import decoder_node, fitting_decoder
from prefprior.files import remove_leftovers
from prefprior.gallery.candidates import Drawer, Prompt, Recipe
from prefprior.gallery.maker import Maker
from prefprior.gallery.manifest import FORMAT, begin, file_hash, is_complete, person_folder, read_manifest
from prefprior.gallery.pages import write_pages
from prefprior.gallery.predict_loop import GalleryModule, GroupedPeople
from prefprior.gallery.sampler import PriorSampler
from prefprior.gallery.users import Folk, KnownFolk, Newcomer, from_file, from_folders
from prefprior.inference.predictor import TrainedPredictor
from prefprior.replay import repeated, require_checkpoint
from prefprior.runs import GALLERY, find_checkpoint, save_config, write_metrics
from prefprior.world.source import truth_known


@dataclass
class SampleConfig:
    """The top-level keys of conf/sample.yaml."""

    manifest: str | None = None  # of one person of a gallery: the same pictures again
    checkpoint: str | None = None  # a file or a run's folder; by default the last run's
    trust: list[str] = field(default_factory=list)  # packages beside prefprior whose classes a checkpoint may name
    users: Any = "unseen"  # ids, unseen or all
    people: int | None = 8  # of unseen or all, at most so many; null for everyone
    likes: str | None = None  # folders of pictures of someone in no data set
    dislikes: str | None = None
    ratings: str | None = None  # or a CSV: picture, rating
    interpolate: Any = None  # [a, b]: a walk from one person to another
    history: int = 16  # how many ratings the prior sees of a person
    n: int = 8
    steps: int | None = None  # by default as the checkpoint says
    guidance_history: float | None = None
    guidance_rating: float | None = None
    guidance_text: float | None = None  # of a prompt, where the prior was trained with texts
    best_of: int | None = None  # candidates for each picture; by default as the checkpoint says
    diversity: float | None = None  # what being unlike the others counts beside the score; likewise
    copy_threshold: float = 0.95
    negative: bool = False
    prompt: str | None = None
    prompt_weight: float = 0.5
    seed: int = 0
    nearest: int = 3  # real pictures shown beside each made one
    look: bool = True  # where the truth is known (the world): embed decoded pictures again, to measure them
    people_at_once: int = 2  # decoded as one, and made again as one where a run was interrupted
    source: Any = None
    embeddings: Any = None
    decoder: Any = None
    safety: Any = None
    trainer: Any = None
    run_dir: str = "runs/sample/${now:%Y-%m-%d_%H-%M-%S}"


def run(cfg: DictConfig) -> Path:
    """Makes what is missing of a gallery, then its pages and figures; returns the run's folder."""
    if cfg.people is not None and cfg.people < 1:
        raise ValueError(f"people must be at least 1, or null for everyone, got {cfg.people}")
    if cfg.history < 1:
        raise ValueError(f"history must be at least 1: without any rating there is no taste to show, got {cfg.history}")
    wanted_hash = None
    if cfg.manifest is not None:
        cfg, wanted_hash = repeated(cfg, SampleConfig)
    _quiet()
    folder = run_folder()
    path = find_checkpoint(cfg.checkpoint)
    found_hash = file_hash(path)
    require_checkpoint(path, found_hash, wanted_hash)
    cfg.checkpoint = str(path)
    predictor = TrainedPredictor.load(path, trust=cfg.trust)
    newcomer = any(cfg[key] is not None for key in ("likes", "dislikes", "ratings"))
    data = _data(cfg, predictor, needed=not newcomer)
    cfg.decoder = decoder_node(cfg.decoder, predictor.space.name)
    decoder = fitting_decoder(cfg.decoder, data, predictor.space.name)
    require_space(decoder, predictor.space.name)
    say = rank_zero_only(print)
    say(f"prior: {path} ({predictor.space.name}); decoder: {decoder.identity}", flush=True)
    safety = build(cfg.safety)
    folk = _folk(cfg, predictor, data)
    maker = _maker(cfg, folder / GALLERY, found_hash, predictor, data, folk, decoder, safety)
    groups = GroupedPeople(maker, size=2 if cfg.interpolate is not None else cfg.people_at_once)
    trainer = build(
        cfg.trainer,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        precision="32-true",  # how a decoder computes is its own choice
        callbacks=[TQDMProgressBar(leave=False)] if cfg.trainer.get("enable_progress_bar", True) else [],
    )
    if trainer.is_global_zero:
        save_config(folder, plain(cfg))
        begin(maker.root, maker.settings)
    trainer.predict(
        GalleryModule(maker, [decoder, safety, predictor.model]), datamodule=groups, return_predictions=False
    )
    trainer.strategy.barrier("pictures")
    if trainer.is_global_zero:
        _finish(cfg, folder, maker, data)
    return folder


def _data(cfg: DictConfig, predictor: TrainedPredictor, *, needed: bool) -> PreferenceDataModule | None:
    """The data the checkpoint was trained on; someone in no data set can do without it."""
    if not predictor.facts.get("data"):
        if needed:
            raise ValueError(f"{cfg.checkpoint} does not say what it was trained on. Give likes=... or ratings=...")
        return None
    try:
        data = data_of_checkpoint(
            Path(cfg.checkpoint), predictor.facts, source=cfg.source, embeddings=cfg.embeddings, trust=cfg.trust
        )
    except ValueError as error:
        if needed:
            raise
        print(f"without real pictures beside the made ones: {error}")
        return None
    predictor.space.require_same(data.space, "the checkpoint", "data")
    return data


def _folk(cfg: DictConfig, predictor: TrainedPredictor, data: PreferenceDataModule | None) -> Folk:
    if cfg.likes is not None or cfg.dislikes is not None or cfg.ratings is not None:
        if cfg.ratings is not None and (cfg.likes is not None or cfg.dislikes is not None):
            raise ValueError("give either ratings=FILE or likes=FOLDER and dislikes=FOLDER, not both")
        rated = from_file(cfg.ratings) if cfg.ratings is not None else from_folders(cfg.likes, cfg.dislikes)
        name = Path(cfg.ratings or cfg.likes or cfg.dislikes).resolve().stem
        liked, disliked = (sum(sign * picture.rating > 0 for picture in rated) for sign in (1, -1))
        rank_zero_only(print)(f"{name}: {len(rated)} rated pictures, {liked} liked and {disliked} disliked", flush=True)
        space = predictor.space.name
        return Newcomer(name=name, rated=rated, encoder=encoder_of(space), space_name=space)
    assert data is not None
    users: Any = plain(cfg)["users"]
    if cfg.interpolate is not None:
        users = plain(cfg)["interpolate"]
        if not isinstance(users, list) or len(set(map(str, users))) != 2:
            raise ValueError(f"interpolate takes two people, such as interpolate=[a,b]; got {users}")
    return KnownFolk(data, users=users, length=cfg.history, count=cfg.people, seed=cfg.seed)


def _maker(
    cfg: DictConfig,
    root: Path,
    checkpoint_hash: str,
    predictor: TrainedPredictor,
    data: PreferenceDataModule | None,
    folk: Folk,
    decoder: Decoder,
    safety: Any,
) -> Maker:
    if cfg.guidance_text is not None and not (cfg.prompt and predictor.reads_text):
        raise ValueError(
            "guidance_text is what a prompt counts for a prior that was trained with texts (prior.text=true). "
            + ("Give prompt=... too." if predictor.reads_text else "For this one, set prompt_weight.")
        )
    read = cfg.prompt and predictor.reads_text
    sampler = PriorSampler(
        predictor,
        steps=cfg.steps,
        guidance_history=cfg.guidance_history,
        guidance_rating=cfg.guidance_rating,
        guidance_text=cfg.guidance_text,
        text_D=encoder_of(predictor.space.name).encode_texts([cfg.prompt])[0] if read else None,
    )
    own = predictor.sampler
    recipe = Recipe(
        n=cfg.n,
        best_of=own.candidates if cfg.best_of is None else cfg.best_of,
        diversity=own.diversity if cfg.diversity is None else cfg.diversity,
        copy_threshold=cfg.copy_threshold,
        negative=cfg.negative,
        seed=cfg.seed,
    )
    if cfg.negative and not decoder.takes_negative:
        raise ValueError(f"the decoder {decoder.identity} takes no negative embeddings. Leave negative=true out.")
    catalogue = None if data is None else data.catalogue
    bend = None
    if cfg.prompt and not decoder.takes_prompt and not predictor.reads_text:
        if catalogue is None:
            raise ValueError(
                "a prompt bends taste by way of the data's pictures, which are not at hand. Leave it out, or choose a "
                "decoder that takes words itself (ip_adapter_sdxl, stable_unclip)."
            )
        text_D = encoder_of(predictor.space.name).encode_texts([cfg.prompt])[0]
        bend = Prompt(text_D, catalogue, weight=cfg.prompt_weight)
    drawer = Drawer(
        space=predictor.space,
        sample=sampler,
        rank=sampler.rank,
        recipe=recipe,
        catalogue=catalogue,
        bend=bend,
    )
    source = None if data is None else data.source
    truth = source if isinstance(folk, KnownFolk) and truth_known(source, predictor.space) else None
    config = {key: value for key, value in plain(cfg).items() if key not in ("run_dir", "trainer", "manifest", "trust")}
    settings = {
        "format": FORMAT,
        "checkpoint": {"path": str(cfg.checkpoint), "sha256": checkpoint_hash},
        "space": {"name": predictor.space.name, "fingerprint": predictor.space.fingerprint()},
        "decoder": {"identity": decoder.identity, "space": decoder.space_name},
        "safety": {"identity": safety.identity},
        "recipe": recipe.__dict__,
        "sampling": sampler.settings(),
        "prompt": {"text": cfg.prompt, "weight": cfg.prompt_weight},
        "history": cfg.history,
        "config": config,
    }
    return Maker(
        root=root,
        settings=settings,
        folk=folk,
        drawer=drawer,
        decoder=decoder,
        safety=safety,
        catalogue=catalogue,
        pictures=None if source is None else source.pictures(),
        prompt=cfg.prompt,
        nearest=cfg.nearest,
        truth=truth,
        look=encoder_of(predictor.space.name).encode_images if truth is not None and cfg.look else None,
        interpolate=cfg.interpolate is not None,
    )


def _finish(cfg: DictConfig, folder: Path, maker: Maker, data: PreferenceDataModule | None) -> None:
    """Pages and figures, once everybody's pictures are there."""
    root, names = maker.root, maker.names_made
    missing = [name for name in names if not is_complete(root, name)]
    if missing:
        raise ValueError(f"{len(missing)} people are missing, for example {missing[0]}. Run the same command again.")
    remove_leftovers(root)
    name = data.source.name if data is not None else "own"
    index = write_pages(root, names, f"Galleries: {name}" if isinstance(maker.folk, KnownFolk) else "A gallery")
    totals: dict[str, list[float]] = {}
    for person in names:
        manifest = read_manifest(person_folder(root, person))
        for key, value in {**manifest["summary"], **manifest["counts"]}.items():
            totals.setdefault(key, []).append(value)
    figures = {
        f"{name}/{maker.folk.part}/prior/{key}@{cfg.history}": float(np.mean(values)) for key, values in totals.items()
    }
    write_metrics(folder, figures)
    print(f"gallery: {index}", flush=True)


def _quiet() -> None:
    """Lightning's remarks on itself are no news to who looks at pictures."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (".*treespec.*", ".*does not have many workers.*"):
        warnings.filterwarnings("ignore", message)


def main() -> None:
    """The command."""
    run_command("sample", SampleConfig, run)


if __name__ == "__main__":
    main()
