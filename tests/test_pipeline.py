"""The pipeline: pictures in, embeddings out in the forms that decoders take, and back from what it saved."""

import pytest
import torch
from PIL import Image

from prefprior.data.embedding.encoders import OpenClipEncoder
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.pipeline import PreferencePriorPipeline
from prefprior.space import Space
from tests.models.conftest import make_model, space  # noqa: F401 (a fixture)


@pytest.fixture(scope="module")
def pictures():
    return [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue", "white")]


@pytest.fixture(scope="module")
def pipe(pictures):
    encoder = OpenClipEncoder(model="world-clip")
    model = make_model(Space.measure("world-clip", encoder.encode_images(pictures).numpy()))
    objective = Denoising(schedule=LinearSchedule())
    predictor = TrainedPredictor(model=model, objective=objective, sampler=Sampler(steps=2, candidates=2))
    return PreferencePriorPipeline(predictor, encoder)


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def test_what_it_makes_goes_into_decoders(pipe, pictures):
    made = pipe(pictures[:2], pictures[2:3], num_images=3, generator=seeded())
    dim = pipe.predictor.space.dim
    assert made.image_embeds.shape == made.negative_image_embeds.shape == (3, dim)
    assert set(made.kandinsky()) == {"image_embeds", "negative_image_embeds"}
    (adapter,) = made.ip_adapter()
    assert adapter.shape == (6, 1, dim)
    assert torch.equal(adapter[:3, 0], made.negative_image_embeds)  # diffusers wants the negatives first


def test_ratings_prompt_and_nobody_at_all(pipe, pictures):
    plain = pipe(pictures[:2], num_images=2, generator=seeded()).image_embeds
    assert torch.equal(plain, pipe(pictures[:2], num_images=2, ratings=[1, 1], generator=seeded()).image_embeds)
    other = pipe(pictures[:2], num_images=2, ratings=[1, -0.5], generator=seeded()).image_embeds
    assert not torch.allclose(plain, other, atol=1e-4)
    prompted = pipe(pictures[:2], num_images=2, prompt="squares", generator=seeded())
    assert torch.isfinite(prompted.image_embeds).all()
    assert torch.isfinite(pipe(num_images=2, generator=seeded()).image_embeds).all()
    # Without a generator each call is new, and the global one is left alone.
    state = torch.get_rng_state()
    assert not torch.equal(pipe(pictures[:1]).image_embeds, pipe(pictures[:1]).image_embeds)
    assert torch.equal(state, torch.get_rng_state())


def test_photos_are_seen_as_they_are_held_and_bad_ones_named(pipe, pictures):
    sideways = pictures[0].copy()
    sideways.paste("black", (0, 0, 64, 20))
    upright = sideways.transpose(Image.Transpose.ROTATE_270)
    sideways.getexif()[0x0112] = 6
    first, second = (pipe([p], num_images=1, generator=seeded()).image_embeds for p in (sideways, upright))
    assert torch.equal(first, second)
    with pytest.raises(ValueError, match=r"picture 1 .*cannot be used: unreadable: it has values down to -1"):
        pipe([pictures[0], Image.new("F", (8, 8), -1.0)])


def test_it_comes_back_from_what_it_saved(pipe, pictures, tmp_path):
    pipe.save_pretrained(tmp_path / "mine")
    again = PreferencePriorPipeline.from_pretrained(tmp_path / "mine")
    made = [p(pictures, num_images=2, generator=seeded()).image_embeds for p in (pipe, again)]
    assert torch.equal(*made)


def test_wrong_input_says_what_is_wrong(pipe, pictures, space, tmp_path):  # noqa: F811
    with pytest.raises(ValueError, match="2 pictures need as many ratings, got 1"):
        pipe(pictures[:2], ratings=[1.0])
    with pytest.raises(ValueError, match=r"ratings must lie in \[-1, 1\]"):
        pipe(pictures[:1], ratings=[5])
    with pytest.raises(ValueError, match="num_images must be at least 1"):
        pipe(num_images=0)
    objective = Denoising(schedule=LinearSchedule())
    foreign = TrainedPredictor(model=make_model(space), objective=objective, sampler=Sampler())
    with pytest.raises(ValueError, match="test/space, but the encoder is world-clip"):
        PreferencePriorPipeline(foreign, pipe.encoder)
    with pytest.raises(ValueError, match="there is no checkpoint"):
        PreferencePriorPipeline.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="neither a checkpoint"):
        PreferencePriorPipeline.from_pretrained("nobody/nothing at all")
