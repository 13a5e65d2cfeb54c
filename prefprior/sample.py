"""`python sample.py`: galleries for users, by a trained prior and a decoder of its space."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import lightning
import numpy as np
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig
from PIL.Image import Image
from torch import Tensor

from prefprior.command_line import call
from prefprior.composition import build_decoder, data_of_checkpoint, decoder_node
from prefprior.config import build, command_again, overrides, plain, run_folder
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.encoders import encoder_of
from prefprior.data.embedding.text_axes import read_strengths
from prefprior.decoders.decoder import Decoder
from prefprior.decoders.safety import NoSafety, Safety
from prefprior.edits import edit_strength, factors_kept, picture_to_edit, repaint_of, require_edit
from prefprior.gallery.embeddings import PersonalEmbeddings
from prefprior.gallery.figures import Figures, RealPictures
from prefprior.gallery.maker import GalleryMaker
from prefprior.gallery.manifest import begin, file_hash, is_complete, read_manifest, user_folder
from prefprior.gallery.new_user import NewUser, from_file, from_folders
from prefprior.gallery.pages import write_pages
from prefprior.gallery.predict_loop import GalleryModule, GroupedUsers
from prefprior.gallery.settings import GallerySettings
from prefprior.gallery.users import DatasetUsers, GalleryUsers
from prefprior.inference.predictor import TrainedPredictor
from prefprior.inference.steering import Steering
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.replay import NOT_REPEATED, portable, repeated
from prefprior.runs import GALLERY, Run, differing_keys, find_checkpoint, save_config, told, write_metrics
from prefprior.schemas import SampleConfig
from prefprior.trainer import build_trainer, stopped_by_hand
from prefprior.world.source import truth_known


@dataclass(frozen=True, eq=False)
class Loaded:
    """What a gallery is made with."""

    checkpoint: Path
    sha256: str
    predictor: TrainedPredictor
    data: PreferenceDataModule | None  # None if only a new user is asked for and the data are missing
    decoder: Decoder
    safety: Safety
    original: Image | None  # the picture that is edited

    @property
    def space(self) -> str:
        """The name of the space that all of it shares."""
        return self.predictor.space.name


def run(cfg: DictConfig) -> Path:
    """Makes what is missing of a gallery, then its pages and figures; returns the run's folder."""
    config, made_with = SampleConfig(**plain(cfg)), None
    if config.manifest is not None:
        changed = {word.split("=", 1)[0].split(".")[0].split("/")[-1] for word in overrides()}
        config, made_with = repeated(config, changed)
    _require_sense(config)
    folder = run_folder()
    config, loaded = _load(config, made_with)
    users = _users(config, loaded)
    maker = _maker(config, folder / GALLERY, loaded, users)
    groups = GroupedUsers(maker, size=2 if maker.interpolate else config.people_at_once)
    trainer = _trainer(config, folder)
    if trainer.is_global_zero:
        _begin(folder, config, maker)
    module = GalleryModule(maker, [loaded.decoder, loaded.safety, loaded.predictor.model])
    with stopped_by_hand(trainer, lambda: _interrupted(folder, maker)):
        trainer.predict(module, datamodule=groups, return_predictions=False)
    trainer.strategy.barrier("pictures")
    if trainer.is_global_zero:
        _finish(config, folder, maker, loaded)
    return folder


def _require_sense(config: SampleConfig) -> None:
    """Refuses what contradicts itself, before anything is read."""
    if config.people is not None and config.people < 1:
        raise ValueError(f"people must be at least 1, or null for all users, got {config.people}")
    if not isinstance(config.users, str | int | list) or config.users == []:
        raise ValueError(f"users must be ids, unseen or all, such as 'users=[a,b]'; got {config.users}")
    if config.ratings is not None and (config.likes is not None or config.dislikes is not None):
        raise ValueError("give either ratings=FILE or likes=FOLDER and dislikes=FOLDER, not both")
    if config.interpolate is not None:
        pair = config.interpolate
        if not isinstance(pair, list) or len(set(map(str, pair))) != 2:
            raise ValueError(f"interpolate takes two users, such as 'interpolate=[a,b]'; got {pair}")
    if config.axes is not None:
        read_strengths(config.axes)
    require_edit(config)


