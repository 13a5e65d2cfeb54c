"""Questions and answers: what cannot be asked or answered is refused in one sentence."""

import pytest

from prefprior.elicitation.questions import Kind, Question

GRID = Question(Kind(3), (4, 7, 9))


@pytest.mark.parametrize(("name", "kind"), [(1, Kind(1)), ("9", Kind(9)), ("9+none", Kind(9, none=True))])
def test_kinds_have_names(name: str | int, kind: Kind) -> None:
    assert Kind.named(name) == kind
    assert Kind.named(str(kind)) == kind


@pytest.mark.parametrize("name", ["nine", "9+all", "-1", "", "2.5"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="it must be a number of pictures, such as 1, 2 or 9, or 9\\+none"):
        Kind.named(name)


@pytest.mark.parametrize("shown", [0, -1, 101])
def test_a_question_shows_one_to_a_hundred_pictures(shown: int) -> None:
    with pytest.raises(ValueError, match=rf"from 1 picture .* to 100 .* got {shown}"):
        Kind(shown)


def test_a_rating_has_no_none_of_these() -> None:
    with pytest.raises(ValueError, match="no answer 'none of these'"):
        Kind(1, none=True)


def test_no_more_can_be_shown_than_there_are() -> None:
    with pytest.raises(ValueError, match=r"a question of 9 pictures needs as many .* there are 5"):
        Kind(9).require_enough(5)


def test_a_picture_is_shown_once() -> None:
    with pytest.raises(ValueError, match="as many different ones"):
        Question(Kind(2), (3, 3))


def test_a_choice_is_among_what_was_shown() -> None:
    assert GRID.chosen([7]).picked == (1,)
    with pytest.raises(ValueError, match="picture 5 was chosen, but 4, 7, 9 were shown"):
        GRID.chosen([5])


def test_a_picture_is_picked_once() -> None:
    with pytest.raises(ValueError, match="chosen twice"):
        GRID.chosen([7, 7])


def test_none_is_an_answer_only_where_it_was_offered() -> None:
    assert Question(Kind(2, none=True), (0, 1)).chosen([]).picked == ()
    with pytest.raises(ValueError, match="no answer 'none of these'"):
        GRID.chosen([])


def test_a_choice_is_not_a_rating() -> None:
    with pytest.raises(ValueError, match="the answer is not a rating"):
        GRID.rated(3)
    with pytest.raises(ValueError, match="the answer is a rating, not a choice"):
        Question(Kind(1), (4,)).chosen([4])
