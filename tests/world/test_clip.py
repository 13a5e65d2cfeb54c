"""The miniature CLIP is open_clip's, loads from what ships, and sees what pictures show."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from prefprior.world import clip
from prefprior.world.build import figures


@pytest.fixture(scope="module")
def loaded() -> tuple:
    return clip.load()


def test_open_clip_creates_it_by_name() -> None:
    clip.register()  # already done by the package: again, it changes nothing
    model = open_clip.create_model(clip.MODEL_NAME)
    assert isinstance(model, open_clip.CLIP)
    assert model.text_projection.shape[1] == 64


def test_single_pictures_and_arrays_are_preprocessed_alike(loaded: tuple) -> None:
    _, preprocess, _ = loaded
    _, pictures = figures.unseen(2)
    alone = torch.stack([preprocess(Image.fromarray(picture)) for picture in pictures])
    assert torch.allclose(alone, clip.normalised(pictures), atol=1e-6)


def test_an_embedding_does_not_depend_on_its_batch(loaded: tuple) -> None:
    model, _, _ = loaded
    _, pictures = figures.unseen(9)
    whole = clip.embed_pictures(model, pictures)
    assert whole.shape == (9, 64)
    assert torch.allclose(whole, clip.embed_pictures(model, pictures, batch=2), atol=1e-4)


def test_factors_of_unseen_pictures_are_decodable(loaded: tuple) -> None:
    model, _, tokenizer = loaded
    # Fewer pictures than figures.json is measured on, hence somewhat lower floors than it promises.
    measured = figures.clip_figures(model, tokenizer, n=1200, test=400)
    assert measured["clip/probe_r2/mean"] > 0.82
    assert measured["clip/probe_r2/lowest"] > 0.65
    assert measured["clip/zero_shot/mean"] > 0.85
    assert measured["clip/caption_to_picture/first_of_400"] > 0.85


def test_captions_retrieve_their_pictures(loaded: tuple) -> None:
    model, _, tokenizer = loaded
    factors, pictures = figures.unseen(300)
    shown = F.normalize(clip.embed_pictures(model, pictures), dim=-1)
    asked = F.normalize(clip.embed_texts(model, tokenizer, ["circles", "extremely dark"]), dim=-1)
    nearest = (shown @ asked.T).topk(10, dim=0).indices.numpy()
    assert (factors["shape"][nearest[:, 0]] == 0).mean() >= 0.7
    assert factors["lightness"][nearest[:, 1]].mean() < 0.3


def test_missing_or_other_weights_are_errors_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scripts/build_world\.py"):
        clip.load(tmp_path / "none.safetensors")
    save_file(load_file(clip.WEIGHTS), tmp_path / "foreign.safetensors", metadata={"vocabulary": "cat dog"})
    with pytest.raises(ValueError, match="other captions"):
        clip.load(tmp_path / "foreign.safetensors")


def test_saved_weights_give_the_same_embeddings(loaded: tuple, tmp_path: Path) -> None:
    model, _, tokenizer = loaded
    clip.save(model, tokenizer, tmp_path / "again.safetensors")
    again, _, _ = clip.load(tmp_path / "again.safetensors")
    _, pictures = figures.unseen(4)
    assert np.allclose(clip.embed_pictures(model, pictures), clip.embed_pictures(again, pictures))