def _load(config: SampleConfig, made_with: str | None) -> tuple[SampleConfig, Loaded]:
    """Everything the gallery is made with, and the configuration with checkpoint and decoder filled in."""
    path = find_checkpoint(config.checkpoint)
    sha256 = file_hash(path)
    if made_with not in (None, sha256):
        raise ValueError(
            f"{path} is not the checkpoint that made these pictures: its hash is {sha256[:12]}, the "
            f"manifest has {str(made_with)[:12]}. Give checkpoint=... of the original."
        )
    original = None if config.edit is None else picture_to_edit(config.edit)
    predictor = TrainedPredictor.load(path, trust=config.trust)
    config = replace(config, checkpoint=str(path), decoder=decoder_node(config.decoder, predictor.space.name))
    data = _data(config, predictor)
    decoder = build_decoder(config.decoder, data, predictor.space.name)
    say = rank_zero_only(print)
    say(f"prior: {told(path)}")
    say(f"space: {predictor.space.name}; decoder: {decoder.identity}", flush=True)
    safety = build(config.safety, Safety) or NoSafety()
    return config, Loaded(path, sha256, predictor, data, decoder, safety, original)


def _data(config: SampleConfig, predictor: TrainedPredictor) -> PreferenceDataModule | None:
    """The data the checkpoint was trained on; a new user does not need it."""
    needed = not _is_new_user(config)
    if not predictor.facts.get("data"):
        if needed:
            raise ValueError(f"{config.checkpoint} does not record its training data. Give likes=... or ratings=...")
        return None
    try:
        data = data_of_checkpoint(
            Path(str(config.checkpoint)), predictor.facts, source=config.source, embeddings=config.embeddings,
            trust=config.trust,
        )  # fmt: skip
    except ValueError as error:
        if needed:
            raise
        print(f"real pictures will not be shown beside the generated ones: {error}")
        return None
    predictor.space.require_same(data.space, "the checkpoint", "data")
    return data


def _is_new_user(config: SampleConfig) -> bool:
    return any(given is not None for given in (config.likes, config.dislikes, config.ratings))


def _users(config: SampleConfig, loaded: Loaded) -> GalleryUsers:
    """Whose gallery it is."""
    if not _is_new_user(config):
        assert loaded.data is not None
        chosen = config.users if config.interpolate is None else config.interpolate
        return DatasetUsers(
            loaded.data, users=chosen, length=config.history, count=config.people, seed=config.seed
        )  # fmt: skip
    rated = from_folders(config.likes, config.dislikes) if config.ratings is None else from_file(config.ratings)
    name = Path(str(config.ratings or config.likes or config.dislikes)).resolve().stem
    liked, disliked = (sum(sign * picture.rating > 0 for picture in rated) for sign in (1, -1))
    rank_zero_only(print)(f"{name}: {len(rated)} rated pictures, {liked} liked and {disliked} disliked", flush=True)
    return NewUser(name=name, rated=rated, encoder=encoder_of(loaded.space), space_name=loaded.space)


def _settings(config: SampleConfig, loaded: Loaded) -> GallerySettings:
    """What all users of the gallery have in common."""
    return GallerySettings(
        checkpoint=str(loaded.checkpoint),
        checkpoint_sha256=loaded.sha256,
        space=loaded.space,
        space_fingerprint=loaded.predictor.space.fingerprint(),
        decoder=loaded.decoder.identity,
        sampler=_sampler(config, loaded.predictor.sampler),
        safety=loaded.safety.identity,
        n=config.n,
        seed=config.seed,
        history=config.history,
        copy_threshold=config.copy_threshold,
        negative=config.negative,
        nearest=config.nearest,
        prompt=config.prompt or None,
        prompt_weight=_prompt_weight(config, loaded),
        axes=None if config.axes is None else read_strengths(config.axes),
        edit=None if config.edit is None else file_hash(config.edit),
        edit_strength=edit_strength(config),
        repaint=repaint_of(config, loaded.decoder),
        command=portable(vars(config)),
    )


def _sampler(config: SampleConfig, own: Sampler) -> Sampler:
    """The checkpoint's sampler, with what the command changes."""
    changes = {name: getattr(config, name) for name in ("steps", "candidates", "diversity")}
    scales = {name: getattr(config, f"guidance_{name}") for name in ("history", "rating", "text")}
    guidance = Guidance(**{name: getattr(own.guidance, name) if x is None else x for name, x in scales.items()})
    return own.changed(guidance=guidance, **{name: x for name, x in changes.items() if x is not None})


def _prompt_weight(config: SampleConfig, loaded: Loaded) -> float | None:
    """What a prompt counts in the choice among candidates; None where it does not choose."""
    conditioned = loaded.predictor.reads_text
    if config.guidance_text is not None and not (config.prompt and conditioned):
        raise ValueError(
            "guidance_text is the guidance scale of a prompt, for priors that were trained with texts "
            "(prior.text=true). " + ("Give prompt=... too." if conditioned else "For this one, set prompt_weight.")
        )
    if config.prompt_weight is not None and (conditioned or not config.prompt):
        raise ValueError(
            "prompt_weight is the weight of a prompt in the selection of candidates, for priors that "
            "were trained without texts. "
            + ("For this one, set guidance_text." if conditioned else "Give prompt=... too.")
        )
    if not config.prompt or conditioned:
        return None
    if config.prompt_weight == 0 and not loaded.decoder.takes_prompt:
        raise ValueError("a prompt with prompt_weight=0 has no effect: leave it out, or raise the weight")
    return 0.5 if config.prompt_weight is None else config.prompt_weight


