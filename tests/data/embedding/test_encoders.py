"""prefprior/data/embedding/encoders.py: which space an encoder has, and which encoder a space."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from prefprior.data.embedding import encoders
from prefprior.data.embedding.encoders import Encoder, OpenClipEncoder, encoder_of


def test_it_is_an_encoder(encoder: OpenClipEncoder) -> None:
    assert isinstance(encoder, Encoder)


def test_a_pretrained_tag_names_the_space() -> None:
    encoder = OpenClipEncoder(model="ViT-bigG-14", pretrained="laion2b_s39b_b160k")
    assert encoder.space_name == "ViT-bigG-14/laion2b_s39b_b160k"


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    (tmp_path / "mine.pt").touch()
    return str(tmp_path / "mine.pt")


def test_a_local_checkpoint_names_the_space_by_its_file(checkpoint: str) -> None:
    assert OpenClipEncoder(model="ViT-H-14", pretrained=checkpoint).space_name == "ViT-H-14/mine"


def test_the_space_of_a_local_checkpoint_can_be_set(checkpoint: str) -> None:
    assert OpenClipEncoder(model="ViT-H-14", pretrained=checkpoint, space="x/y").space_name == "x/y"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "ViT-bigG14"}, r"did you mean ViT-bigG-14\?"),
        ({"model": "ViT-H-14", "pretrained": "laion2b"}, r"did you mean laion2b_s32b_b79k\?"),
        ({"model": "ViT-H-14"}, r"encoder.pretrained is missing"),
        ({"model": "world-clip", "pretrained": "x"}, r"leave encoder.pretrained out"),
    ],
)
def test_an_unknown_open_clip_model_is_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OpenClipEncoder(**arguments)


def test_the_encoder_of_a_space_is_found_by_its_name() -> None:
    assert encoder_of("ViT-H-14/laion2b_s32b_b79k").space_name == "ViT-H-14/laion2b_s32b_b79k"


def test_a_space_without_encoder_needs_given_embeddings() -> None:
    with pytest.raises(ValueError, match=r"must be embedded with the encoder of mine/own, which is not available"):
        encoder_of("mine/own")


def test_a_registered_model_brings_its_own_weights(encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = encoders.LoadedClip(encoder.model, encoder.preprocess, lambda texts: torch.zeros(len(texts)))
    monkeypatch.setattr(encoders, "_BUNDLED", {})
    encoders.register_encoder("RN50", lambda: loaded)
    assert OpenClipEncoder(model="RN50").model is encoder.model


def test_a_registered_model_names_its_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "_BUNDLED", {"RN50": lambda: None})
    assert OpenClipEncoder(model="RN50").space_name == "RN50"


def test_other_weights_change_the_encoders_identity(encoder: OpenClipEncoder) -> None:
    other = OpenClipEncoder(model="world-clip")
    with torch.no_grad():
        next(p for name, p in other.model.named_parameters() if name.startswith("visual.")).add_(1)
    assert other.identity()["weights"] != encoder.identity()["weights"]


def test_no_pictures_give_no_embeddings(encoder: OpenClipEncoder) -> None:
    assert encoder.encode_images([]).shape == (0, encoder.dim)


def test_embeddings_do_not_depend_on_the_batch_size(encoder: OpenClipEncoder) -> None:
    pictures = [Image.new("RGB", (64, 64), (40 * i, 0, 0)) for i in range(5)]
    few = OpenClipEncoder(model="world-clip", batch_size=2)
    assert torch.allclose(few.encode_images(pictures), encoder.encode_images(pictures), atol=1e-4)
