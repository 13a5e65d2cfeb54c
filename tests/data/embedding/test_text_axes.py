"""prefprior/data/embedding/text_axes.py: words name directions of a space."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from prefprior.data.embedding.encoders import OpenClipEncoder, encoder_of
from prefprior.data.embedding.text_axes import NAMED, TextEncoder, read_strengths, text_axes


class Spelling:
    """A text tower for which a text is its letters' counts."""

    space_name = "letters"
    templates = ("a {} one", "the {} thing")

    def encode_texts(self, texts: list[str]) -> Tensor:
        return torch.tensor([[float(text.count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])


def test_open_clips_encoders_have_a_text_tower() -> None:
    assert isinstance(encoder_of("world-clip"), TextEncoder)
    assert encoder_of("world-clip").templates == ("extremely {}", "very {}", "quite {}")


def test_an_axis_of_two_prompts_is_their_difference() -> None:
    (direction,) = text_axes(["a|b"], Spelling()).direction_KD
    torch.testing.assert_close(direction[:2], torch.tensor([-1.0, 1.0]) / 2**0.5)
    assert not direction[2:].any()


def test_both_ends_of_a_named_axis_are_one_axis() -> None:
    axes = text_axes(["darker", "lighter"], Spelling())
    torch.testing.assert_close(axes.direction_KD[0], -axes.direction_KD[1])


def test_a_named_axis_is_the_mean_over_templates() -> None:
    def end(word: str) -> Tensor:
        texts = Spelling().encode_texts([template.format(word) for template in Spelling.templates])
        return torch.nn.functional.normalize(texts, dim=1).mean(0)

    (direction,) = text_axes(["darker"], Spelling()).direction_KD
    torch.testing.assert_close(direction, torch.nn.functional.normalize(end("dark") - end("bright"), dim=0))


def test_every_name_has_an_opposite() -> None:
    assert {(high, low) for low, high in NAMED.values()} == set(NAMED.values())


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({}, "such as 'axes={darker: 0.5}'"),
        ("darker", "is not a mapping"),
        (["darker"], "is not a mapping"),
        (0.5, "is not a mapping"),
        ({"darkr": 1}, "did you mean darker"),
        ({"a|b|c": 1}, "there is no axis 'a|b|c'"),
        ({"a|": 1}, "or two prompts, such as"),
        ({"": 1}, "there is no axis ''"),
        ({"darker": None}, "must be a number of standard deviations"),
        ({"darker": "much"}, "'much'; it must be a number"),
        ({"darker": True}, "it must be a number"),
        ({"darker": float("nan")}, "it must be a number"),
        ({"darker": 30}, "at least -3.0 and at most 3.0, got 30"),
        ({"darker": [1]}, "it must be a number"),
    ],
)
def test_what_is_no_axis_or_strength_is_refused(axes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_strengths(axes)


def test_strengths_are_read() -> None:
    assert read_strengths({"darker": 1, "a red sky|a blue sky": -0.5}) == {"darker": 1.0, "a red sky|a blue sky": -0.5}


def test_words_that_a_tokenizer_does_not_know_are_refused_with_those_it_knows(encoder: OpenClipEncoder) -> None:
    with pytest.raises(ValueError, match=r"the axis 'calmer' cannot be embedded: .* without: wild") as error:
        text_axes(["calmer"], encoder_of("world-clip"))
    assert "its words are" in str(error.value)
    assert "\n" not in str(error.value)


def test_two_ends_that_mean_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="are the same text to letters: give two prompts that differ"):
        text_axes(["pots|stop"], Spelling())
