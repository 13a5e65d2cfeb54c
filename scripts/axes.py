"""Axes of words and edits on the built-in world: what moves, what stays, and what users think of it.

    python train.py run_dir=runs/train/mine
    python scripts/axes.py --checkpoint runs/train/mine/prior.safetensors

Users nobody trained on. First table: galleries steered along axes ("darker", "plain background|banded background").
Linear probes that are fit on the catalogue read the factors off embeddings: the shift of the named factor and the root
mean square and the most of all other factors' mean shifts, in standard deviations of the catalogue, beside the true
utility of the same users' galleries without and with the axis, both with as many candidates. Second table: random
pictures, edited towards users' tastes. Each is measured of embeddings, and of decoded pictures embedded again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.composition import build_decoder
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.encoders import encoder_of
from prefprior.data.embedding.text_axes import text_axes
from prefprior.decoders.kandinsky import Kandinsky
from prefprior.history import History
from prefprior.inference.editing import edit_path, interpolated
from prefprior.inference.predictor import TrainedPredictor
from prefprior.inference.selection import STEERED_CANDIDATES
from prefprior.inference.steering import Steering
from prefprior.world.probe import FactorProbe
from prefprior.world.source import WorldSource

# Axes, each with the column of the probe that it names.
AXES = {
    "darker": "lightness",
    "richer": "saturation",
    "larger": "size",
    "bolder": "contrast",
    "softer": "softness",
    "plain background|banded background": "background:bands",
    "circles|stars": "shape:stars",
    "blue ground|red ground": "hue:sin",
}


class Measures:
    """Users, and what is measured of pictures made for them."""

    def __init__(self, predictor: TrainedPredictor, source: WorldSource, people: int, history: int) -> None:
        data = PreferenceDataModule(source=source)
        self.predictor, self.source, self.people = predictor, source, data.users("test")[:people]
        self.history: History = data.histories("test", self.people, history)[0]
        self.encoder, self.probe = encoder_of(predictor.space.name), source.factor_probe()
        node = {
            "_target_": "prefprior.decoders.kandinsky.Kandinsky", "model": "package:world/weights/decoder",
            "space_name": predictor.space.name, "steps": 6, "guidance": 1.3, "size": 64,
        }  # fmt: skip
        decoder = build_decoder(node, data, predictor.space.name)
        assert isinstance(decoder, Kandinsky)
        self.decoder = decoder

    def utility(self, raw_BnD: Tensor) -> float:
        """Mean true utility."""
        return float(np.mean([self.source.scaled_utility(u, raw) for u, raw in zip(self.people, raw_BnD, strict=True)]))

    def decoded(self, raw_BnD: Tensor) -> Tensor:
        """The embeddings of the decoded pictures; the noise of a picture is the same in every call."""
        flat = raw_BnD.flatten(0, 1)
        pictures = self.decoder.decode(flat, negative_BD=None, prompt=None, generators=_generators(len(flat)))
        return self.encoder.encode_images(pictures).view_as(raw_BnD)

    def repainted(self, originals: Sequence[Image.Image], raw_BnD: Tensor, strength: float) -> Tensor:
        """The same by img2img from each user's original."""
        made = [
            self.decoder.repaint(
                picture, raw_nD, strength=strength, negative_BD=None, generators=_generators(len(raw_nD))
            )
            for picture, raw_nD in zip(originals, raw_BnD, strict=True)
        ]
        return self.encoder.encode_images([picture for row in made for picture in row]).view_as(raw_BnD)


def _generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def moved_and_others(probe: FactorProbe, column: str, before_BnD: Tensor, after_BnD: Tensor) -> tuple[float, ...]:
    """The mean shift of the named column; the root mean square and the most of the other factors' mean shifts."""
    shift_P = (probe.read(after_BnD) - probe.read(before_BnD)).mean((0, 1))
    factor = column.split(":")[0]
    others = np.array([shift for name, shift in zip(probe.names, shift_P) if name.split(":")[0] != factor])
    return float(shift_P[probe.names.index(column)]), float(np.sqrt((others**2).mean())), float(np.abs(others).max())


