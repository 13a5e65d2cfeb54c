"""The pipeline: pictures in, embeddings out in the forms that decoders take, and back from what it saved."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from prefprior.data.embedding.encoders import OpenClipEncoder
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.inference.steering import Steering
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.pipeline import PreferencePriorPipeline
from prefprior.space import Space
from tests.models.conftest import make_model, space  # noqa: F401 (a fixture)

Pictures = list[Image.Image]


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue", "white")]


@pytest.fixture(scope="module")
def pipe(pictures: Pictures) -> PreferencePriorPipeline:
    encoder = OpenClipEncoder(model="world-clip")
    model = make_model(Space.measure("world-clip", encoder.encode_images(pictures).numpy()))
    objective = Denoising(schedule=LinearSchedule())
    predictor = TrainedPredictor(model=model, objective=objective, sampler=Sampler(steps=2, candidates=2))
    return PreferencePriorPipeline(predictor, encoder)


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def embeds(pipe: PreferencePriorPipeline, *pictures: Pictures, **how: Any) -> Tensor:
    return pipe(*pictures, num_images=2, generator=seeded(), **how).image_embeds


def test_kandinsky_accepts_the_embeddings(pipe: PreferencePriorPipeline, pictures: Pictures) -> None:
    made = pipe(pictures[:2], pictures[2:3], num_images=3, generator=seeded())
    assert made.image_embeds.shape == made.negative_image_embeds.shape == (3, pipe.predictor.space.dim)
    assert set(made.kandinsky()) == {"image_embeds", "negative_image_embeds"}


def test_an_ip_adapter_accepts_the_embeddings(pipe: PreferencePriorPipeline, pictures: Pictures) -> None:
    made = pipe(pictures[:2], pictures[2:3], num_images=3, generator=seeded())
    (adapter,) = made.ip_adapter()
    assert adapter.shape == (6, 1, pipe.predictor.space.dim)
    assert torch.equal(adapter[:3, 0], made.negative_image_embeds)  # diffusers wants the negatives first


def test_likes_have_rating_1(pipe: PreferencePriorPipeline, pictures: Pictures) -> None:
    assert torch.equal(embeds(pipe, pictures[:2]), embeds(pipe, pictures[:2], ratings=[1, 1]))


def test_ratings_change_the_samples(pipe: PreferencePriorPipeline, pictures: Pictures) -> None:
    plain, other = embeds(pipe, pictures[:2]), embeds(pipe, pictures[:2], ratings=[1, -0.5])
    assert not torch.allclose(plain, other, atol=1e-4)


def test_a_prompt_moves_samples_towards_its_text_embedding(pipe: PreferencePriorPipeline, pictures: Pictures) -> None:
    (text_D,) = pipe.encoder.encode_texts(["red ground"])
    near = [
        torch.cosine_similarity(embeds(pipe, pictures[:2], prompt="red ground", prompt_weight=w), text_D, dim=-1).mean()
        for w in (0.0, 1.0)
    ]
    assert near[1] > near[0]


def test_a_prompt_gives_what_the_predictor_gives_for_its_text(
    pipe: PreferencePriorPipeline, pictures: Pictures
) -> None:
    history = History.of(pipe.encoder.encode_images(pictures[:2]), [1.0, 1.0], ages_K=[0, 1], user="somebody")
    text_BD = pipe.encoder.encode_texts(["red ground"])
    expected = pipe.predictor.sample(history, 2, seeded(), text_BD=text_BD, text_weight=0.3, copy_threshold=0.95)
    assert torch.equal(embeds(pipe, pictures[:2], prompt="red ground", prompt_weight=0.3), expected[0])


def test_axes_move_samples_along_words(pipe: PreferencePriorPipeline, pictures: Pictures) -> None:
    many = pipe.encoder.encode_images(
        [Image.new("RGB", (64, 64), (r, g, b)) for r in (0, 90, 250) for g in (0, 90, 250) for b in (0, 90, 250)]
    )
    pipe.predictor.model.lengths.learn(many)
    steering = Steering.named({"darker": 1.0}, pipe.encoder, pipe.predictor.model.lengths.direction_PD)
    lighter, darker = (embeds(pipe, pictures[:2], axes={"darker": strength}) for strength in (-1.0, 1.0))
    assert (steering.positions(darker) > steering.positions(lighter) + 1).all()


def test_an_empty_history_gets_samples(pipe: PreferencePriorPipeline) -> None:
    assert torch.isfinite(embeds(pipe)).all()


def test_calls_without_a_generator_differ(pipe: PreferencePriorPipeline, pictures: Pictures) -> None:
    assert not torch.equal(pipe(pictures[:1]).image_embeds, pipe(pictures[:1]).image_embeds)


def test_the_global_generator_is_unchanged(pipe: PreferencePriorPipeline, pictures: Pictures) -> None:
    state = torch.get_rng_state()
    pipe(pictures[:1])
    assert torch.equal(state, torch.get_rng_state())


def test_exif_orientation_is_applied(pipe: PreferencePriorPipeline, pictures: Pictures) -> None:
    sideways = pictures[0].copy()
    sideways.paste("black", (0, 0, 64, 20))
    upright = sideways.transpose(Image.Transpose.ROTATE_270)
    sideways.getexif()[0x0112] = 6
    assert torch.equal(embeds(pipe, [sideways]), embeds(pipe, [upright]))


def test_a_bad_picture_is_named(pipe: PreferencePriorPipeline, pictures: Pictures) -> None:
    with pytest.raises(
        ValueError, match=r"picture 1 .*cannot be used: unreadable: it has values below 0 \(down to -1\)"
    ):
        pipe([pictures[0], Image.new("F", (8, 8), -1.0)])


def test_a_saved_pipeline_loads(pipe: PreferencePriorPipeline, pictures: Pictures, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "mine")
    again = PreferencePriorPipeline.from_pretrained(tmp_path / "mine")
    assert torch.equal(embeds(pipe, pictures), embeds(again, pictures))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ratings": [1.0]}, "2 pictures need 2 ratings, got 1"),
        ({"ratings": [5, 1]}, r"ratings must be in \[-1, 1\]"),
        ({"axes": {"drker": 0.5}}, "there is no axis 'drker'"),
        ({"num_images": 0}, "num_images must be at least 1"),
        ({"prompt": "red ground", "prompt_weight": 2.0}, "between 0 .* and 1 .*, got 2"),
    ],
)
def test_invalid_input_is_explained(
    pipe: PreferencePriorPipeline, pictures: Pictures, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pipe(pictures[:2], **wrong)


def test_an_encoder_of_another_space_is_refused(pipe: PreferencePriorPipeline, space: Space) -> None:  # noqa: F811
    objective = Denoising(schedule=LinearSchedule())
    foreign = TrainedPredictor(model=make_model(space), objective=objective, sampler=Sampler())
    with pytest.raises(ValueError, match="test/space, but the encoder uses world-clip"):
        PreferencePriorPipeline(foreign, pipe.encoder)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no checkpoint"):
        PreferencePriorPipeline.from_pretrained(tmp_path)


def test_a_source_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a checkpoint"):
        PreferencePriorPipeline.from_pretrained("nobody/nothing at all")
