"""What each figure is called in words, and which way is better; formulas stand beside the code that computes them."""

import re
from dataclasses import dataclass

from prefprior.evaluation.protocol.decoding import DECODED


@dataclass(frozen=True)
class Metric:
    """A figure's label, whether more is better (None: neither), and what it measures."""

    label: str
    better: bool | None
    description: str


METRICS: dict[str, Metric] = {
    "auc": Metric("AUC", True, "probability that a held-out like scores above a held-out dislike"),
    "recall": Metric("recall", True, "share of held-out likes among the top k of the whole catalogue"),
    "ndcg": Metric("NDCG", True, "the same, discounted by rank"),
    "hit": Metric("hit rate", True, "whether any held-out like is among the top k"),
    "mrr": Metric("MRR", True, "one over the rank of the first held-out like"),
    "map": Metric("MAP", True, "mean precision at each held-out like among the top k"),
    "pairwise": Metric("pairs", True, "share of a user's held-out pairs in the right order"),
    "spearman": Metric("Spearman", True, "rank correlation of scores and held-out ratings, per user"),
    "pearson": Metric("Pearson", True, "correlation of scores and held-out ratings, per user"),
    "mae": Metric("MAE", False, "error of ratings on [-1, 1], after a linear fit on the other half of the users"),
    "utility": Metric(
        "utility", True, "true utility of samples: 0 is a random picture, 1 the user's best (world only)"
    ),
    "utility_one_mode": Metric("utility, one taste", True, "the same, for users with one taste (world only)"),
    "utility_several_modes": Metric("utility, several", True, "the same, for users with several tastes (world only)"),
    "utility_best": Metric("best utility", True, "true utility of a user's best sample (world only)"),
    "regret": Metric("regret", False, "difference between the user's best and the samples (world only)"),
    "modes": Metric("modes", True, "share of a user's several tastes that samples cover (world only)"),
    "cosine_likes": Metric("cos likes", True, "mean cosine of samples with held-out likes"),
    "cosine_likes_best": Metric("best cos likes", True, "cosine of each held-out like with the nearest sample"),
    "cosine_dislikes": Metric("cos dislikes", False, "mean cosine of samples with held-out dislikes"),
    "cosine_margin": Metric("margin", True, "cosine with likes less cosine with dislikes"),
    "sample_recall": Metric("sample recall", True, "recall when items score by closeness to the nearest sample"),
    "mmd_own": Metric("MMD own", False, "CMMD distance of samples to the user's own held-out likes"),
    "mmd_all": Metric("MMD all", False, "CMMD distance of all samples to the held-out likes of all users"),
    "frechet_own": Metric("Fréchet own", False, "Fréchet distance of samples to the user's own held-out likes"),
    "frechet_all": Metric("Fréchet all", False, "Fréchet distance of all samples to the held-out likes of all users"),
    "precision": Metric("precision", True, "share of samples inside the cloud of liked pictures"),
    "density": Metric("density", True, "how deep inside that cloud samples lie"),
    "coverage_cloud": Metric("cloud coverage", True, "share of liked pictures with a sample nearby"),
    "recall_cloud": Metric("cloud recall", True, "share of liked pictures inside the cloud of samples"),
    "diversity": Metric("diversity", True, "mean distance (1 - cosine) between two samples of one user"),
    "novelty": Metric("novelty", True, "distance (1 - cosine) of a sample to the nearest picture already seen"),
    "copied": Metric("copied", False, "share of samples that are a picture already seen"),
    "personal_gap": Metric(
        "personal gap",
        True,
        "own samples minus other users' samples, scored by the user's own verifier, in its standard deviations",
    ),
    "personal_p": Metric("p", False, "probability of such a gap if samples were assigned to users at random"),
    "lookalikes": Metric("lookalikes", True, "how much more similar the likes of users with similar samples are"),
    "segment_lift": Metric("segments", True, "the same for users in one of eight segments"),
    "coverage": Metric("coverage", True, "share of the catalogue in any user's top k"),
    "gini": Metric("Gini", False, "unevenness of exposure among all items"),
    "entropy": Metric("entropy", True, "evenness of exposure among all items"),
    "fair_jain": Metric("Jain*", True, "Jain's index, corrected: 1 is the most even exposure possible"),
    "fair_shown": Metric("QF*", True, "share of items shown, corrected"),
    "fair_satisfied": Metric("FSat*", True, "share of items with their even share of exposure, corrected"),
    "fair_entropy": Metric("entropy*", True, "entropy of exposure, corrected"),
    "fair_gini": Metric("Gini*", True, "evenness by Gini, corrected: 1 is the most even exposure possible"),
}

DRIFT = Metric("drift", False, "distance (1 - cosine) of a sample to the embedding of its decoded picture")

# What the first table shows, in this order, of what there is.
HEADLINE = (
    "utility",
    "utility_decoded",
    "modes",
    "auc",
    "spearman",
    "recall_20",
    "ndcg_20",
    "cosine_margin",
    "sample_recall_20",
    "personal_gap",
    "personal_p",
    "diversity",
    "novelty",
    "coverage_20",
)


def describe(name: str) -> Metric:
    """The metric behind a name such as `recall_20`."""
    if name == f"drift{DECODED}":
        return DRIFT
    if name.endswith(DECODED):
        plain = describe(name.removesuffix(DECODED))
        return Metric(f"{plain.label}, decoded", plain.better, f"of decoded pictures: {plain.description}")
    if name in METRICS:
        return METRICS[name]
    base, _, k = name.rpartition("_")
    if not re.fullmatch(r"\d+", k) or base not in METRICS:
        raise KeyError(name)
    return Metric(f"{METRICS[base].label}@{k}", METRICS[base].better, METRICS[base].description)


def order(names: set[str]) -> list[str]:
    """Metrics in the order of the list above."""
    known = list(METRICS)

    def place(name: str) -> tuple[bool, int, int]:
        decoded, plain = name.endswith(DECODED), name.removesuffix(DECODED)
        base, _, k = (plain, "", "0") if plain in METRICS or plain == "drift" else plain.rpartition("_")
        return decoded, known.index(base) if base in METRICS else -1, int(k)

    return sorted(names, key=place)
