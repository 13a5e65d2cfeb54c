"""prefprior/errors.py: what is allowed, what was probably meant, and which command comes first."""

import pytest

from prefprior.errors import RunFirstError, require_choice


def test_the_nearest_allowed_word_is_proposed() -> None:
    with pytest.raises(ValueError, match=r"order is 'tme'; it must be one of set, time; did you mean time\?"):
        require_choice("order", "tme", ["set", "time"])


def test_an_allowed_word_is_returned() -> None:
    assert require_choice("order", "set", ["set", "time"]) == "set"


def missing() -> RunFirstError:
    return RunFirstError(
        "there are none.",
        command=["python", "embed.py", "source=s", "encoder=e"],
        repeats=("source.", "embeddings.root="),
    )


def test_the_message_ends_with_the_command_to_run_first() -> None:
    assert str(missing()) == "there are none. Make them with:\n  python embed.py source=s encoder=e"


def test_the_command_takes_over_arguments_of_the_command_line() -> None:
    words = ["source.root=my data", "seed=3", "embeddings.root=e2"]
    assert str(missing().completed(words, "other")).endswith(
        "\n  python embed.py source=other 'source.root=my data' embeddings.root=e2 encoder=e"
    )


def test_without_an_option_the_source_keeps_its_name() -> None:
    assert str(missing().completed([], None)) == str(missing())
