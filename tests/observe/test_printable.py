"""What may reach a terminal."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gossipnode.observe.printable import printable, printable_json, printable_lines, shortened

NASTY = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e\u200b\x7f\r\n"


def test_control_characters_are_shown_as_escapes() -> None:
    assert printable("a\x1b[1mß\n") == "a\\x1b[1mß\\n"
    assert printable(NASTY).isprintable()
    assert printable_lines("a\x1b\nb\r\n") == "a\\x1b\nb\\r\n"


@given(st.text())
def test_every_text_is_printable_behind_the_gate(text: str) -> None:
    assert printable(text).isprintable()
    assert all(line.isprintable() for line in printable_lines(text).split("\n"))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_keeps_its_value(text: str) -> None:
    line = json.dumps({text: [text, NASTY]}, ensure_ascii=False)
    assert printable_json(line).isprintable()
    assert json.loads(printable_json(line)) == {text: [text, NASTY]}


def test_a_long_text_says_how_much_is_left_out() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd" * 1000, 3) == "abc... (3,997 more characters)"
