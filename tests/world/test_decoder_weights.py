"""The shipped decoder is a stock Kandinsky 2.2 pipeline that makes pictures of what it is asked for."""

import pytest
import torch
import torch.nn.functional as F
from diffusers import KandinskyV22Pipeline

from prefprior.files import read_json
from prefprior.world import clip
from prefprior.world.build import figures
from prefprior.world.build.decoder import DECODER, is_current


@pytest.fixture(scope="module")
def pipeline() -> KandinskyV22Pipeline:
    return figures.load_decoder()


@pytest.fixture(scope="module")
def asked() -> torch.Tensor:
    model, _, _ = clip.load()
    _, pictures = figures.unseen(24, seed=figures.UNSEEN_SEED + 2)
    return clip.embed_pictures(model, pictures)


def test_it_has_the_layout_of_kandinsky(pipeline: KandinskyV22Pipeline) -> None:
    config = pipeline.unet.config
    assert (config.in_channels, config.out_channels) == (4, 8)
    assert (config.encoder_hid_dim_type, config.addition_embed_type) == ("image_proj", "image")
    assert pipeline.movq.config.norm_type == "spatial"
    assert pipeline.unet.dtype == torch.float32


def test_decoded_pictures_embed_near_their_embeddings(pipeline: KandinskyV22Pipeline, asked: torch.Tensor) -> None:
    model, _, _ = clip.load()
    made = clip.embed_pictures(model, figures.decode(pipeline, asked))
    cosine = F.cosine_similarity(made, asked, dim=-1)
    assert cosine.median() > 0.75
    assert figures.first_of(made, asked) > 0.8


def test_the_same_seed_gives_the_same_pictures(pipeline: KandinskyV22Pipeline, asked: torch.Tensor) -> None:
    first, again, other = (figures.decode(pipeline, asked[:2], steps=4, seed=seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_a_negative_embedding_moves_pictures_away_from_it(pipeline: KandinskyV22Pipeline, asked: torch.Tensor) -> None:
    model, _, _ = clip.load()
    wanted, unwanted = asked[:12], asked[12:]
    both = (wanted + unwanted) / 2**0.5  # as long as either, and as near to one as to the other
    plain = clip.embed_pictures(model, figures.decode(pipeline, both))
    led = clip.embed_pictures(model, figures.decode(pipeline, both, negative_ND=unwanted))
    nearer = F.cosine_similarity(led, wanted, dim=-1) - F.cosine_similarity(plain, wanted, dim=-1)
    farther = F.cosine_similarity(plain, unwanted, dim=-1) - F.cosine_similarity(led, unwanted, dim=-1)
    assert nearer.mean() > 0.03
    assert farther.mean() > 0.05


def test_the_shipped_figures_reach_their_floors_and_belong_to_this_clip() -> None:
    measured = read_json(figures.FIGURES)
    assert set(figures.FLOORS) <= set(measured)
    assert [name for name, value in measured.items() if not figures.reached(name, value)] == []
    assert is_current(DECODER)


def test_its_files_are_float16_safetensors() -> None:
    names = {path.name for path in DECODER.rglob("*") if path.is_file()}
    assert "diffusion_pytorch_model.safetensors" in names
    assert not {name for name in names if name.endswith((".bin", ".pt", ".ckpt"))}
    assert sum(path.stat().st_size for path in DECODER.parent.rglob("*") if path.is_file()) <= 20e6
