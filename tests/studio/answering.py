"""People in a database who have answered something."""

from prefprior.studio.store.database import Database
from prefprior.studio.store.impressions import Draw, Given, Impressions
from prefprior.studio.store.people import People, Person, Profile


def chose(database: Database, profile: Profile, items: tuple[str, ...], picked: tuple[int, ...]) -> None:
    """A question, and the places that were picked."""
    _told(database, profile, items, Given(picked=picked))


def rated(database: Database, profile: Profile, item: str, rating: float) -> None:
    """A question about one item, and its rating."""
    _told(database, profile, (item,), Given(rating=rating))


def arrived(database: Database, profiles: int = 1) -> Person:
    """A new visitor with some profiles."""
    people = People(database)
    person, token = people.arrive()
    for number in range(1, profiles):
        people.add_profile(person, f"taste {number}")
    found = people.of_cookie(token)
    assert found is not None
    return found


def _told(database: Database, profile: Profile, items: tuple[str, ...], given: Given) -> None:
    draw = Draw("nine", str(len(items)), items, (0.9,) * (len(items) - 1) + (0.25,), "eubo", "m" * 64, 7)
    impressions = Impressions(database)
    question = impressions.record(profile, draw)
    assert impressions.answer(profile, question.id, given, None)
