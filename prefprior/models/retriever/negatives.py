"""Negatives of the contrastive loss: in-batch, sampled from the catalogue, or all of it.

Shapes: B users, T targets per user, X items of a user, I items of the catalogue, R items that may be negatives,
N candidates (all targets of the batch, then M sampled of R; or all R), U distinct items, D dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prefprior.history import PreferenceBatch
from prefprior.models.preparation import TrainingData
from prefprior.models.recorded import Recorded


@dataclass
class Candidates:
    """The items that a softmax is over."""

    raw_ND: Tensor
    items_N: Tensor  # rows of the catalogue, -1 where unknown
    excluded_mask_BN: Tensor  # bool: not a negative of this user: padding, or an item they like
    exists_N: Tensor  # bool: False for padding
    own_BT: Tensor  # the candidate that each target is
    repeats: bool  # whether an item that a user likes may be a candidate again that is not excluded
    log_q_N: Tensor | None  # log of how often each item is expected among the candidates, where that is corrected for

    def liked_in_history(self, batch: PreferenceBatch) -> Tensor:
        """(B, N) whether a candidate is an item that the user's history likes."""
        return _likes_among(batch.history.items_BK, batch.history.liked_BK, self.items_N)


@dataclass
class Catalogue:
    """The items that negatives are sampled from."""

    embeddings_ID: Tensor  # all of it, memory-mapped perhaps
    shares_I: Tensor  # of the training targets
    rows_R: Tensor  # what may be a negative, ascending
    on_device: tuple[Tensor, Tensor] | None = None  # those rows and their embeddings (R, D), once asked for


class Negatives(Recorded):
    """Which items stand against a user's liked targets: those of the batch, and `count` sampled from the catalogue."""

    def __init__(self, *, count: int = 0, include_unrated: bool = False, log_q_correction: bool = True) -> None:
        """With a `count` of at least the number of items the softmax is exact: over all items, each once. Items that
        nobody rated in training are no negatives unless `include_unrated`: that nobody likes a new item yet says
        nothing about it. `log_q_correction` corrects sampled softmax for how often each item is expected."""
        if count < 0:
            raise ValueError(f"negatives.count must be at least 0, got {count}")
        self.count = count
        self.include_unrated = include_unrated
        self.log_q_correction = log_q_correction
        self._catalogue: Catalogue | None = None

    def prepare(self, data: TrainingData) -> None:
        """Learns the catalogue and how often each item is a training target."""
        self.use_catalogue(data.catalogue.embeddings_ND, torch.as_tensor(data.item_counts(), dtype=torch.long))

    def use_catalogue(self, embeddings_ID: Tensor, target_counts_I: Tensor) -> None:
        """Where negatives are sampled from, and how often each item is a training target."""
        if len(embeddings_ID) != len(target_counts_I):
            raise ValueError(
                f"the catalogue has {len(embeddings_ID):,} items, but training counts "
                f"{len(target_counts_I):,}. If the shards were made with another embedding table, make them "
                "again: python shard.py"
            )
        counts_I = target_counts_I.double()
        rows_R = ((counts_I > 0) | self.include_unrated).nonzero()[:, 0]
        if self.count and not len(rows_R):
            raise ValueError(f"negatives.count={self.count}, but no item was rated in training. Set it to 0.")
        self._catalogue = Catalogue(embeddings_ID, (counts_I / counts_I.sum().clamp(min=1)).float(), rows_R)

    def candidates(self, batch: PreferenceBatch, generator: torch.Generator) -> Candidates:
        """All candidates of a batch."""
        valid_BT = batch.target_valid_BT
        items_BT = torch.where(valid_BT, batch.target_item_BT, -1)
        catalogue = self._catalogue if self.count else None
        if self.count and catalogue is None:
            raise ValueError(
                f"negatives.count={self.count} needs a catalogue to sample from, but none was given. Call "
                "prepare first, or set negatives.count=0."
            )
        few_enough = catalogue is not None and len(catalogue.rows_R) <= self.count
        if catalogue is not None and few_enough and bool((items_BT >= 0).eq(valid_BT).all()):
            return _whole_catalogue(catalogue, items_BT, batch)
        raw_ND = torch.where(valid_BT[..., None], batch.target_BTD, 0).flatten(0, 1)
        items_N, exists_N = items_BT.flatten(), valid_BT.flatten()
        in_batch = len(items_N)
        if catalogue is not None:
            number_M = torch.randint(len(catalogue.rows_R), (self.count,), generator=generator, device=generator.device)
            rows_M = catalogue.rows_R[number_M.cpu()]
            raw_ND = torch.cat([raw_ND, catalogue.embeddings_ID[rows_M].to(raw_ND)])
            items_N = torch.cat([items_N, rows_M.to(items_N)])
            exists_N = torch.cat([exists_N, exists_N.new_ones(self.count)])
        own_BT = torch.arange(in_batch, device=items_N.device).view(items_BT.shape)
        return Candidates(
            raw_ND=raw_ND,
            items_N=items_N,
            # In-batch negatives alone rarely include what a user's history likes: not worth a look-up.
            excluded_mask_BN=_liked(batch, items_N, own_BT, by_item=catalogue is not None) | ~exists_N,
            exists_N=exists_N,
            own_BT=own_BT,
            repeats=catalogue is None,
            log_q_N=self._log_expected_count(items_N, in_batch),
        )

    def _log_expected_count(self, items_N: Tensor, in_batch: int) -> Tensor | None:
        """The log-q correction (Yi et al. 2019, "Sampling-bias-corrected neural modeling", eq. 3), here of two sampled
        sources at once: the batch's targets, which come first, and the catalogue.
        """
        if not self.log_q_correction or self._catalogue is None:
            return None
        shares_I = self._catalogue.shares_I.to(items_N.device)
        expected_N = in_batch * shares_I[items_N.clamp(min=0)]
        if sampled := len(items_N) - in_batch:
            rows_R = self._catalogue.rows_R.to(items_N.device)
            expected_N = expected_N + sampled / len(rows_R) * torch.isin(items_N, rows_R)
        # An item that is in the batch was expected to be: unknown (-1) and unseen ones count as the rarest possible.
        expected_N = torch.where(items_N >= 0, expected_N, 0).clamp(min=in_batch / len(shares_I) * 1e-2)
        return expected_N.log()


