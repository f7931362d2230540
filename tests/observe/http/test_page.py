"""The status page: it is whole by itself, and what others chose never becomes markup in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from starlette.applications import Starlette

from gossipnode.observe.events import Events
from gossipnode.observe.http.status_app import StatusApp
from tests.observe.http.asking import ask
from tests.observe.shown import FixedView

PAGE = files("gossipnode.observe.http").joinpath("page")
SCRIPT = PAGE.joinpath("page.js").read_text()
MARKUP = PAGE.joinpath("index.html").read_text()


@pytest.fixture
def app() -> Starlette:
    return StatusApp(FixedView(), Events()).application(())


class Loads(HTMLParser):
    """What a page loads, and what in it would run."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in given) else []
        self.paths += [value for name in ("src", "href") if (value := given.get(name)) is not None]


async def test_all_that_the_page_loads_is_served_by_the_node(app: Starlette) -> None:
    page = await ask(app, "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loads = Loads()
    loads.feed(page.text)
    assert loads.paths
    assert loads.inline == [], "the policy of the page forbids it"
    for path in loads.paths:
        assert (await ask(app, path)).status == 200
    for name in ("index.html", "page.js", "page.css"):
        text = PAGE.joinpath(name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"^\s*//.*$| // .*$", "", text, flags=re.MULTILINE), "a foreign host"


def test_the_page_makes_no_markup_of_text() -> None:
    for way in (
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
        "srcdoc", "DOMParser", "createContextualFragment", ".href", "setAttribute(\"on",
    ):  # fmt: skip
        assert way not in SCRIPT


def test_every_place_that_the_script_fills_is_on_the_page() -> None:
    ids = set(re.findall(r'\bid="([^"]+)"', MARKUP))
    for asked in re.findall(r'(?:byId|leftOut)\("([^"]+)"', SCRIPT):
        assert asked in ids


async def test_records_are_shown_or_it_is_said_why_not(app: Starlette) -> None:
    answer = await ask(app, "/records?group=sw&name=n&id=a%2Fb&where=n%20%3E%205")
    expected = '{"records": [{"key": "sw/n/a/b", "where": "n > 5"}], "more": true}'
    assert (answer.status, answer.text) == (200, expected)
    answer = await ask(app, "/records?group=<script>")
    assert (answer.status, answer.text) == (400, "there is no group '<script>'\n")
    assert answer.headers["content-type"].startswith("text/plain")
