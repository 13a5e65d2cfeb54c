"""A person at a browser, as tests drive one: cookies are kept, forms are read from the pages."""

import json
import re
from html import unescape
from io import BytesIO
from typing import Any
from zipfile import ZipFile

from fastapi.testclient import TestClient
from httpx2 import Response

FIELD = re.compile(r'name="(csrf|question|seen_at)" value="([^"]*)"')
LAST = re.compile(r'name="answered" value="(\d+)"')
SHOWN = re.compile(r'src="/items/([^"]+)"')
MADE = re.compile(r'src="/made/([0-9a-f]{64})"')
COUNT = re.compile(r"(\d+) answers?</span>")


class Person:
    """Somebody who has started."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        assert client.post("/start", data={"start": "yes"}).status_code == 303

    def page(self, mode: str = "nine") -> str:
        """A page of questions."""
        response = self.client.get(f"/ask/{mode}")
        assert response.status_code == 200, response.text
        return response.text

    def fields(self, mode: str = "nine") -> dict[str, str]:
        """The hidden fields of its form."""
        return {name: unescape(value) for name, value in FIELD.findall(self.page(mode))}

    def answer(self, answer: str = "1", mode: str = "nine", **changed: str) -> Response:
        """Sends the form."""
        return self.client.post(f"/ask/{mode}", data=self.fields(mode) | {"answer": answer} | changed)

    def post(self, path: str, **fields: str) -> Response:
        """Another form of ours."""
        return self.client.post(path, data={"csrf": self.fields()["csrf"]} | fields)

    def undo(self, mode: str = "nine") -> Response:
        """Sends the page's form that takes the last answer back."""
        last = LAST.search(self.page(mode))
        assert last is not None
        return self.post("/undo", mode=mode, answered=last[1])

    def shown(self, mode: str = "nine") -> list[str]:
        """The pictures of the question."""
        return SHOWN.findall(self.page(mode))

    def answers(self) -> int:
        """How many the page counts."""
        found = COUNT.search(self.page())
        assert found is not None
        return int(found[1])

    def strip(self) -> list[str]:
        """Has pictures made; asks again where they take long, as the page's script does."""
        sent, fragment = {"csrf": self.fields()["csrf"]}, {"X-Fragment": "1"}
        for _ in range(10):
            response = self.client.post("/strip", data=sent, headers=fragment)
            if response.status_code != 503:
                break
        assert response.status_code == 200, response.text
        return MADE.findall(response.text)


def make(person: Person, **wish: str) -> list[str]:
    """Has a gallery made; returns the names of its pictures."""
    assert person.post("/made", **wish).headers["location"] == "/made"
    return MADE.findall(person.client.get("/made").text)


def manifest(person: Person) -> dict[str, Any]:
    """Of the downloaded gallery."""
    return json.loads(ZipFile(BytesIO(person.client.get("/made.zip").content)).read("manifest.json"))
