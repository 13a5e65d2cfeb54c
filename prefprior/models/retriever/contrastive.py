"""The loss of the scores that `rank` uses: who likes which of many pictures, and which of their own they like better.

Shapes: B users, T targets per user, I pictures of the catalogue, R those that may be negatives, N candidates (all
targets of the batch, then M sampled of R; or all R), D dimension, Q score dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from prefprior.errors import require_choice
from prefprior.history import PreferenceBatch
from prefprior.models.objectives.objective import mean_over
from prefprior.models.prior.conditions import EncodedHistory
from prefprior.models.prior.network import Backbone
from prefprior.models.recorded import Recorded
from prefprior.models.retriever.two_tower import Scores
from prefprior.space import SpaceScale


@dataclass
class Candidates:
    """The pictures that a softmax is over."""

    raw_ND: Tensor
    items_N: Tensor  # rows of the catalogue, or -1 where that is not known
    no_negatives_BN: Tensor  # bool: what is not there, or is liked by this person
    exists_N: Tensor  # bool: all, but the places of a batch that hold no target
    own_BT: Tensor  # which of them each target is
    repeats: bool  # the same picture may be there more than once
    log_expected_N: Tensor | None  # how many times each is expected among them, where that is corrected for


@dataclass
class Pictures:
    """The catalogue, as far as negatives are sampled from it."""

    embeddings_ID: Tensor  # all of it, memory-mapped perhaps
    shares_I: Tensor  # of the training targets
    rows_R: Tensor  # what may be a negative, ascending
    placed: tuple[Tensor, Tensor] | None = None  # those rows and their embeddings (R, D) on the device, once asked for


class Contrastive(Recorded):
    """Softmax over the batch's targets and sampled pictures, and pairs of one person's own ratings.

    General appeal gets the same two losses by itself, as if everybody were the same person. Personal fit is trained
    on top of it while appeal is held fixed: it learns what appeal cannot explain. (What both recognise single pictures
    by, where a prior has `frequencies`, is shared, and learns from both.)
    """

    def __init__(
        self,
        *,
        softmax_weight: float = 0.1,
        pairs_weight: float = 0.1,
        negatives: int = 0,
        new_negatives: bool = False,
        popularity_corrected: bool = True,
        closeness_weight: float = 0.0,
        closeness_to: str = "targets",
        closeness_focus: float = 1.0,
        closeness_sharpness: float = 20.0,
    ) -> None:
        """With as many `negatives` as there are pictures to sample, or more, the softmax is over those themselves, each
        once: exact, and with some thousands of them no dearer. Pictures that nobody rated in training are no negatives
        unless `new_negatives`: that nobody likes a new picture yet says nothing about it. `closeness_weight` is that of
        the same softmax where pictures score by their cosine to the prior's own answer in model scale, times
        `closeness_sharpness`: so that the answer itself finds what a person likes, at the price of no longer being the
        mean of it. With `closeness_to="scores"` it learns no targets, but what the softmax of the scores, times
        `closeness_focus`, expects of every candidate: the higher, the more of it is of those at the head of the list.
        Only an objective of one step has an answer to train."""
        if min(softmax_weight, pairs_weight, negatives, closeness_weight) < 0:
            raise ValueError("softmax_weight, pairs_weight, negatives and closeness_weight cannot be below 0")
        if not closeness_sharpness > 0:
            raise ValueError(f"closeness_sharpness must be above 0, got {closeness_sharpness}")
        if not closeness_focus > 0:
            raise ValueError(f"closeness_focus must be above 0, got {closeness_focus}")
        if require_choice("closeness_to", closeness_to, ("targets", "scores")) == "scores":
            for name, weight in {"softmax_weight": softmax_weight, "closeness_weight": closeness_weight}.items():
                if not weight:
                    raise ValueError(
                        "closeness_to=scores trains the answer to expect what the softmax of the scores does, and "
                        f"{name}=0 leaves one of them out. Give {name} a value above 0, or closeness_to=targets."
                    )
        elif closeness_focus != 1:
            raise ValueError(f"closeness_focus={closeness_focus} is of what scores expect: add closeness_to=scores")
        self.softmax_weight = softmax_weight
        self.pairs_weight = pairs_weight
        self.negatives = negatives
        self.new_negatives = new_negatives
        self.popularity_corrected = popularity_corrected
        self.closeness_weight = closeness_weight
        self.closeness_to = closeness_to
        self.closeness_focus = closeness_focus
        self.closeness_sharpness = closeness_sharpness
        self._pictures: Pictures | None = None
        self._seen: tuple[SpaceScale, Tensor, Tensor] | None = (
            None  # by which scale, which candidates, their directions
        )

    @property
    def trains_scores(self) -> bool:
        """Whether the read-outs of `rank` learn anything."""
        return self.softmax_weight > 0 or self.pairs_weight > 0

    def use_catalogue(self, embeddings_ID: Tensor, target_counts_I: Tensor) -> None:
        """Where sampled negatives come from, and how often each picture is a training target."""
        if len(embeddings_ID) != len(target_counts_I):
            raise ValueError(
                f"the catalogue has {len(embeddings_ID):,} pictures, but training counts {len(target_counts_I):,}. "
                "Shards that were made with another table of embeddings must be made again: python shard.py"
            )
        counts_I = target_counts_I.double()
        rows_R = ((counts_I > 0) | self.new_negatives).nonzero()[:, 0]
        if self.negatives and not len(rows_R):
            raise ValueError(
                f"negatives={self.negatives}, but nobody rated any picture. Set objective.rank.negatives=0."
            )
        self._pictures = Pictures(embeddings_ID, (counts_I / counts_I.sum().clamp(min=1)).float(), rows_R)

    def terms(
        self,
        prior: Backbone,
        encoded: EncodedHistory,
        batch: PreferenceBatch,
        generator: torch.Generator,
        answer_BD: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Weighted loss terms by name; `answer_BD` are the embeddings that the prior answers with, in model scale."""
        if prior.scores is None:
            raise ValueError(f"{type(prior).__name__} has no read-out for rank to train: set objective.rank=null")
        candidates = self._candidates(batch, generator)
        terms: dict[str, Tensor] = {}
        if self.trains_scores:
            terms, scores = self._score_terms(prior.scores, encoded, candidates, batch)
        if self.closeness_weight:
            assert answer_BD is not None, "only an objective of one step has an answer"
            directions_ND = self._directions(prior.scale, candidates.raw_ND)
            # Half precision would blur which of near pictures is the nearest.
            with torch.autocast(answer_BD.device.type, enabled=False):
                closeness_BN = normalize(answer_BD.float(), dim=-1, eps=0.1) @ directions_ND.T
            logits_BN = self.closeness_sharpness * closeness_BN
            if self.closeness_to == "scores":
                scores_BN = self.closeness_focus * torch.stack(scores).mean(0)
                loss = _expecting_alike(logits_BN, scores_BN, candidates, batch)
            else:
                loss = _softmax(logits_BN, candidates, batch)
            terms["closeness"] = self.closeness_weight * loss
        return terms

    def _directions(self, scale: SpaceScale, raw_ND: Tensor) -> Tensor:
        """Unit vectors in model scale. The same pictures need no second look: all of a catalogue is many."""
        if self._seen is None or self._seen[0] is not scale or self._seen[1] is not raw_ND:
            self._seen = scale, raw_ND, normalize(scale.to_model(raw_ND.float()), dim=-1)
        return self._seen[2]

    def _score_terms(
        self, scores: Scores, encoded: EncodedHistory, candidates: Candidates, batch: PreferenceBatch
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The mean over the members of `scores`, each of which learns as if it were alone; what each says (B, N)."""
        found: dict[str, list[Tensor]] = {}
        said: list[Tensor] = []
        for member in scores.members:
            directions_NQ, appeal_N = member.items(candidates.raw_ND)
            fit_BN = member.fit(encoded, directions_NQ) + appeal_N.detach()
            said.append(fit_BN.detach())
            for name, scores_BN in (("fit", fit_BN), ("appeal", appeal_N.expand(len(fit_BN), -1))):
                if self.softmax_weight:
                    loss = self.softmax_weight * _softmax(scores_BN, candidates, batch)
                    found.setdefault(f"{name}_softmax", []).append(loss)
                if self.pairs_weight:
                    loss = self.pairs_weight * _pairs(scores_BN.gather(1, candidates.own_BT), batch)
                    found.setdefault(f"{name}_pairs", []).append(loss)
        return {name: torch.stack(losses).mean() for name, losses in found.items()}, said

    def _candidates(self, batch: PreferenceBatch, generator: torch.Generator) -> Candidates:
        valid_BT = batch.target_valid_BT
        items_BT = torch.where(valid_BT, batch.target_item_BT, -1)
        pictures = self._pictures if self.negatives else None
        if self.negatives and pictures is None:
            raise ValueError(
                f"negatives={self.negatives} are to be sampled from the catalogue, but none was given. "
                "Call use_catalogue first, or set negatives=0."
            )
        few_enough = pictures is not None and len(pictures.rows_R) <= self.negatives
        if pictures is not None and few_enough and bool((items_BT >= 0).eq(valid_BT).all()):
            return _all_of(pictures, items_BT, batch)
        raw_ND = torch.where(valid_BT[..., None], batch.target_BTD, 0).flatten(0, 1)
        items_N, exists_N = items_BT.flatten(), valid_BT.flatten()
        inside = len(items_N)
        if pictures is not None:
            number_M = torch.randint(
                len(pictures.rows_R), (self.negatives,), generator=generator, device=generator.device
            )
            rows_M = pictures.rows_R[number_M.cpu()]
            raw_ND = torch.cat([raw_ND, pictures.embeddings_ID[rows_M].to(raw_ND)])
            items_N = torch.cat([items_N, rows_M.to(items_N)])
            exists_N = torch.cat([exists_N, exists_N.new_ones(self.negatives)])
        own_BT = torch.arange(inside, device=items_N.device).view(items_BT.shape)
        return Candidates(
            raw_ND=raw_ND,
            items_N=items_N,
            # Among a batch's own targets, what somebody likes is too rarely there again to look for.
            no_negatives_BN=_liked(batch, items_N, own_BT, by_item=pictures is not None) | ~exists_N,
            exists_N=exists_N,
            own_BT=own_BT,
            repeats=True,
            log_expected_N=self._log_expected_count(items_N, inside),
        )

    def _log_expected_count(self, items_N: Tensor, inside: int) -> Tensor | None:
        """The log-q correction (Yi et al. 2019, "Sampling-bias-corrected neural modeling", eq. 3), here of two sampled
        sources at once: the batch's targets, which are the first `inside`, and the catalogue.
        """
        if not self.popularity_corrected or self._pictures is None:
            return None
        shares_I = self._pictures.shares_I.to(items_N.device)
        expected_N = inside * shares_I[items_N.clamp(min=0)]
        if sampled := len(items_N) - inside:
            rows_R = self._pictures.rows_R.to(items_N.device)
            expected_N = expected_N + sampled / len(rows_R) * torch.isin(items_N, rows_R)
        # A picture that is in the batch was expected to be: unknown (-1) and unseen ones count as the rarest possible.
        expected_N = torch.where(items_N >= 0, expected_N, 0).clamp(min=inside / len(shares_I) * 1e-2)
        return expected_N.log()


def _all_of(pictures: Pictures, items_BT: Tensor, batch: PreferenceBatch) -> Candidates:
    """All that may be a negative, and what else the batch has for targets, each once."""
    device = items_BT.device
    if pictures.placed is None or pictures.placed[0].device != device:
        rated_RD = pictures.embeddings_ID[pictures.rows_R].to(device, torch.float32)
        pictures.placed = pictures.rows_R.to(device), rated_RD
    rows_R, raw_ND = pictures.placed
    place_BT = torch.searchsorted(rows_R, items_BT).clamp(max=len(rows_R) - 1)
    is_among_BT = rows_R[place_BT] == items_BT
    more_M = items_BT[(items_BT >= 0) & ~is_among_BT].unique()  # in validation: pictures new to training
    place_BT = torch.where(is_among_BT, place_BT, len(rows_R) + torch.searchsorted(more_M, items_BT))
    items_N = torch.cat([rows_R, more_M])
    if len(more_M):
        raw_ND = torch.cat([raw_ND, pictures.embeddings_ID[more_M.cpu()].to(raw_ND)])
    own_BT = torch.where(items_BT >= 0, place_BT, 0)
    return Candidates(
        raw_ND=raw_ND,
        items_N=items_N,
        no_negatives_BN=_liked(batch, items_N, own_BT, by_item=True),
        exists_N=torch.ones_like(items_N, dtype=torch.bool),
        own_BT=own_BT,
        repeats=False,
        log_expected_N=None,
    )


def _softmax(scores_BN: Tensor, candidates: Candidates, batch: PreferenceBatch) -> Tensor:
    own_BT, items_N = candidates.own_BT, candidates.items_N
    logits_BN = scores_BN if candidates.log_expected_N is None else scores_BN - candidates.log_expected_N
    positive_BT = logits_BN.gather(1, own_BT)
    logits_BN = logits_BN.masked_fill(candidates.no_negatives_BN, -torch.inf)
    if candidates.repeats:  # the same picture, liked by somebody else or sampled, is no negative either
        own_items_BT1 = items_N[own_BT][..., None]
        same_BTN = (own_items_BT1 == items_N) & (own_items_BT1 >= 0)
        rest_BT = logits_BN[:, None].masked_fill(same_BTN, -torch.inf).logsumexp(-1)
    else:  # one sum serves all targets of a person
        rest_BT = logits_BN.logsumexp(1, keepdim=True)
    return mean_over(softplus(rest_BT - positive_BT), _liked_targets(batch).float())


def _expecting_alike(logits_BN: Tensor, scores_BN: Tensor, candidates: Candidates, batch: PreferenceBatch) -> Tensor:
    """Cross-entropy of one softmax to another's, over all but what a person's history likes."""
    if candidates.log_expected_N is not None:
        logits_BN, scores_BN = logits_BN - candidates.log_expected_N, scores_BN - candidates.log_expected_N
    had_BN = _likes_among(batch.history.items_BK, batch.history.liked_BK, candidates.items_N) | ~candidates.exists_N
    # Finite, so that where nothing is left the gradient is finite too.
    least = torch.finfo(scores_BN.dtype).min / 2
    expected_BN = scores_BN.masked_fill(had_BN, least).softmax(1)
    surprise_BN = -logits_BN.masked_fill(had_BN, least).log_softmax(1).masked_fill(had_BN, 0)
    return mean_over((expected_BN * surprise_BN).sum(1), (~had_BN).any(1).float())


def _at(place_BT: Tensor, there_BT: Tensor, count: int) -> Tensor:
    """(B, count) whether anything that is there is at a place."""
    # Counted rather than set: what is not there has a place as well, where something else may be.
    count_BN = there_BT.new_zeros(len(place_BT), count, dtype=torch.int32)
    return count_BN.scatter_add(1, place_BT, there_BT.int()) > 0


def _liked_targets(batch: PreferenceBatch) -> Tensor:
    return batch.target_valid_BT & (batch.target_rating_BT > 0)


def _liked(batch: PreferenceBatch, items_N: Tensor, own_BT: Tensor, *, by_item: bool) -> Tensor:
    """(B, N) whether a candidate is a target that a person likes or, `by_item`, any picture they are known to like.

    Such are no negatives of theirs. What they dislike is, and a hard one.
    """
    liked_BT = _liked_targets(batch)
    own_BN = _at(own_BT, liked_BT, len(items_N))
    if not by_item:
        return own_BN
    history = batch.history
    items_BX = torch.cat([history.items_BK, batch.target_item_BT], dim=1)  # X = K + T
    return own_BN | _likes_among(items_BX, torch.cat([history.liked_BK, liked_BT], dim=1), items_N)


def _likes_among(items_BX: Tensor, liked_BX: Tensor, items_N: Tensor) -> Tensor:
    """(B, N) whether a candidate is one of the pictures that a person likes; what has no catalogue row is not."""
    different_U, which_N = items_N.unique(return_inverse=True)  # sampled ones may repeat
    place_BX = torch.searchsorted(different_U, items_BX).clamp(max=len(different_U) - 1)
    found_BX = liked_BX & (items_BX >= 0) & (different_U[place_BX] == items_BX)
    return _at(place_BX, found_BX, len(different_U))[:, which_N]


def _pairs(scores_BT: Tensor, batch: PreferenceBatch) -> Tensor:
    """Of two pictures a person rated apart, the better one should score higher; the wider apart, the more it counts."""
    valid_BT = batch.target_valid_BT
    rating_BT = torch.where(valid_BT, batch.target_rating_BT, 0)
    better_BTT = (rating_BT[:, :, None] - rating_BT[:, None, :]).clamp(min=0)
    weights_BTT = better_BTT * (valid_BT[:, :, None] & valid_BT[:, None, :])
    return mean_over(softplus(scores_BT[:, None, :] - scores_BT[:, :, None]), weights_BTT)
