"""The model card of a published prior: what it is, what it was trained on, how good it is, and what may go wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from prefprior.files import read_json
from prefprior.inference.predictor import TrainedPredictor
from prefprior.runs import INTERVALS

TEMPLATE = Path(__file__).with_suffix(".md.j2")
LICENSE = "apache-2.0"
TAGS = ["recommendation", "personalization", "image-generation", "clip"]
SHOWN = ("utility", "auc", "spearman", "recall_20", "ndcg_20", "diversity")  # of the prior, with its whole history


def config_of(predictor: TrainedPredictor) -> dict[str, Any]:
    """The content of `config.json`, for readers and the hub. Loading does not read it."""
    return {
        "library_name": "prefprior",
        "space": predictor.space.name,
        "dim": predictor.space.dim,
        "model": predictor.model.config,
        "objective": predictor.objective.config,
        "sampler": predictor.sampler.config,
    }


def card_values(
    predictor: TrainedPredictor, *, repo_id: str | None = None, evaluation: str | Path | None = None
) -> dict[str, Any]:
    """What the template fills in; `evaluation` is the folder of a run of `python evaluate.py`."""
    config, facts = config_of(predictor), predictor.facts
    model = config["model"]
    return {
        "title": repo_id.split("/")[-1] if repo_id else "A preference prior",
        "repo_id": repo_id,
        "space": config["space"],
        "dim": config["dim"],
        "prior": _class_of(model["prior"]),
        "retriever": _class_of(model["retriever"]),
        "objective": _class_of(config["objective"]),
        "weights": sum(weight.numel() for weight in predictor.model.parameters()),
        "trained_on": _source_of(facts),
        "steps": facts.get("steps", "unknown"),
        "seed": facts.get("seed", "unknown"),
        "figures": [] if evaluation is None else figures_of(Path(evaluation)),
    }


def card_data() -> ModelCardData:
    """The header that the hub reads."""
    return ModelCardData(library_name="prefprior", license=LICENSE, tags=TAGS)


def figures_of(run: Path) -> list[dict[str, str]]:
    """The prior's figures in an evaluation run, those with an interval."""
    path = run / INTERVALS
    if not path.is_file():
        raise ValueError(f"{run} is not an evaluation run: there is no {INTERVALS}. Make one with: python evaluate.py")
    found = []
    for key, figure in read_json(path).items():
        _, _, predictor, metric = key.split("/")
        if predictor == "prior" and metric in {f"{name}@all" for name in SHOWN} and figure.get("low") is not None:
            interval = f"[{figure['low']:.3f}, {figure['high']:.3f}]"
            found.append({"name": key, "value": f"{figure['value']:.3f} {interval}", "people": str(figure["people"])})
    return found


def _class_of(node: Mapping[str, Any] | None) -> str | None:
    return None if node is None else str(node.get("_target_", "unknown")).rsplit(".", 1)[-1]


def _source_of(facts: Mapping[str, Any]) -> str:
    """The source as the command named it, or by its class: what a card should say more about."""
    choices = facts.get("choices")
    chosen = choices.get("source") if isinstance(choices, Mapping) else None
    data = facts.get("data")
    node = data.get("source") if isinstance(data, Mapping) else None
    return str(chosen or (_class_of(node) if isinstance(node, Mapping) else None) or "unknown")
