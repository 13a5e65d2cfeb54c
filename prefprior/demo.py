"""The end of `make demo`: how good is what the last trained prior makes for people it has never seen?

Only the world can tell, because it knows its people's tastes. Reads the last training run and the last gallery.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import torch
from omegaconf import OmegaConf
from PIL.Image import Image
from rich.console import Console
from rich.table import Table

from prefprior import checkpoint
from prefprior.baselines.mean import MeanOfLikes
from prefprior.baselines.nearest import NearestToLikes
from prefprior.baselines.random import RandomPredictor
from prefprior.config import build, problems
from prefprior.data.batch import History
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.sequences import build_histories
from prefprior.decoders.base import Decoder
from prefprior.evaluation.predictor import Predictor, TrainingPart
from prefprior.evaluation.world import LENGTHS, Oracle, measure, measure_decoded
from prefprior.files import make_folder
from prefprior.models.predictor import PriorPredictor
from prefprior.runs import ROOT, last_checkpoint, last_run, write_metrics
from prefprior.sample import GALLERY, decoder_node
from prefprior.world import clip
from prefprior.world.source import WorldSource

PEOPLE = 200
DECODED_PEOPLE = 40  # decoding is what takes time: one picture each, by each predictor


def run() -> Path:
    """Measures, prints the table and where figures and gallery are; returns the run's folder."""
    path = last_checkpoint()
    gallery = last_run("sample", f"{GALLERY}/index.html", "python sample.py") / "index.html"
    prior = checkpoint.load(path)
    data = world_data(prior, path)
    assert isinstance(data.source, WorldSource)
    histories = newcomers(data, LENGTHS)
    history = histories[max(LENGTHS)]
    predictors: dict[str, Predictor] = {
        "prior": prior,
        "mean_of_likes": MeanOfLikes(),
        "neighbours": NearestToLikes(),
        "chance": RandomPredictor(),
        "oracle": Oracle(data.source, max(LENGTHS)),
    }
    training = TrainingPart(data.part("train"), data.catalogue)
    for predictor in predictors.values():
        predictor.fit(training, None, torch.Generator().manual_seed(0))
    console = Console()
    with console.status(f"true utility for {len(history)} unseen people ..."):
        figures = measure(data.source, predictors, histories)
    decoder = make_decoder(prior.space.name)
    few = history.take(list(range(min(DECODED_PEOPLE, len(history)))))
    with console.status(f"decoding and embedding again, for {len(few)} of them ..."):
        figures |= measure_decoded(data.source, predictors, few, decoder, partial(look, clip.load()))
    folder = make_folder(ROOT / "demo" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}")
    metrics = write_metrics(folder, {f"{data.source.name}/unseen/{key}": value for key, value in figures.items()})
    console.print(table(figures, list(predictors), len(history), len(few)))
    print(f"metrics: {metrics}")
    print(f"gallery: {gallery}", flush=True)
    return folder


def world_data(prior: PriorPredictor, path: Path) -> PreferenceDataModule:
    """The data a prior was trained on, which must be the world."""
    trained = prior.facts["train"]
    nodes = OmegaConf.create({key: trained[key] for key in ("source", "embeddings", "data")})
    if not str(nodes.source._target_).endswith(f".{WorldSource.__name__}"):
        raise ValueError(f"{path}, the last trained prior, is not of the world. Train one: python train.py")
    if found := problems(nodes):
        raise ValueError(f"{path} was trained by another version: {'; '.join(found)}. Run python train.py again.")
    data: PreferenceDataModule = build(
        nodes.data, source=build(nodes.source), embeddings=build(nodes.embeddings), seed=trained["seed"]
    )
    data.setup()
    prior.space.require_same(data.space, "the prior", "the world")
    return data


def newcomers(data: PreferenceDataModule, lengths: Sequence[int]) -> dict[int, History]:
    """The first n ratings, for each n, of the same unseen people: those who have given the most that is asked for."""
    test = data.part("test")
    counts = torch.bincount(torch.from_numpy(test.user_N.astype("int64")), minlength=len(test.users))
    users = [str(test.users[code]) for code in (counts >= max(lengths)).nonzero()[:, 0]][:PEOPLE]
    if not users:
        raise ValueError(f"nobody unseen has given {max(lengths)} ratings: the world needs more source.people")
    # Each on its own: how a person's ratings compare is judged by the n ratings that are there, not by later ones.
    return {n: build_histories(test, data.catalogue, users, n, scale=data.scale, order="time")[0] for n in lengths}


def make_decoder(space_name: str) -> Decoder:
    """The one that fits the space, as `python sample.py` chooses it."""
    decoder: Decoder = build(decoder_node(None, space_name))
    return decoder


def look(loaded: tuple, pictures: list[Image]) -> torch.Tensor:
    """Raw embeddings of pictures by the miniature CLIP."""
    model, preprocess, _ = loaded
    with torch.no_grad():
        return model.encode_image(torch.stack([preprocess(picture) for picture in pictures]))


def table(figures: dict[str, float], names: list[str], people: int, decoded: int) -> Table:
    """What the demo shows of its figures."""
    most = max(LENGTHS)
    shown = Table(
        title=f"True utility of what was made for {people} unseen people: 0 a random picture, 1 their catalogue's best",
        caption=f"decoded: pictures for {decoded} of them, embedded again. several: people of several modes. "
        "modes: the share of their modes that 16 pictures cover.",
    )
    shown.add_column("made by")
    columns = [(f"{n} ratings", f"utility@{n}") for n in LENGTHS]
    columns += [
        ("decoded", f"utility_decoded@{most}"),
        ("several", f"utility_several_modes@{most}"),
        ("modes", f"modes@{most}"),
    ]
    for heading, _ in columns:
        shown.add_column(heading, justify="right")
    for name in names:
        cells = [figures.get(f"{name}/{key}") for _, key in columns]
        shown.add_row(name.replace("_", " "), *("" if cell is None else f"{cell:.2f}" for cell in cells))
    return shown


def main() -> None:
    """The command."""
    try:
        run()
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
