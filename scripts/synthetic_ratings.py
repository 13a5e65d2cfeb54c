"""Synthetic ratings of the size and layout of FLICKR-AES or PAMELA, with known utilities: a rehearsal.

    python scripts/synthetic_ratings.py flickr_aes data/synthetic    # ratings, embeddings and truth; no pictures
    python scripts/synthetic_ratings.py pamela data/synthetic        # then run the commands it prints

FLICKR-AES has 210 workers, 40,000 pictures and 193,208 ratings, four or five per picture. The 37 test workers have 105
to 171 ratings on 4,737 pictures: these counts are from secondary descriptions, not from a text that we read. PAMELA has
199 users, 5,077 pictures and 69,904 ratings in five parts (counts of its card). `train` and the `_seen` parts share no
pictures, and users of an `_unseen` part are in no other. How many users are unseen is unknown: 3 and 7 have about as
many ratings each as the others.

Everything else is made up. Embeddings are a mixture of 64 groups in 32 dimensions, projected to D dimensions, with
noise, at one length. A utility is the sum of general appeal (.40 of the variance; four fifths of it are visible in the
embedding), the user's own linear taste (.25) and noise (.35). A rating is the utility with the user's own spread and
offset, rounded to 1 to 5.

`Truth` ranks by the utility without noise: no predictor can do better. `Law` knows the appeal of every picture and the
distribution of tastes, but only the history of a user. Both are baselines for `evaluate.py`.

Shapes: B users asked about, K history, U users, I items, N ratings, L latent dimensions, D dimension.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.baselines.baseline import Baseline
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.embedding_lookup import embedding_folder
from prefprior.data.sources import flickr_aes
from prefprior.files import make_folder, write_json, write_text
from prefprior.history import History
from prefprior.predictor import By, Catalogue

LATENT, GROUPS = 32, 64
APPEAL, TASTE, NOISE = 0.40, 0.25, 0.35  # shares of the variance of a utility
VISIBLE = 0.8  # of the appeal: what an embedding can tell
NORM = 10.0  # of an embedding, about as long as CLIP's projections
TRUTH = "truth.npz"

# FLICKR-AES
WORKERS, TEST_WORKERS, PICTURES, RATINGS = 210, 37, 40_000, 193_208
TEST_PICTURES, FEWEST, MOST = 4_737, 105, 171
# PAMELA: ratings of each part
PARTS = {"train": 50_222, "val_seen": 6_551, "test_seen": 9_735, "val_unseen": 926, "test_unseen": 2_470}
USERS, IMAGES, UNSEEN = 199, 5_077, {"val_unseen": 3, "test_unseen": 7}


@dataclass(frozen=True)
class World:
    """The truth: what pictures are and what users think of them."""

    embeddings_ID: np.ndarray
    latent_IL: np.ndarray
    appeal_I: np.ndarray
    utility_UI: np.ndarray  # without noise
    offset_U: np.ndarray
    spread_U: np.ndarray

    @classmethod
    def draw(cls, users: int, items: int, dim: int, rng: np.random.Generator) -> "World":
        """All of it from a generator."""
        group_I = rng.integers(GROUPS, size=items)
        latent_IL = _standard(_normal(rng, GROUPS, LATENT)[group_I] + 0.8 * _normal(rng, items, LATENT))
        turned_ID = latent_IL @ _normal(rng, LATENT, dim) / LATENT**0.5
        turned_ID += 0.3 * _normal(rng, items, dim)
        turned_ID += _normal(rng, dim)  # what all pictures have in common
        turned_ID *= NORM / np.linalg.norm(turned_ID, axis=1, keepdims=True)
        straight_I, bent_I = (latent_IL @ _normal(rng, LATENT, 2) / 4).T
        seen_I, own_I = _standard(straight_I + np.tanh(bent_I)), _normal(rng, items)
        appeal_I = VISIBLE**0.5 * seen_I + (1 - VISIBLE) ** 0.5 * own_I
        weight_UL = _normal(rng, users, LATENT) * (taste_variance_L() ** 0.5).astype(np.float32)
        utility_UI = APPEAL**0.5 * appeal_I + TASTE**0.5 * weight_UL @ latent_IL.T
        return cls(
            turned_ID.astype(np.float16), latent_IL, appeal_I, utility_UI,
            rng.normal(0.2, 0.4, users), np.exp(rng.normal(-0.1, 0.25, users)),
        )  # fmt: skip

    def rate(self, user_N: np.ndarray, item_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(N,) whole numbers from 1 to 5."""
        said_N = self.utility_UI[user_N, item_N] + NOISE**0.5 * rng.normal(size=len(user_N))
        return np.clip(np.rint(3 + self.offset_U[user_N] + self.spread_U[user_N] * said_N), 1, 5).astype(int)

    def save(self, path: Path, users: list[str], items: list[str]) -> None:
        """Keeps what `Truth` and `Law` know."""
        np.savez(
            path, users=np.array(users), items=np.array(items), utility_UI=self.utility_UI, appeal_I=self.appeal_I,
            latent_IL=self.latent_IL,
        )  # fmt: skip