def liked_targets(batch: PreferenceBatch) -> Tensor:
    """(B, T) which targets are valid and liked."""
    return batch.target_valid_BT & (batch.target_rating_BT > 0)


def _whole_catalogue(catalogue: Catalogue, items_BT: Tensor, batch: PreferenceBatch) -> Candidates:
    """All items that may be negatives, and the batch's other targets, each once."""
    device = items_BT.device
    if catalogue.on_device is None or catalogue.on_device[0].device != device:
        rated_RD = catalogue.embeddings_ID[catalogue.rows_R].to(device, torch.float32)
        catalogue.on_device = catalogue.rows_R.to(device), rated_RD
    rows_R, raw_ND = catalogue.on_device
    place_BT = torch.searchsorted(rows_R, items_BT).clamp(max=len(rows_R) - 1)
    is_among_BT = rows_R[place_BT] == items_BT
    more_M = items_BT[(items_BT >= 0) & ~is_among_BT].unique()  # in validation: items new to training
    place_BT = torch.where(is_among_BT, place_BT, len(rows_R) + torch.searchsorted(more_M, items_BT))
    items_N = torch.cat([rows_R, more_M])
    if len(more_M):
        raw_ND = torch.cat([raw_ND, catalogue.embeddings_ID[more_M.cpu()].to(raw_ND)])
    own_BT = torch.where(items_BT >= 0, place_BT, 0)
    return Candidates(
        raw_ND=raw_ND,
        items_N=items_N,
        excluded_mask_BN=_liked(batch, items_N, own_BT, by_item=True),
        exists_N=torch.ones_like(items_N, dtype=torch.bool),
        own_BT=own_BT,
        repeats=False,
        log_q_N=None,
    )


def _liked(batch: PreferenceBatch, items_N: Tensor, own_BT: Tensor, *, by_item: bool) -> Tensor:
    """(B, N) whether a candidate is a target that the user likes or, `by_item`, any item they are known to like.

    Such are no negatives. What they dislike is, and a hard one.
    """
    liked_BT = liked_targets(batch)
    own_BN = _occupied(own_BT, liked_BT, len(items_N))
    if not by_item:
        return own_BN
    history = batch.history
    items_BX = torch.cat([history.items_BK, batch.target_item_BT], dim=1)  # X = K + T
    return own_BN | _likes_among(items_BX, torch.cat([history.liked_BK, liked_BT], dim=1), items_N)


def _likes_among(items_BX: Tensor, liked_BX: Tensor, items_N: Tensor) -> Tensor:
    """(B, N) whether a candidate is one of the items that a user likes; items without a catalogue row are not."""
    distinct_U, which_N = items_N.unique(return_inverse=True)  # sampled ones may repeat
    place_BX = torch.searchsorted(distinct_U, items_BX).clamp(max=len(distinct_U) - 1)
    found_BX = liked_BX & (items_BX >= 0) & (distinct_U[place_BX] == items_BX)
    return _occupied(place_BX, found_BX, len(distinct_U))[:, which_N]


def _occupied(place_BT: Tensor, valid_BT: Tensor, count: int) -> Tensor:
    """(B, count) which places hold anything valid."""
    # Counted rather than set: an invalid entry has a place as well, where a valid one may be.
    count_BN = valid_BT.new_zeros(len(place_BT), count, dtype=torch.int32)
    return count_BN.scatter_add(1, place_BT, valid_BT.int()) > 0
