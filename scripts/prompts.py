"""Prompt plus taste on the built-in world: how often samples show what words say, and how much they still please.

    python train.py prior.text=true run_dir=runs/train/text
    python scripts/prompts.py --checkpoint runs/train/text/prior.safetensors

Users nobody trained on; for each some prompts of one factor ("triangles", "red ground"). A sample shows what was said
if the miniature CLIP's text tower says so among all phrases of that factor; the true utility of the same samples stands
beside it. A prior that was trained with texts is conditioned on them, at several guidance scales; for any other, the
text takes part in the choice among candidates, at several weights and numbers of candidates.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.guidance import Guidance
from prefprior.world import clip
from prefprior.world.render.captions import TABLE
from prefprior.world.source import WorldSource


def main() -> None:
    """Samples with and without prompts and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--history", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--factors", nargs="+", default=["shape", "hue", "background"], choices=list(TABLE))
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 2.0, 4.0], help="guidance by text")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.5, 0.8, 1.0], help="of the text in the choice")
    parser.add_argument("--candidates", type=int, nargs="+", default=[16, 64], help="per sample, to choose among")
    args = parser.parse_args()
    predictor = TrainedPredictor.load(args.checkpoint)
    source = WorldSource()
    data = PreferenceDataModule(source=source)
    people = data.users("test")[: args.people]
    history, _ = data.histories("test", people, args.history)
    model, _, tokenizer = clip.load()
    rng = np.random.default_rng(0)
    print("| prompt of | how | shown as said | true utility |\n|---|---|---|---|")
    for factor in args.factors:
        phrases_CD = clip.embed_texts(model, tokenizer, TABLE[factor])
        said_B = torch.from_numpy(rng.integers(len(phrases_CD), size=len(people)))
        for how, options in ways(predictor, phrases_CD[said_B], args):
            made_BnD = predictor.sample(history, args.samples, torch.Generator().manual_seed(0), **options)
            seen_Bn = (normalize(made_BnD, dim=-1) @ normalize(phrases_CD, dim=-1).T).argmax(-1)
            shown = float((seen_Bn == said_B[:, None]).float().mean())
            utility = np.mean([source.scaled_utility(u, made) for u, made in zip(people, made_BnD, strict=True)])
            print(f"| {factor} | {how} | {shown:.2f} | {utility:.2f} |")


def ways(
    predictor: TrainedPredictor, text_BD: torch.Tensor, args: argparse.Namespace
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Arguments of `sample`, each with a name: without the text, then at every strength this prior has."""
    own = predictor.sampler
    yield "no prompt", {}
    if predictor.reads_text:
        for scale in args.scales:
            guidance = Guidance(history=own.guidance.history, rating=own.guidance.rating, text=scale)
            yield f"guidance {scale:g}", {"text_BD": text_BD, "sampler": own.changed(guidance=guidance)}
        return
    for count in args.candidates:
        for weight in args.weights:
            options = {"text_BD": text_BD, "text_weight": weight, "sampler": own.changed(candidates=count)}
            yield f"weight {weight:g}, {count} candidates", options


if __name__ == "__main__":
    main()
