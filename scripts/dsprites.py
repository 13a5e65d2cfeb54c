"""A simulation in which the length of an embedding carries information: how many samples a user would like.

    python scripts/dsprites.py                        # 10 epochs
    python scripts/dsprites.py --epochs 30            # what docs/results.md shows

After the simulation of REBECA: hearts and squares in red and blue, embeddings of 16 dimensions, four users who like one
shape in one colour. Nothing is downloaded. A shape has a random place and one of 40 angles; it is drawn in 64 x 64
pixels and reduced to 32 x 32 by means over 4 x 4. Its embedding is the output of an untrained convolutional network:
three layers of 32, 64 and 128 channels, 4 x 4, stride 2, ReLU, then the mean over the picture and a projection. Weights
are normal with a variance of 2 / inputs, those of the projection 1 / inputs. Embeddings of red pictures are longer than
those of blue ones, and those of hearts longer than those of squares. Each user rates all pictures and likes .95 of
their own kind, .10 of those that share its shape or its colour, and .01 of the rest.

Prints one line per sampler: the share of samples whose nearest picture (Euclidean distance) is of the kind that the
user likes, after 16 likes and 16 dislikes, as a mean over several such histories of each user.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior import train
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.sources.table import TableSource
from prefprior.files import make_folder
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.runs import CHECKPOINT

KINDS = ("red heart", "blue heart", "red square", "blue square")  # also the tastes of the four users
LIKED = (0.01, 0.10, 0.95)  # the share that is liked of pictures with 0, 1 and 2 of shape and colour in common
CHANNELS = (3, 32, 64, 128)
DIM, SIDE, ANGLES, AT_ONCE = 16, 64, 40, 1000
NETWORK = 9  # the seed of the untrained network
RADIUS = 0.16  # of a shape, where the picture is 1 wide
TRAINING = (
    "experiment=table", "prior=tiny", "data.splits.by=item", "data.splits.val=0.05", "data.splits.test=0",
    "data.batch_size=16", "data.epoch_batches=100", "data.draws.history_cap=32", "data.draws.targets_per_user=24",
    "scale=whiten", "optimizer.lr=2e-3",
)  # fmt: skip


@dataclass(frozen=True)
class Simulation:
    """N pictures and the likes of four users."""

    embeddings_ND: Tensor
    kind_N: Tensor
    liked_UN: Tensor  # bool

    @classmethod
    def draw(cls, pictures: int, seed: int) -> "Simulation":
        """Draws pictures and likes."""
        generator = torch.Generator().manual_seed(seed)
        kind_N = torch.arange(pictures) % len(KINDS)
        place_N2 = 0.25 + 0.5 * torch.rand(pictures, 2, generator=generator)
        angle_N = 2 * torch.pi * torch.randint(ANGLES, (pictures,), generator=generator) / ANGLES
        encode = encoder()
        parts = zip(kind_N.split(AT_ONCE), place_N2.split(AT_ONCE), angle_N.split(AT_ONCE))
        embeddings_ND = torch.cat([encode(render(*part)) for part in parts])
        user_U1 = torch.arange(len(KINDS))[:, None]
        common_UN = (user_U1 // 2 == kind_N // 2).long() + (user_U1 % 2 == kind_N % 2)
        chance_UN = torch.tensor(LIKED)[common_UN]
        return cls(embeddings_ND, kind_N, torch.rand(chance_UN.shape, generator=generator) < chance_UN)

    def write(self, folder: Path) -> list[str]:
        """Writes the data as a table; returns the overrides with which `train.py` reads it."""
        make_folder(folder)
        np.save(folder / "embeddings.npy", self.embeddings_ND.numpy())
        (folder / "items.txt").write_text("".join(f"{item}\n" for item in range(len(self.kind_N))))
        rows = (
            f"{u},{i},{int(liked)}\n" for u, row in enumerate(self.liked_UN.tolist()) for i, liked in enumerate(row)
        )
        (folder / "ratings.csv").write_text("user,item,rating\n" + "".join(rows))
        files = {"ratings": "ratings.csv", "embeddings": "embeddings.npy", "items": "items.txt"}
        return [f"source.{key}={folder.resolve() / name}" for key, name in files.items()]

    def histories(self, data: PreferenceDataModule, count: int, generator: torch.Generator) -> History:
        """`count` histories of each user in turn: 16 likes and 16 dislikes at random."""

        def some(of_N: Tensor) -> Tensor:
            rows = of_N.nonzero()[:, 0]
            return rows[torch.randperm(len(rows), generator=generator)[:16]]

        users = [user for _ in range(count) for user in range(len(KINDS))]
        rows_BK = torch.stack([torch.cat([some(self.liked_UN[user]), some(~self.liked_UN[user])]) for user in users])
        liked_BK = (torch.arange(rows_BK.shape[1]) < 16).float().expand(rows_BK.shape).numpy()
        signed_BK = data.scale.signed(liked_BK, liked_BK, np.ones_like(liked_BK, dtype=bool))
        rows_BK, ratings_BK = shuffled(rows_BK, torch.from_numpy(signed_BK), generator)
        return History.from_rows(self.embeddings_ND, rows_BK, ratings_BK, [str(user) for user in users])

    def precision(self, samples_BnD: Tensor) -> Tensor:
        """(U,) the share of samples whose nearest picture is of the user's own kind."""
        nearest_Bn = torch.stack([torch.cdist(some_nD, self.embeddings_ND).argmin(1) for some_nD in samples_BnD])
        own_B = torch.arange(len(samples_BnD)) % len(KINDS)
        return (self.kind_N[nearest_Bn] == own_B[:, None]).float().mean(1).view(-1, len(KINDS)).mean(0)


