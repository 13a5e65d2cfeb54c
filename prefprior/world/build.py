"""The command that makes the world's weights: four stages, each skipped when its result is there."""

import argparse
import tempfile
from pathlib import Path

import torch
from diffusers import VQModel

from prefprior.world import clip, figures
from prefprior.world.build_clip import train_clip, training_set
from prefprior.world.build_decoder import DECODER, latents_and_embeddings, train_reader, train_unet
from prefprior.world.build_movq import train_movq

STAGES = ("clip", "movq", "decoder", "figures")
# The pictures both trainings draw from, and how many of them the decoder sees: encoding more costs more than it helps.
PICTURES, SEED, DECODER_PICTURES = 120_000, 1, 60_000

HELP = """\
Make the built-in world's weights from nothing, on a CPU, in about two hours on two cores:

  clip      render 120,000 pictures, train the miniature CLIP        -> prefprior/world/weights/clip.safetensors
  movq      train the autoencoder of pictures and latents            -> CACHE/movq
  decoder   train the UNet on that CLIP's embeddings                 -> prefprior/world/weights/decoder
  figures   measure everything on unseen renders, print and write    -> prefprior/world/weights/figures.json

A stage whose result is there is skipped; --force makes it again. An interrupted run goes on from its last snapshot.
Examples:
  python scripts/build_world.py                 whatever is missing, then the figures
  python scripts/build_world.py figures         only measure
  python scripts/build_world.py --force         everything again
"""


def build(stages: list[str], cache: Path, force: bool) -> None:
    """Run the stages in order."""
    if "clip" in stages and (force or not clip.WEIGHTS.is_file() or (cache / "clip-training.pt").is_file()):
        train_clip(weights=clip.WEIGHTS, cache=cache, pictures=PICTURES, seed=SEED)
    if "movq" in stages and (force or not (_has_decoder() or (cache / "movq").is_dir())):
        train_movq(folder=cache / "movq", pictures_NYXC=training_set(PICTURES, SEED, cache)[1])
    if "decoder" in stages and (force or not _has_decoder()):
        pictures_NYXC = training_set(PICTURES, SEED, cache)[1][:DECODER_PICTURES]
        movq = VQModel.from_pretrained(cache / "movq", local_files_only=True).eval()
        latents, embeddings = latents_and_embeddings(movq, pictures_NYXC, cache / "latents.safetensors")
        reader = train_reader(latents, embeddings)
        train_unet(folder=DECODER, movq=movq, latent_NLYX=latents, embedding_ND=embeddings, reader=reader)
    if "figures" in stages:
        measured = figures.measure()
        print(figures.table(measured))
        figures.write(measured)
        missed = [name for name, value in measured.items() if not figures.reached(name, value)]
        print(f"figures: {figures.FIGURES}" + (f"; missed: {', '.join(missed)}" if missed else "; all promises kept"))


def _has_decoder() -> bool:
    """Whether a decoder is there."""
    return (DECODER / "model_index.json").is_file()


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
    parser.add_argument("--force", action="store_true", help="make a stage again though its result is there")
    parser.add_argument("--threads", type=int, help="threads of PyTorch; by default, as many as there are cores")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.stages) - set(STAGES))
    if unknown:
        parser.error(f"unknown stage {', '.join(unknown)}; known: {', '.join(STAGES)}")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    build(chosen.stages or list(STAGES), chosen.cache, chosen.force)
