"""Publishing a prior: to a stand-in for the hub and back, its card, its config."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from PIL import Image

import prefprior
from prefprior.files import write_json
from prefprior.hub import reachable
from prefprior.pipeline import PreferencePriorPipeline
from prefprior.runs import INTERVALS
from tests.hub import Hub, serving
from tests.test_pipeline import embeds, pictures, pipe  # noqa: F401 (fixtures)

REPO = "me/tastes"
RESOLVE = "resolve/{revision}/{filename}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{hub.url}/{{repo_id}}/{RESOLVE}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        close_session()
        reachable.cache_clear()
        yield hub
    close_session()
    reachable.cache_clear()


def test_a_pushed_pipeline_loads(pipe: PreferencePriorPipeline, pictures: list[Image.Image], hub: Hub) -> None:  # noqa: F811
    pipe.push_to_hub(REPO, token="hf_secret")
    assert {"prior.safetensors", "config.json", "README.md"} <= hub.files(REPO).keys()
    again = prefprior.load(REPO)
    assert torch.equal(embeds(pipe, pictures), embeds(again, pictures))


def test_the_requested_revision_is_loaded(pipe: PreferencePriorPipeline, hub: Hub) -> None:  # noqa: F811
    pipe.push_to_hub(REPO, token="hf_secret")
    first = hub.sha(REPO, 0)
    hub.commits[REPO].append({**hub.files(REPO), "prior.safetensors": b"of a later commit"})
    assert prefprior.load(REPO, revision=first).predictor.space.name == pipe.predictor.space.name
    with pytest.raises(ValueError, match="damaged"):
        prefprior.load(REPO)


def test_an_unreachable_hub_is_reported(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    reachable.cache_clear()
    with pytest.raises(ValueError, match=r"that could be reached \(LocalEntryNotFoundError\)"):
        prefprior.load(REPO)


def test_the_token_is_sent(pipe: PreferencePriorPipeline, hub: Hub) -> None:  # noqa: F811
    pipe.push_to_hub(REPO, token="hf_secret")
    prefprior.load(REPO, token="hf_mine")
    assert set(hub.tokens) == {"Bearer hf_mine"}


@pytest.mark.parametrize("asked", [{"source": "me/nothing"}, {"source": REPO, "revision": "0" * 40}])
def test_a_missing_repository_is_reported(pipe: PreferencePriorPipeline, hub: Hub, asked: dict[str, Any]) -> None:  # noqa: F811
    pipe.push_to_hub(REPO, token="hf_secret")
    with pytest.raises(ValueError, match="neither a checkpoint, nor a folder, nor a repository"):
        prefprior.load(**asked)


@pytest.fixture
def published(pipe: PreferencePriorPipeline, tmp_path: Path) -> Path:  # noqa: F811
    """A folder as `save_pretrained` writes it, with the figures of an evaluation."""
    run = tmp_path / "evaluation"
    figure = {"value": 0.9, "low": 0.85, "high": 0.94, "people": 40, "items": 100}
    write_json(run / INTERVALS, {
        "world/unseen/prior/auc@all": figure,
        "world/unseen/prior/auc@4": {**figure, "value": 0.1},
        "world/unseen/mean/auc@all": {**figure, "value": 0.2},
        "world/unseen/prior/diversity@all": {**figure, "low": None, "high": None},
    })  # fmt: skip
    pipe.save_pretrained(tmp_path / "mine", model_card_kwargs={"repo_id": REPO, "evaluation": run})
    return tmp_path / "mine"


def test_the_card_states_intended_use_and_risks(published: Path) -> None:
    card = (published / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: prefprior\n")
    assert all(f"**{risk}.**" in card for risk in ("Persuasion", "Filter bubbles", "Sensitive data"))
    assert f'prefprior.load("{REPO}")' in card


def test_the_card_has_metrics_with_intervals(published: Path) -> None:
    card = (published / "README.md").read_text()
    assert "| `world/unseen/prior/auc@all` | 0.900 [0.850, 0.940] | 40 |" in card
    assert card.count("| `world/") == 1  # not other predictors', shorter histories', or what has no interval


def test_a_folder_without_an_evaluation_is_refused(pipe: PreferencePriorPipeline, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(ValueError, match=r"not an evaluation run.*python evaluate\.py"):
        pipe.generate_model_card(evaluation=tmp_path)


def test_config_json_describes_the_model(published: Path, pipe: PreferencePriorPipeline) -> None:  # noqa: F811
    config = json.loads((published / "config.json").read_text())
    assert config == pipe.config
    assert config["model"]["prior"]["_target_"] == "prefprior.models.prior.prior.Prior"


def test_config_json_is_not_used_for_loading(published: Path, pipe: PreferencePriorPipeline) -> None:  # noqa: F811
    (published / "config.json").write_text('{"predictor": 1, "encoder": {"_target_": "os.system"}}')
    assert prefprior.load(published).config == pipe.config


def test_lower_precision_is_close(pipe: PreferencePriorPipeline, pictures: list[Image.Image], tmp_path: Path) -> None:  # noqa: F811
    pipe.save_pretrained(tmp_path)
    low = prefprior.load(tmp_path, torch_dtype=torch.bfloat16)
    one, other = embeds(pipe, pictures), embeds(low, pictures)
    assert other.dtype == torch.float32
    assert not torch.equal(one, other)
    assert torch.cosine_similarity(one, other).min() > 0.98


def test_an_unknown_precision_is_refused(tmp_path: Path, pipe: PreferencePriorPipeline) -> None:  # noqa: F811
    pipe.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"torch\.int8; it must be one of torch\.float32"):
        prefprior.load(tmp_path, torch_dtype=torch.int8)


def test_moving_the_pipeline_moves_its_encoder(pipe: PreferencePriorPipeline) -> None:  # noqa: F811
    assert pipe.to("cpu").device == torch.device("cpu")
    assert next(pipe.encoder.model.parameters()).device == torch.device("cpu")