def _steering(settings: GallerySettings, predictor: TrainedPredictor) -> Steering | None:
    """What moves pictures along the axes that were asked for."""
    if settings.axes is None:
        return None
    return Steering.named(settings.axes, encoder_of(settings.space), predictor.model.lengths.direction_PD)


def _text(settings: GallerySettings) -> Tensor | None:
    """The prompt as the space's text tower embeds it, where the prior or the choice among candidates needs it."""
    if settings.prompt is None or settings.prompt_weight == 0:  # only the decoder reads it
        return None
    return encoder_of(settings.space).encode_texts([settings.prompt])[0]


def _maker(config: SampleConfig, root: Path, loaded: Loaded, users: GalleryUsers) -> GalleryMaker:
    settings, predictor, data = _settings(config, loaded), loaded.predictor, loaded.data
    source = None if data is None else data.source
    truth = source if isinstance(users, DatasetUsers) and truth_known(source, predictor.space) else None
    walk = config.interpolate is not None
    encode = encoder_of(loaded.space).encode_images if truth is not None or loaded.original is not None else None
    original_D = None if loaded.original is None or encode is None else encode([loaded.original])[0]
    figures = Figures(
        space=predictor.space,
        real=None if data is None else RealPictures(data.catalogue, data.source.pictures()),
        nearest=config.nearest,
        truth=None if walk else truth,  # an interpolation between two users has no true utility
        encode=encode if truth is not None and config.measure_decoded else None,
        kept=factors_kept(truth, original_D),
    )
    return GalleryMaker(
        root=root,
        settings=settings,
        users=users,
        embeddings=PersonalEmbeddings(
            predictor=predictor,
            settings=settings,
            text_D=_text(settings),
            catalogue=None if data is None else data.catalogue,
            steering=_steering(settings, predictor),
            original_D=original_D,
        ),
        decoder=loaded.decoder,
        safety=loaded.safety,
        figures=figures,
        interpolate=walk,
        original=loaded.original,
    )


def _trainer(config: SampleConfig, folder: Path) -> lightning.Trainer:
    return build_trainer(
        config.trainer,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        inference_mode=config.edit is None,  # edits follow the gradient of a score
        precision="32-true",  # how a decoder computes is its own choice
        callbacks=[TQDMProgressBar(leave=False)] if config.trainer.get("enable_progress_bar", True) else [],
    )


def _begin(folder: Path, config: SampleConfig, maker: GalleryMaker) -> None:
    """Writes down what the gallery is made with, or refuses to continue one that was begun otherwise."""
    if differing := differing_keys(folder, vars(config), NOT_REPEATED):
        raise ValueError(
            f"the gallery in {folder} was started with other settings: {', '.join(differing[:6])} differ. "
            "Give the same settings to continue it, or choose another run_dir."
        )
    begin(maker.root, maker.settings)
    save_config(folder, vars(config))


def _interrupted(folder: Path, maker: GalleryMaker) -> str:
    """What is whole of a gallery that was stopped by hand, and how to go on."""
    whole = sum(is_complete(maker.root, name) for name in maker.names_made)
    return (
        f"interrupted: {whole} of {len(maker.names_made)} users have all their pictures in "
        f"{maker.root}. To resume:\n  {command_again('sample', folder)}"
    )


def _finish(config: SampleConfig, folder: Path, maker: GalleryMaker, loaded: Loaded) -> None:
    """Pages and figures, once the pictures of all users exist."""
    root, names = maker.root, maker.names_made
    missing = [name for name in names if not is_complete(root, name)]
    if missing:
        raise ValueError(f"{len(missing)} users are missing, for example {missing[0]}. Run the same command again.")
    source = "own" if loaded.data is None else loaded.data.source.name
    title = "A gallery" if _is_new_user(config) else f"Galleries: {source}"
    index = write_pages(root, names, title, maker.settings)
    totals: dict[str, list[float]] = {}
    for name in names:
        manifest = read_manifest(user_folder(root, name))
        figures: Mapping[str, float] = {**manifest["summary"], **manifest["counts"]}
        for key, value in figures.items():
            totals.setdefault(key, []).append(value)
    where = f"{source}/{maker.users.part}/prior"
    write_metrics(folder, {f"{where}/{key}@{config.history}": float(np.mean(v)) for key, v in totals.items()})
    print(f"gallery: {index}", flush=True)


def sample(*overrides: str) -> Run:
    """Makes galleries; words as for `python sample.py`."""
    return call("sample", SampleConfig, run, overrides)
