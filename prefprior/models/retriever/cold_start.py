"""New pictures: which they are, and where they rank among those that people rated.

Shapes: B users, K history, N catalogue, P pictures, D dimension; `...` any leading shape.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from prefprior.data.hashing import mix
from prefprior.history import History
from prefprior.models.prior.user_ids import FREE

FACTORS = 0x70726566  # any number, but the same for ever: checkpoints hold what it gave
AT_ONCE = 8192  # rows hashed together: each takes eight bytes a dimension for a moment


class KnownPictures(nn.Module):
    """Pictures that were rated in training, by hashes of their embeddings: so any catalogue can be asked.

    Embeddings are compared at half precision, so that it makes no difference whether a catalogue is kept in that or in
    full. They must be the same embeddings: made again on another machine, a picture may differ in its last bits.
    """

    hash_P: Tensor

    def __init__(self, pictures: int) -> None:
        super().__init__()
        self.register_buffer("hash_P", torch.full((pictures,), FREE, dtype=torch.long))

    def learn(self, embeddings_ID: Tensor, rated_I: Tensor) -> None:
        """Knows those pictures of a table that are marked as rated."""
        rows_R = rated_I.nonzero()[:, 0]
        found = [_hashes(embeddings_ID[rows_S]) for rows_S in rows_R.split(AT_ONCE)]
        different = torch.cat(found).unique() if found else self.hash_P[:0]  # ascending; the same picture twice is one
        if len(different) > len(self.hash_P):
            raise ValueError(
                f"prior.pictures={len(self.hash_P)} has fewer rows than there are rated pictures. "
                f"Give prior.pictures={len(different)} or more."
            )
        self.hash_P.fill_(FREE)
        self.hash_P[: len(different)] = different

    def forward(self, raw: Tensor) -> Tensor:
        """(..., D) -> (...) whether each was rated in training."""
        wanted = torch.cat([_hashes(rows) for rows in raw.flatten(0, -2).split(AT_ONCE)])
        place = torch.searchsorted(self.hash_P, wanted).clamp(max=len(self.hash_P) - 1)
        return (self.hash_P[place] == wanted).view(raw.shape[:-1])


class NewPictures:
    """Ranks pictures that nobody rated in training among those that somebody did.

    Together they have the probability `share`, and each of them as much of it as a softmax over nearness to a person's
    likes gives: their cosine, times `sharpness`. What was rated keeps its score. How much there is to share out is
    known when all of a catalogue has been seen, so `see` comes first, for every part of it.
    """

    def __init__(self, known: KnownPictures, history: History, *, share: float, sharpness: float) -> None:
        self.known = known
        self.odds = math.log(share / (1 - share))
        liked_BK = history.liked_BK[..., None]
        units_BKD = torch.where(liked_BK, normalize(history.embeddings_BKD.float(), dim=-1), 0)
        # Who likes nothing yet is as near to one as to another.
        self.wanted_BD = sharpness * units_BKD.sum(1) / liked_BK.sum(1).clamp(min=1)
        self.rated_B = self.wanted_BD.new_full((len(history),), -torch.inf)
        self.new_B = self.rated_B

    def see(self, scores_BN: Tensor, raw_ND: Tensor) -> None:
        """Adds a part of the catalogue to what is to be shared out; pictures that are out of question are at -inf."""
        is_known_N = self.known(raw_ND)
        of_new_BN = self._near(raw_ND[~is_known_N])
        self.rated_B = torch.logaddexp(self.rated_B, scores_BN[:, is_known_N].logsumexp(1))
        self.new_B = torch.logaddexp(self.new_B, of_new_BN.logsumexp(1))

    def ranked(self, scores_BN: Tensor, raw_ND: Tensor) -> Tensor:
        """The scores, with those of new pictures in their place; a catalogue without rated ones has no place for it."""
        is_known_N = self.known(raw_ND)
        placed_BN = self._near(raw_ND[~is_known_N]) + (self.odds + self.rated_B - self.new_B)[:, None]
        ranked_BN = scores_BN.clone()
        ranked_BN[:, ~is_known_N] = torch.where(placed_BN.isfinite(), placed_BN, scores_BN[:, ~is_known_N])
        return ranked_BN

    def _near(self, raw_ND: Tensor) -> Tensor:
        return self.wanted_BD @ normalize(raw_ND, dim=-1).T


def require_share(share: float) -> None:
    """Raises unless it is a share that new pictures can have."""
    if not 0 <= share < 1:
        raise ValueError(f"new_share must be at least 0 and below 1, got {share}")


def _hashes(raw_ND: Tensor) -> Tensor:
    # Of the bits; + 0 makes one of the two zeros. Products run over, as hashes do.
    bits_ND = (raw_ND.half() + 0).view(torch.int16).long()
    factors_D = torch.from_numpy(mix(np.arange(raw_ND.shape[-1]), FACTORS).view(np.int64)).to(raw_ND.device)
    # 62 bits: positive, and below what free rows hold.
    return (bits_ND * factors_D).sum(-1) & (FREE >> 1)
