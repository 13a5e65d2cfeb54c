"""What a predictor makes, measured in embedding space against what each user liked and disliked later.

Cosines are those of standardised embeddings (see `baselines.cosine`): raw CLIP cosines reward the mean picture.

Shapes: B users, n samples, T held out, K history, N catalogue, D dimension.
"""

import torch
from torch import Tensor

from prefprior.baselines.cosine import CosineRanker
from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.metrics.distances import frechet, mmd, on_sphere, prdc
from prefprior.evaluation.metrics.ranking import ranking
from prefprior.evaluation.metrics.scoring import SampledCandidates, reduce_scores
from prefprior.space import Space

# From this cosine on, a sample is a copy of a picture: JPEG artefacts and crops of one picture stay above it.
COPY = 0.99
# Points of a cloud at most, for distances that need all pairs or a decomposition.
CLOUD = 2000


def similarity(samples_BnD: Tensor, people: HeldOutUsers) -> dict[str, Tensor]:
    """Cosine to held-out likes and dislikes, their difference, and the distance to the user's own likes."""
    space = people.catalogue.space
    held_BTD = people.held_embeddings()
    cosine_BnT = space.directions(samples_BnD) @ space.directions(held_BTD).transpose(1, 2)
    liked_BT, disliked_BT = people.held_liked_BT, people.held_disliked_BT
    likes_B, dislikes_B = _mean(cosine_BnT.mean(1), liked_BT), _mean(cosine_BnT.mean(1), disliked_BT)
    own_B = mmd(on_sphere(samples_BnD), on_sphere(held_BTD), None, liked_BT)
    frechet_B = torch.full((len(people),), torch.nan, dtype=torch.float64)
    for b, liked_T in enumerate(liked_BT):
        if int(liked_T.sum()) > 1 and samples_BnD.shape[1] > 1:
            frechet_B[b] = frechet(on_sphere(samples_BnD[b]), on_sphere(held_BTD[b, liked_T]))
    return {
        "cosine_likes": likes_B,
        "cosine_likes_best": _mean(cosine_BnT.amax(1), liked_BT),
        "cosine_dislikes": dislikes_B,
        "cosine_margin": likes_B - dislikes_B,
        "mmd_own": own_B,
        "frechet_own": frechet_B,
    }


def diversity_and_novelty(samples_BnD: Tensor, people: HeldOutUsers) -> dict[str, Tensor]:
    """Diversity within a user (mean distance of two samples) and novelty against what they have seen."""
    unit_BnD = people.catalogue.space.directions(samples_BnD)
    n = samples_BnD.shape[1]
    figures = {}
    if n > 1:
        cosine_Bnn = unit_BnD @ unit_BnD.transpose(1, 2)
        others_B = (cosine_Bnn.sum((1, 2)) - cosine_Bnn.diagonal(dim1=1, dim2=2).sum(1)) / (n * (n - 1))
        figures["diversity"] = 1 - others_B.double()
    seen_BS = people.seen_item_BS
    seen_BSD = people.catalogue.space.directions(people.catalogue.embeddings_ND[seen_BS.clamp_min(0)])
    cosine_BnS = (unit_BnD @ seen_BSD.transpose(1, 2)).masked_fill((seen_BS < 0)[:, None], -1.0)
    nearest_Bn = cosine_BnS.amax(2).double()
    figures["novelty"] = (1 - nearest_Bn).mean(1)
    figures["copied"] = (nearest_Bn > COPY).double().mean(1)
    return figures


def sample_recall(
    samples_BnD: Tensor, people: HeldOutUsers, ks: tuple[int, ...], candidates: SampledCandidates | None = None
) -> dict[str, Tensor]:
    """Recall of held-out likes when each catalogue item scores by its cosine to the nearest sample."""
    cosine = CosineRanker()
    space, parts, start = people.catalogue.space, [], 0
    # A chunk holds as many scores as a ranking chunk does, times the samples that are reduced one user at a time.
    for chunk in people.chunks():
        unit_BnD = space.directions(samples_BnD[start : start + len(chunk)])
        best_BN = torch.stack([cosine(unit_nD, people.catalogue).amax(0) for unit_nD in unit_BnD])
        figures = ranking(reduce_scores(best_BN, chunk, 1, candidates).rank_BT, chunk.held_liked_BT, ks)
        parts.append(torch.stack([figures[f"recall_{k}"] for k in ks]))
        start += len(chunk)
    return {f"sample_recall_{k}": value for k, value in zip(ks, torch.cat(parts, dim=1), strict=True)}


def cloud_distances(samples_BnD: Tensor, people: HeldOutUsers, generator: torch.Generator) -> dict[str, float]:
    """All samples against the held-out likes of all users, as two clouds of equal size, at most 2,000 points each."""
    made = on_sphere(samples_BnD.flatten(0, 1))
    liked = people.held_item_BT[people.held_liked_BT]
    size = min(len(made), len(liked), CLOUD)
    if size < 2:
        return {}
    made = made[torch.randperm(len(made), generator=generator)[:size]]
    liked = liked[torch.randperm(len(liked), generator=generator)[:size]]
    real = on_sphere(people.catalogue.embeddings_ND[liked])
    return {"frechet_all": frechet(made, real), "mmd_all": float(mmd(made, real)), **prdc(real, made)}


def require_samples(samples: Tensor, people: HeldOutUsers, n: int, space: Space, name: str) -> Tensor:
    """Checks what a predictor made before anything is measured on it."""
    if samples.shape != (len(people), n, space.dim):
        raise ValueError(
            f"the predictor {name} returned samples of shape {tuple(samples.shape)} instead of "
            f"{len(people)} users x {n} x {space.dim}"
        )
    if not samples.isfinite().all():
        broken = int((~samples.isfinite()).any(-1).sum())
        raise ValueError(f"the predictor {name} returned {broken} samples with values that are not finite")
    return samples.float()


def _mean(value_BT: Tensor, keep_BT: Tensor) -> Tensor:
    count_B = keep_BT.sum(1)
    return torch.where(count_B > 0, (value_BT * keep_BT).double().sum(1) / count_B.clamp_min(1), torch.nan)