def taste_variance_L() -> np.ndarray:
    """(L,) how much tastes differ in each latent dimension: in a few of them a lot, in most a little; 1 in all."""
    variance_L = np.exp(-np.arange(LATENT) / 6)
    return variance_L / variance_L.sum()


def assign(user_N: np.ndarray, item_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) `user_N` shuffled so that nobody rates a picture twice; how often each user and item occurs stays."""
    user_N = rng.permutation(user_N)
    items = int(item_N.max()) + 1
    for _ in range(1000):
        _, first = np.unique(user_N.astype(np.int64) * items + item_N, return_index=True)
        again = np.setdiff1d(np.arange(len(user_N)), first)
        if not len(again):
            return user_N
        other = rng.integers(len(user_N), size=len(again))
        for a, b in zip(again, other, strict=True):
            user_N[a], user_N[b] = user_N[b], user_N[a]
    raise ValueError("some users would have to rate a picture twice: there are too few pictures")


def counts(total: int, weight_U: np.ndarray, least: int, most: int) -> np.ndarray:
    """(U,) whole numbers in proportion to weights, from `least` to `most`, that add up to a total."""
    low, high = 0.0, float(total)
    for _ in range(100):  # of a common factor
        factor = (low + high) / 2
        count_U = np.clip(np.floor(factor * weight_U), least, most).astype(int)
        low, high = (factor, high) if count_U.sum() <= total else (low, factor)
    count_U = np.clip(np.floor(low * weight_U), least, most).astype(int)
    free = np.flatnonzero(count_U < most)[: total - count_U.sum()]
    count_U[free] += 1
    assert count_U.sum() == total, "the bounds leave no way to reach the total"
    return count_U


def even(total: int, places: int) -> np.ndarray:
    """(places,) equal whole numbers that add up to a total, as far as they can be equal."""
    return total // places + (np.arange(places) < total % places).astype(int)


def flickr_pairs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(N,) worker and picture of each rating; the last workers, and the first pictures, are the test's."""
    rated_I = rng.permutation(even(RATINGS, PICTURES))
    tested_U = np.rint(np.linspace(FEWEST, MOST, TEST_WORKERS)).astype(int)
    extra = rng.choice(TEST_PICTURES, tested_U.sum() - TEST_PICTURES, replace=False)
    test_item_N = np.r_[np.arange(TEST_PICTURES), extra]  # a test worker rated each of these, two some
    trained = WORKERS - TEST_WORKERS
    test_user_N = assign(np.repeat(np.arange(trained, WORKERS), tested_U), test_item_N, rng)
    left_I = rated_I - np.bincount(test_item_N, minlength=PICTURES)
    item_N = np.repeat(np.arange(PICTURES), left_I)
    trained_U = counts(int(left_I.sum()), rng.lognormal(sigma=1.0, size=trained), MOST + 20, PICTURES // 5)
    user_N = assign(np.repeat(np.arange(trained), trained_U), item_N, rng)
    return np.r_[user_N, test_user_N], np.r_[item_N, test_item_N]


def pamela_pairs(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(N,) user and picture of each rating, by part."""
    seen = {part: total for part, total in PARTS.items() if part not in UNSEEN}
    images = counts(IMAGES, np.array(list(seen.values()), dtype=float), 1, IMAGES)
    known, start, pairs = USERS - sum(UNSEEN.values()), 0, {}
    for (part, total), share in zip(seen.items(), images, strict=True):
        item_N = np.repeat(np.arange(start, start + share), even(total, share))
        pairs[part] = assign(np.repeat(np.arange(known), even(total, known)), item_N, rng), item_N
        start += share
    for part, users in UNSEEN.items():
        rated_U = even(PARTS[part], users)
        item_N = np.concatenate([rng.choice(IMAGES, count, replace=False) for count in rated_U])
        pairs[part] = np.repeat(np.arange(known, known + users), rated_U), item_N
        known += users
    return pairs


def write_flickr(root: Path, dim: int, rng: np.random.Generator) -> list[str]:
    """The two files of FLICKR-AES and the truth; returns the names of the pictures."""
    world = World.draw(WORKERS, PICTURES, dim, rng)
    user_N, item_N = flickr_pairs(rng)
    order = rng.permutation(len(user_N))
    user_N, item_N = user_N[order], item_N[order]
    users = [f"A{number:013d}" for number in rng.choice(10**9, WORKERS, replace=False)]
    items = [f"farm{number % 9 + 1}_{number:010d}.jpg" for number in rng.choice(10**9, PICTURES, replace=False)]
    score_N = world.rate(user_N, item_N, rng)
    rows = (f"{users[u]}, {items[i]}, {s}\n" for u, i, s in zip(user_N, item_N, score_N, strict=True))
    write_text(root / flickr_aes.RATINGS, " worker, imagePair, score\n" + "".join(rows))
    mean_I = np.bincount(item_N, weights=score_N) / np.bincount(item_N) / 5
    write_text(root / flickr_aes.SCORES, "".join(f"{i} {m:.4f}\n" for i, m in zip(items, mean_I, strict=True)))
    make_folder(root / flickr_aes.PICTURES)  # without pictures: their embeddings are all that is used
    return _keep(world, root, users, items, dim)


def write_pamela(root: Path, dim: int, rng: np.random.Generator) -> list[str]:
    """The five files of PAMELA and the truth; returns the names of the pictures."""
    world = World.draw(USERS, IMAGES, dim, rng)
    users = [f"P{number:04d}" for number in rng.permutation(USERS)]
    items = [f"images/{number:05d}.png" for number in rng.permutation(IMAGES)]
    make_folder(root / "annotations")
    for part, (user_N, item_N) in pamela_pairs(rng).items():
        records = [
            {"participant_id": users[u], "image_path": items[i], "original_score": int(s)}
            for u, i, s in zip(user_N, item_N, world.rate(user_N, item_N, rng), strict=True)
        ]
        write_text(root / "annotations" / f"pamela_{part}.json", json.dumps(records))
    return _keep(world, root, users, items, dim)


def _keep(world: World, root: Path, users: list[str], items: list[str], dim: int) -> list[str]:
    world.save(root / TRUTH, users, items)
    write_json(root / "synthetic.json", {"what": "synthetic ratings", "made by": "scripts/synthetic_ratings.py"})
    folder = embedding_folder(root.parent / "embeddings", root.name, f"synthetic-{dim}")
    EmbeddingTable.write(folder, f"synthetic-{dim}", items, world.embeddings_ID)
    return items


class Truth(Baseline):
    """Ranks by utility without the noise of a rating."""

    def __init__(self, *, path: str, name: str = "truth") -> None:
        """`path` is the file of the truth."""
        super().__init__(name=name)
        with np.load(path) as kept:
            self.row = {str(user): row for row, user in enumerate(kept["users"])}
            self.column = {str(item): column for column, item in enumerate(kept["items"])}
            self.utility_UI = torch.from_numpy(kept["utility_UI"])
            self.appeal_I = torch.from_numpy(kept["appeal_I"])
            self.latent_IL = torch.from_numpy(kept["latent_IL"])

    def columns(self, catalogue: Catalogue) -> Tensor:
        """(N,) where the items of a catalogue are in the truth."""
        return torch.tensor([self.column[item] for item in catalogue.ids])

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): the best pictures of the catalogue."""
        best_Bn = self.rank(history, self.catalogue).topk(n, dim=1).indices
        return self.catalogue.embeddings_ND[best_Bn].float()

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) utilities."""
        rows = torch.tensor([self.row[user] for user in history.users])
        return self.utility_UI[rows][:, self.columns(catalogue)]


class Law(Truth):
    """Knows the law of tastes and every picture's appeal, and of a user the history: a Gaussian process with the true
    covariance, up to rounding and the user's own spread."""

    def __init__(self, *, path: str, name: str = "law", spread: float = 0.5) -> None:
        """`spread` is that of a rating in [-1, 1], where a utility's is 1."""
        super().__init__(path=path, name=name)
        self.spread = spread

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) expected utilities."""
        columns = self.columns(catalogue)
        appeal_N = APPEAL**0.5 * self.appeal_I[columns]
        scaled_NL = self.latent_IL[columns] * torch.from_numpy((TASTE * taste_variance_L()) ** 0.5).float()
        scores = []
        for item_K, rating_K, valid_K in zip(history.items_BK, history.ratings_BK, history.valid_BK, strict=True):
            rows, said_K = item_K[valid_K], rating_K[valid_K] / self.spread - appeal_N[item_K[valid_K]]
            # The user's offset is unknown: a constant of large variance.
            kernel_KK = scaled_NL[rows] @ scaled_NL[rows].T + NOISE * torch.eye(len(rows)) + 4.0
            scores.append(appeal_N + scaled_NL @ (scaled_NL[rows].T @ torch.linalg.solve(kernel_KK, said_K)))
        return torch.stack(scores)


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _standard(x: np.ndarray) -> np.ndarray:
    return np.asarray((x - x.mean(0)) / x.std(0))


def main() -> None:
    """Writes the data and prints the commands that a person with the real ones would use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("flickr_aes", "pamela"))
    parser.add_argument("folder", type=Path, help="where a folder of that name, and embeddings/, are written")
    parser.add_argument("--dim", type=int, default=768, help="of the embeddings")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    root, rng = given.folder / given.data, np.random.default_rng(given.seed)
    make_folder(root)
    (write_flickr if given.data == "flickr_aes" else write_pamela)(root, given.dim, rng)
    names, path = ("truth", "law"), root / TRUTH
    here = f"source.root={root} embeddings.root={given.folder / 'embeddings'}"
    ours = " ".join(
        f"'+baselines.{name}={{_target_: scripts.synthetic_ratings.{name.title()}, path: {path}}}'" for name in names
    )
    print(
        f"python train.py experiment={given.data} {here}\n"
        f"python evaluate.py protocol={given.data}\n"
        f"python evaluate.py protocol={given.data} 'predictors=[prior,truth,law]' {ours}"
    )


if __name__ == "__main__":
    main()
