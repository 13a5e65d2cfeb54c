"""The report's pictures, as SVG text: readable in grey print and on a phone.

Shapes: B users, n samples, N catalogue, D dimension.
"""

import io

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from sklearn.decomposition import PCA

from prefprior.evaluation.protocol.results import Outcome, Results
from prefprior.evaluation.report.labels import describe

# Lines differ by marker and dash as well as colour (Okabe & Ito's palette), so that grey print tells them apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#8A8A8A")
MARKERS = "osD^vPX*"
DASHES = ("-", "--", "-.", ":")
MAP_POINTS = 3000
MAP_SAMPLES = 4  # of each user
LEGEND_COLUMNS = 3
STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "prefprior",  # the same figures give the same file
}


@matplotlib.rc_context(STYLE)
def few_shot(results: Results, metric: str, *, shown: bool = False) -> str | None:
    """A metric against the history's length, one line for each predictor, with intervals; `shown`: from pictures shown
    at random."""
    plotted = [o for o in results.outcomes if o.condition.control is None and o.condition.shown == shown]
    lengths = list(dict.fromkeys(outcome.condition.shots for outcome in plotted))
    if len(lengths) < 2:
        return None
    rows = -(-len(results.predictors) // LEGEND_COLUMNS)
    canvas, axes = _canvas(4.6, 3.4 + 0.22 * rows)
    drawn = 0
    for i, predictor in enumerate(results.predictors):
        found = {
            outcome.condition.shots: results.figures[results.key(outcome, metric)]
            for outcome in plotted
            if outcome.predictor == predictor and results.key(outcome, metric) in results.figures
        }
        if not found:
            continue
        x, y = [lengths.index(shots) for shots in found], [figure.value for figure in found.values()]
        axes.plot(
            x, y, label=predictor, color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], markersize=5,
            linestyle=DASHES[i // len(COLOURS) % len(DASHES)], linewidth=2.6 if i == 0 else 1.4,
        )  # fmt: skip
        if i == 0:
            low, high = [f.low for f in found.values()], [f.high for f in found.values()]
            axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
        drawn += 1
    if not drawn:
        return None
    axes.set_xticks(range(len(lengths)), lengths)
    axes.set_xlabel("pictures shown at random and rated" if shown else "ratings in the history")
    axes.set_ylabel(describe(metric).label)
    # Below, so that the lines have the whole width of a phone.
    canvas.legend(frameon=False, fontsize=9, ncols=LEGEND_COLUMNS, loc="outside lower center")
    return _svg(canvas)


@matplotlib.rc_context(STYLE)
def separation(outcome: Outcome) -> str | None:
    """Each user's cosine to held-out likes against that to held-out dislikes."""
    likes_B, dislikes_B = outcome.by_user["cosine_likes"], outcome.by_user["cosine_dislikes"]
    both_B = np.isfinite(likes_B) & np.isfinite(dislikes_B)
    if both_B.sum() < 3:
        return None
    canvas, axes = _canvas(5.2, 4.2)
    likes, dislikes = likes_B[both_B], dislikes_B[both_B]
    bins = np.histogram_bin_edges(np.concatenate([likes, dislikes]), 30).tolist()
    axes.hist(likes, bins, alpha=0.75, color=COLOURS[0], label="likes")
    axes.hist(dislikes, bins, histtype="step", linewidth=2, color=COLOURS[1], label="dislikes")
    axes.set_xlabel(f"mean cosine of {outcome.predictor}'s samples with held-out ...")
    axes.set_ylabel("people")
    axes.legend(frameon=False)
    return _svg(canvas)


@matplotlib.rc_context(STYLE)
def permutation(outcome: Outcome) -> str | None:
    """The personal gap against its distribution where samples are assigned to users at random."""
    if outcome.personal is None:
        return None
    canvas, axes = _canvas(5.2, 4.2)
    axes.hist(outcome.personal.null_P, 40, color=COLOURS[7])
    axes.axvline(outcome.personal.gap, color=COLOURS[0], linewidth=2.5)
    axes.annotate(
        f"{outcome.predictor}: {outcome.personal.gap:.2f}\np = {outcome.personal.p_value:.4f}",
        (outcome.personal.gap, axes.get_ylim()[1] * 0.9),
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        va="top",
    )
    axes.set_xlabel("own samples minus other users' samples, in the verifier's standard deviations")
    axes.set_ylabel("permutations")
    return _svg(canvas)


@matplotlib.rc_context(STYLE)
def taste_map(results: Results, outcome: Outcome, seed: int = 0) -> str | None:
    """Catalogue, samples and users in the plane that shows most of the catalogue, coloured by segment."""
    if outcome.samples_BnD is None or outcome.segment_B is None:
        return None
    catalogue = results.people.catalogue
    rows = torch.randperm(len(catalogue), generator=torch.Generator().manual_seed(seed))[:MAP_POINTS].sort().values
    pictures_ND = catalogue.space.directions(catalogue.embeddings_ND[rows]).numpy()
    plane = PCA(2, random_state=seed).fit(pictures_ND)
    made_BnD = catalogue.space.directions(outcome.samples_BnD)
    canvas, axes = _canvas(5.2, 4.6)
    x, y = plane.transform(pictures_ND).T
    axes.scatter(x, y, s=5, color="#c8c8c8", label="pictures", rasterized=True)
    few_BnD = made_BnD[:, :MAP_SAMPLES]
    x, y = plane.transform(few_BnD.flatten(0, 1).numpy()).T
    colours = [COLOURS[s % len(COLOURS)] for s in outcome.segment_B]
    by_sample = np.repeat(colours, few_BnD.shape[1])
    axes.scatter(x, y, s=5, c=by_sample, alpha=0.6, label="samples", rasterized=True)
    x, y = plane.transform(made_BnD.mean(1).numpy()).T
    axes.scatter(x, y, s=42, c=colours, edgecolors="black", linewidths=0.8, label="people", rasterized=True)
    axes.set_xticks([])
    axes.set_yticks([])
    share = plane.explained_variance_ratio_.sum()
    axes.set_xlabel(f"the two first principal components of the catalogue ({share:.0%} of its variance)")
    axes.legend(frameon=False, loc="upper right", fontsize=9)
    return _svg(canvas)


def _canvas(width: float, height: float) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(width, height), layout="constrained")
    return canvas, canvas.subplots()


def _svg(canvas: Canvas) -> str:
    out = io.StringIO()
    canvas.savefig(out, format="svg", dpi=150, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