def axes_table(measures: Measures, strengths: Sequence[float], n: int) -> None:
    """Prints what each axis moves."""
    predictor = measures.predictor
    sampler = predictor.sampler.changed(candidates=max(predictor.sampler.candidates, STEERED_CANDIDATES))

    def made(steering: Steering | None) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return predictor.sample(
            measures.history, n, generator, sampler=sampler, copy_threshold=0.95, steering=steering
        )  # fmt: skip

    before = made(None)
    before_decoded = measures.decoded(before)
    print(f"utility without axes {measures.utility(before):.3f}, decoded {measures.utility(before_decoded):.3f}\n")
    print("| axis | strength | named factor | others rms (most) | utility | decoded: named factor | others | utility |")
    print("|---|---|---|---|---|---|---|---|")
    for name, column in AXES.items():
        for strength in strengths:
            axes = text_axes([name], measures.encoder)
            steering = Steering(axes, [strength], predictor.model.lengths.direction_PD)
            after = made(steering)
            after_decoded = measures.decoded(after)
            cells = []
            for one, other in ((before, after), (before_decoded, after_decoded)):
                shift, rms, most = moved_and_others(measures.probe, column, one, other)
                cells += [f"{shift:+.2f}", f"{rms:.2f} ({most:.2f})", f"{measures.utility(other):.3f}"]
            print(f"| {name} | {strength:g} | {' | '.join(cells)} |", flush=True)


def edits_table(measures: Measures, strengths: Sequence[float], repaint: Sequence[float]) -> None:
    """Prints what edits of random pictures change, and how much better users like them."""
    source, predictor = measures.source, measures.predictor
    pictures = source.pictures()
    rows = np.random.default_rng(0).integers(len(pictures.ids), size=len(measures.people))
    originals = [pictures.open(pictures.ids[row]) for row in rows]
    original_BD = measures.encoder.encode_images(originals)
    path = edit_path(predictor, measures.history, original_BD, torch.Generator().manual_seed(0))
    space = predictor.space

    def cells(raw_BD: Tensor) -> str:
        cosine_B = (space.directions(raw_BD) * space.directions(original_BD)).sum(1)
        kept = measures.probe.kept(original_BD, raw_BD).mean()
        return f"{measures.utility(raw_BD[:, None]):.2f} | {float(cosine_B.mean()):.2f} | {16 * kept:.1f}"

    names = ["embedding", "decoded", *(f"repaint {strength:g}" for strength in repaint)]
    print(f"\n| edit | {' | '.join(f'{name}: utility | cosine | factors kept' for name in names)} |")
    print("|---|" + "---|" * (3 * len(names)))
    for strength in strengths:
        ways = {"path": path.at(space, strength)}
        ways["straight"] = interpolated(space, path.original_BD, path.goal_BD, strength)
        for how, raw_BD in ways.items():
            made = [raw_BD, measures.decoded(raw_BD[:, None])[:, 0]]
            made += [measures.repainted(originals, raw_BD[:, None], noise)[:, 0] for noise in repaint]
            print(f"| {how} {strength:g} | {' | '.join(cells(part) for part in made)} |", flush=True)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--root", default="embeddings", help="where the world's embeddings are kept")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--history", type=int, default=16)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="of axes")
    parser.add_argument("--edits", type=float, nargs="+", default=[0.25, 0.5, 0.75, 1.0], help="strengths of edits")
    parser.add_argument("--repaint", type=float, nargs="*", default=[0.6, 0.85])
    args = parser.parse_args()
    source = WorldSource(root=args.root)
    measures = Measures(TrainedPredictor.load(args.checkpoint), source, args.people, args.history)
    axes_table(measures, args.strengths, args.samples)
    edits_table(measures, args.edits, args.repaint)


if __name__ == "__main__":
    main()
