"""The page of a history: well-formed, alone, with a lane for each node and client, and every text escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from gossipnode.sim.checks.verdict import Violation
from gossipnode.sim.history.history import History
from gossipnode.sim.history.story_page import ROWS_MAX, VIOLATIONS_MAX, history_page
from tests.sim.history.made_history import VIOLATIONS, made_history

ALONE = {"meta", "input", "br"}


class Reader(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.names: list[str] = []
        self.feed(page)
        self.close()
        assert not self.opened

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ALONE:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.opened and self.opened[-1] == "div" and self.elements[-1][1].get("class") == "name":
            self.names.append(data)

    def titles(self, words: str) -> Iterator[tuple[str, str]]:
        """The classes and titles of what is drawn, of those that hold these words."""
        for _, attributes in self.elements:
            title = attributes.get("title") or ""
            if words in title:
                yield attributes.get("class") or "", title


@pytest.fixture(scope="module")
def page() -> str:
    return history_page(made_history(), VIOLATIONS, "seed <17>")


def test_a_lane_for_the_cluster_and_each_node_and_client(page: str) -> None:
    assert Reader(page).names == ["time", "cluster", "a", "b", "c", "d", "network", "client", "far"]


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        ("#0 apply", "item done shown"),
        ("#1 replace", "item unknown"),
        ("#6 delete", "item refused"),
        ("#8 get", "item open"),
        ("round of sw/0 incomplete", "item round"),
        ("cut c-*", "item fault point"),
        ("goes back", "item bad point"),
        ("2.000000 s to 7.000000 s: c: network", "band harm"),
        ("2.000000 s to 7.000000 s: something is wrong", "band unwell"),
        ("finally_equal", "item bad point"),
    ],
)
def test_what_is_drawn(page: str, words: str, classes: str) -> None:
    assert [found for found, _ in Reader(page).titles(words)] == [classes]


def test_violations_stand_above_the_lanes(page: str) -> None:
    assert page.index("always_reads_are_new at 3.004") < page.index('id="lanes"')
    assert "No check is violated" in history_page(made_history())


def test_no_text_of_a_history_is_markup(page: str) -> None:
    read = Reader(page)
    assert [tag for tag, _ in read.elements].count("script") == 1
    assert not any("onload" in attributes for _, attributes in read.elements)
    assert "\x1b" not in page
    assert "seed &lt;17&gt;" in page


def test_the_page_needs_nothing_else(page: str) -> None:
    named = {"src", "href", "action", "data", "poster", "srcset"}
    assert not any(named & set(attributes) for _, attributes in Reader(page).elements)
    assert not re.search(r"url\(|@import|https?:|fetch\(", page)


def test_of_many_violations_the_first_of_each_check_are_shown_and_the_others_counted() -> None:
    many = [Violation("always_x", 1.0, f"number {number}") for number in range(VIOLATIONS_MAX + 7)]
    page = history_page(made_history(), [*many, *VIOLATIONS])
    above = page[: page.index('id="lanes"')]
    assert above.count("always_x at") == VIOLATIONS_MAX
    assert "and 7 more of always_x: " in above
    assert "finally_equal at" in above
    assert page.count(f"number {VIOLATIONS_MAX + 6}") == 2, "in the text, above and where it happened"


def test_a_history_of_nothing_has_a_page() -> None:
    assert Reader(history_page(History())).names == ["time", "cluster"]


def test_much_that_happens_at_once_takes_few_rows_and_nothing_is_left_out() -> None:
    history = made_history()
    for number in range(40):
        history.tell(3.0, "a", f"number {number};", "error" if number == 30 else "event")
    page = history_page(history)
    rows = [attributes["style"] or "" for _, attributes in Reader(page).elements if "style" in attributes]
    assert f"--rows:{ROWS_MAX}" in rows
    assert not any(f"--r:{ROWS_MAX}" in row for row in rows)
    together = list(Reader(page).titles("number 39;"))
    assert [classes for classes, _ in together] == ["item bad point"]
    assert all(f"number {number};" in page for number in range(40))