def shuffled(rows_BK: Tensor, ratings_BK: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both, each row in the same random order."""
    order_BK = torch.rand(rows_BK.shape, generator=generator).argsort(dim=1)
    return rows_BK.gather(1, order_BK), ratings_BK.gather(1, order_BK)


def render(kind_N: Tensor, place_N2: Tensor, angle_N: Tensor) -> Tensor:
    """(N, 3, 32, 32) pictures of shapes at these centres and angles."""
    axis = (torch.arange(SIDE) + 0.5) / SIDE
    right, down = axis - place_N2[:, 0, None, None], axis[:, None] - place_N2[:, 1, None, None]
    cos, sin = angle_N.cos()[:, None, None], angle_N.sin()[:, None, None]
    u, v = (cos * right + sin * down) / RADIUS, (cos * down - sin * right) / RADIUS
    square = torch.maximum(u.abs(), v.abs()) < 0.88
    up = 0.2 - v
    heart = (u.square() + up.square() - 1) ** 3 < u.square() * up**3
    shape = avg_pool2d(torch.where((kind_N < 2)[:, None, None], heart, square).float()[:, None], 4, stride=2, padding=1)
    is_red = (kind_N % 2 == 0)[:, None, None, None]
    return shape * torch.cat([is_red, torch.zeros_like(is_red), ~is_red], dim=1)


def encoder() -> Callable[[Tensor], Tensor]:
    """The untrained network, pictures -> (N, D); it does not depend on the seed of the simulation."""
    generator = torch.Generator().manual_seed(NETWORK)
    layers = [
        torch.randn(made, read, 4, 4, generator=generator) * (2 / (16 * read)) ** 0.5
        for read, made in pairwise(CHANNELS)
    ]
    head = torch.randn(CHANNELS[-1], DIM, generator=generator) / CHANNELS[-1] ** 0.5

    def encode(pictures: Tensor) -> Tensor:
        for layer in layers:
            pictures = conv2d(pictures, layer, stride=2, padding=1).relu()
        return pictures.mean((2, 3)) @ head

    return encode


def ways(own: Sampler) -> Iterator[tuple[str, Sampler]]:
    """The samplers to compare, by name."""
    yield "default", own
    yield "`sampler.candidates=1`", own.changed(candidates=1)
    yield "`sampler.candidates=1`, no guidance", own.changed(candidates=1, guidance=Guidance())


def main() -> None:
    """Draws, trains, samples and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=40_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--histories", type=int, default=10, help="of each user")
    parser.add_argument("--samples", type=int, default=25, help="for each history")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/dsprites"))
    parser.add_argument("--words", nargs="*", default=[], help="further words for train.py")
    args = parser.parse_args()
    simulation = Simulation.draw(args.pictures, args.seed)
    words = simulation.write(args.folder / "data")
    run = args.folder / f"seed-{args.seed}-epochs-{args.epochs}"
    try:
        train(
            *TRAINING, *words, f"trainer.max_epochs={args.epochs}", f"seed={args.seed}", f"run_dir={run}", *args.words
        )
    except ValueError as error:
        sys.exit(f"error: {error}")
    predictor = TrainedPredictor.load(run / CHECKPOINT)
    named = {key.removeprefix("source."): value for key, value in (word.split("=", 1) for word in words)}
    source = TableSource(ratings=named["ratings"], embeddings=named["embeddings"], items=named["items"])
    data = PreferenceDataModule(source=source)
    history = simulation.histories(data, args.histories, torch.Generator().manual_seed(args.seed))
    print("| samples | " + " | ".join(KINDS) + " |")
    print("|---" * (1 + len(KINDS)) + "|")
    for name, sampler in ways(predictor.sampler):
        made_BnD = predictor.sample(history, args.samples, torch.Generator().manual_seed(0), sampler=sampler)
        print(f"| {name} | " + " | ".join(f"{share:.2f}" for share in simulation.precision(made_BnD).tolist()) + " |")


if __name__ == "__main__":
    main()
