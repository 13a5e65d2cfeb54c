"""The true utility of what predictors make for people of the world, which only a world can tell.

For every person each predictor makes `samples` embeddings from their first n ratings, and the world says
how good they are: 0 is a random picture of the catalogue, 1 its best for that person (`prefprior.world.source`).

    utility@n                mean over people and samples; utility_one_mode and utility_several_modes: of some people
    modes@n                  of people of several modes: the share of their modes that the samples cover
    utility_decoded@n        as utility, of the decoded pictures embedded again

Shapes: B users, K history, n samples, D dimension.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from prefprior.data.batch import History
from prefprior.decoders.base import Decoder
from prefprior.evaluation.predictor import Catalogue, Predictor, TrainingPart
from prefprior.world.source import WorldSource

LENGTHS = (2, 4, 8, 16)


def measure(
    source: WorldSource,
    predictors: Mapping[str, Predictor],
    histories: Mapping[int, History],
    *,
    samples: int = 16,
    seed: int = 0,
) -> dict[str, float]:
    """Figures of each predictor, keyed `<predictor>/<metric>@<n>`.

    `histories` holds the same people's histories of n ratings by n, each on the scale that those n ratings tell alone.
    """
    step, users = max(histories), next(iter(histories.values())).users
    count_B = np.array([len(source.modes(user)) for user in users])
    groups = {"utility": count_B > 0, "utility_one_mode": count_B == 1, "utility_several_modes": count_B > 1}
    groups = {group: members_B for group, members_B in groups.items() if members_B.any()}
    figures: dict[str, float] = {}
    for name, predictor in predictors.items():
        for n, history in histories.items():
            made_BnD = predictor.sample(history, samples, torch.Generator().manual_seed(seed))
            pairs = list(zip(users, made_BnD, strict=True))
            utility_B = np.array([source.scaled_utility(user, made_nD, step).mean() for user, made_nD in pairs])
            for group, members_B in groups.items():
                figures[f"{name}/{group}@{n}"] = float(utility_B[members_B].mean())
            covered = [
                source.modes_covered(user, made_nD, step).mean()
                for (user, made_nD), modes in zip(pairs, count_B)
                if modes > 1
            ]
            if covered:
                figures[f"{name}/modes@{n}"] = float(np.mean(covered))
    return figures


def measure_decoded(
    source: WorldSource,
    predictors: Mapping[str, Predictor],
    history: History,
    decoder: Decoder,
    embed: Callable[[list[Image]], Tensor],
    *,
    samples: int = 1,
    batch: int = 32,
    seed: int = 0,
) -> dict[str, float]:
    """The same for decoded pictures; `embed` gives their raw embeddings."""
    step = history.valid_BK.shape[1]
    figures = {}
    for name, predictor in predictors.items():
        made_MD = predictor.sample(history, samples, torch.Generator().manual_seed(seed)).flatten(0, 1)
        again = []
        for start in range(0, len(made_MD), batch):
            part = made_MD[start : start + batch]
            generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
            again.append(embed(decoder.decode(part, negative_BD=None, prompt=None, generators=generators)))
        again_BnD = torch.cat(again).unflatten(0, (len(history), samples))
        utility_B = [source.scaled_utility(user, x_nD, step).mean() for user, x_nD in zip(history.users, again_BnD)]
        figures[f"{name}/utility_decoded@{step}"] = float(np.mean(utility_B))
    return figures


class Oracle:
    """Knows everybody's taste and shows the best of the catalogue: what retrieval can reach at most."""

    name = "oracle"

    def __init__(self, source: WorldSource, step: int | None = None) -> None:
        """`step`: after how many ratings tastes are looked at; by default after all of a person's."""
        self.source, self.step = source, step
        self._catalogue: Catalogue | None = None

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Needs the catalogue only."""
        self._catalogue = training.catalogue

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D): the best n pictures of the catalogue."""
        assert self._catalogue is not None, "an oracle is fit on a catalogue before it is asked"
        best_Bn = self.rank(history, self._catalogue).topk(n, dim=1).indices
        return self._catalogue.embeddings_ND[best_Bn].float()

    def rank(self, history: History, catalogue: Catalogue) -> Tensor:
        """(B, N) true utilities."""
        utility_BN = [self.source.utility(user, catalogue.embeddings_ND, self.step) for user in history.users]
        return torch.from_numpy(np.stack(utility_BN))
