"""The command that makes the world's weights: four stages, each skipped when its result is there."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import VQModel
from safetensors import SafetensorError

from prefprior.files import sync, writing
from prefprior.locks import only_writer
from prefprior.world import clip
from prefprior.world.build import figures
from prefprior.world.build.clip import train_clip, training_set
from prefprior.world.build.decoder import (
    DECODER,
    is_current,
    latents_and_embeddings,
    save_pipeline,
    train_reader,
    train_unet,
    unfinished,
)
from prefprior.world.build.movq import sharpen_movq, train_movq

STAGES = ("clip", "movq", "decoder", "figures")
# The pictures both trainings draw from, and how many of them the decoder sees: encoding more costs more than it helps.
PICTURES, SEED, DECODER_PICTURES = 120_000, 1, 48_000
LATENTS = f"latents-{DECODER_PICTURES}.safetensors"

HELP = """\
Make the built-in world's weights from nothing, on a CPU, in about an hour and a half on two free cores:

  clip      render 120,000 pictures, train the miniature CLIP        -> prefprior/world/weights/clip.safetensors
  movq      train the autoencoder of pictures and latents            -> CACHE/movq
  decoder   train the UNet on that CLIP's embeddings                 -> prefprior/world/weights/decoder
  figures   measure everything on unseen renders, print and write    -> prefprior/world/weights/figures.json

A stage whose result is there is skipped; --force makes it again. An interrupted training goes on where it was.
Examples:
  python scripts/build_world.py                 whatever is missing, then the figures
  python scripts/build_world.py figures         only measure
  python scripts/build_world.py --force         everything again
"""


def build(stages: list[str], cache: Path, force: bool) -> None:
    """Run the stages in order."""
    with (
        only_writer(cache, "Wait until it has finished, or give another --cache."),
        only_writer(clip.WEIGHTS.parent, "Wait until it has finished."),
    ):
        _build(stages, cache, force)


def _build(stages: list[str], cache: Path, force: bool) -> None:
    # What belongs to an old result goes before the new one is there, and what a finished stage no longer needs goes
    # although the stage is skipped: a build may have been killed in between.
    if "clip" in stages:
        if force or not clip.WEIGHTS.is_file():
            _forget(cache, "unet-training.pt", LATENTS)
            train_clip(weights=clip.WEIGHTS, cache=cache, pictures=PICTURES, seed=SEED)
        _forget(cache, "clip-training.pt")
    if "movq" in stages:
        if force or not (is_current(DECODER) or (cache / "movq").is_dir()):
            _forget(cache, "unet-training.pt", LATENTS)
            pictures_NYXC = training_set(PICTURES, SEED, cache)[1]
            movq = sharpen_movq(train_movq(pictures_NYXC=pictures_NYXC, cache=cache), pictures_NYXC)
            _publish(movq, cache / "movq")
        _forget(cache, "movq-training.pt")
    if "decoder" in stages:
        if force or not is_current(DECODER):
            pictures_NYXC = training_set(PICTURES, SEED, cache)[1][:DECODER_PICTURES]
            movq = VQModel.from_pretrained(cache / "movq", local_files_only=True).eval()
            latents, embeddings = latents_and_embeddings(movq, pictures_NYXC, cache / LATENTS)
            reader = train_reader(latents, embeddings)
            unet = train_unet(cache=cache, latent_NLYX=latents, embedding_ND=embeddings, reader=reader)
            save_pipeline(unet, movq, DECODER)
        _forget(cache, "unet-training.pt")
        shutil.rmtree(unfinished(DECODER), ignore_errors=True)
    if "figures" in stages:
        measured = figures.measure()
        print(figures.table(measured))
        figures.write(measured)
        missed = [name for name, value in measured.items() if not figures.reached(name, value)]
        print(f"figures: {figures.FIGURES}" + (f"; missed: {', '.join(missed)}" if missed else "; all floors reached"))


def _forget(cache: Path, *names: str) -> None:
    """Remove what was kept while a stage ran."""
    for name in names:
        (cache / name).unlink(missing_ok=True)


def _publish(movq: VQModel, folder: Path) -> None:
    """Write an autoencoder to a folder that is there whole or not at all."""
    part = unfinished(folder)
    shutil.rmtree(part, ignore_errors=True)
    with writing(folder, SafetensorError):
        movq.save_pretrained(part)
        for path in (*part.iterdir(), part):
            sync(path)
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
        sync(folder.parent)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"which of {', '.join(STAGES)}; all by default")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "prefprior-world",
        help="folder for renders, latents and training states, about 2 GB (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="make a stage again although its result exists")
    parser.add_argument("--threads", type=int, help="threads of PyTorch; by default, as many as there are cores")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.stages) - set(STAGES))
    if unknown:
        parser.error(f"unknown stage {', '.join(unknown)}; known: {', '.join(STAGES)}")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    try:
        build(chosen.stages or list(STAGES), chosen.cache, chosen.force)
    except ValueError as error:  # a message for the user
        sys.exit(f"error: {error}")
