"""What an evaluation compares, and on which data: trained priors and baselines, as its configuration names them."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from prefprior import checkpoint
from prefprior.baselines.search import Search
from prefprior.composition import build_decoder, data_of_checkpoint, decoder_node, training_part
from prefprior.config import build, plain_node
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.encoders import OpenClipEncoder, encoder_of
from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.protocol.decoding import Decoding
from prefprior.evaluation.protocol.oracle import Oracle
from prefprior.evaluation.protocol.overlap import what_it_saw
from prefprior.evaluation.protocol.tuning import Tuned, Tuner
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.retriever.cold_start import ColdStart
from prefprior.nodes import importable
from prefprior.predictor import Catalogue, Predictor, TrainingPart
from prefprior.runs import find_checkpoint
from prefprior.world.source import truth_known


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


def load_priors(cfg: DictConfig) -> dict[str, TrainedPredictor]:
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


def name_by_training(
    cfg: DictConfig, priors: dict[str, TrainedPredictor], data: PreferenceDataModule, part: str, people: HeldOutUsers
) -> None:
    """The names of the priors; a prior trained on other users than the part promises is marked as such."""
    for given, prior in zip((cfg.checkpoint, cfg.compare), priors.values(), strict=False):
        trained_on = training_part(find_checkpoint(given), prior.facts, data, cfg.trust)
        if told := what_it_saw(trained_on, data.part("train"), people, part):
            prior.name = f"{prior.name} ({told})"


def chosen_predictors(
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


def search_space(cfg: DictConfig, name: str) -> Search:
    """What a baseline may be tuned over: arguments that the configuration leaves to it."""
    if name in ("prior", "oracle"):
        return {}
    node = plain_node(cfg.baselines[name])
    search: Search = getattr(importable(node["_target_"]), "search", {})
    return {argument: values for argument, values in search.items() if argument not in node}


def tuned(
    cfg: DictConfig, name: str, tuner: Tuner, search: Search, training: tuple[TrainingPart, TrainingPart | None]
) -> Tuned:
    """A baseline with the best settings, which the run's configuration then holds."""
    node = plain_node(cfg.baselines[name])
    found = tuner(lambda drawn: build(node | drawn, Predictor), search, training)
    cfg.baselines[name] = node | found.best.settings
    return found


def _require_cold_start(prior: TrainedPredictor) -> ColdStart:
    if prior.cold_start is None:
        raise ValueError(
            "cold_start_share=... needs a ColdStart retriever that ranks, and this model has none: leave "
            "it out, or train with retriever=item_identity_ensemble"
        )
    return prior.cold_start


def cold_start_items(prior: TrainedPredictor, catalogue: Catalogue) -> str | None:
    """How many items are new to a prior that ranks such apart."""
    cold_start = prior.cold_start
    if cold_start is None or cold_start.share == 0:
        return None
    parts = catalogue.embeddings_ND.split(65536)
    rated = sum(int(cold_start.known(part.to(prior.device)).sum()) for part in parts)
    if not rated:
        raise ValueError(
            f"the prior ranks items without ratings in training apart, but none of the {len(catalogue):,} items here "
            "was rated in training: these are other embeddings or other items. Give cold_start_share=0, or "
            "evaluate on the data it was trained on."
        )
    share = 1 - rated / len(catalogue) if cold_start.share is None else cold_start.share
    return f"{len(catalogue) - rated:,} of {len(catalogue):,}, with a probability of {share:.1%} together"


def chosen_decoding(cfg: DictConfig, data: PreferenceDataModule, device: str) -> Decoding | None:
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
    decoder.to(device)
    encoder.to(device)
    return build(cfg.decoding, Decoding, decoder=decoder, encoder=encoder)
