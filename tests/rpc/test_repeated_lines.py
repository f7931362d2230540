"""What goes wrong again and again is said now and then, with how often it did."""

from __future__ import annotations

import pytest

from gossipnode.rpc import repeated_lines
from gossipnode.rpc.repeated_lines import REPEAT_SECONDS, RepeatedLines


def test_a_line_is_said_at_once_and_then_once_in_a_while() -> None:
    lines = RepeatedLines()
    assert lines.due("host", "why", 0.0) == ""
    for second in range(1, int(REPEAT_SECONDS)):
        assert lines.due("host", "why", float(second)) is None
    assert lines.due("host", "why", REPEAT_SECONDS) == f" ({int(REPEAT_SECONDS) - 1} more like it since)"
    assert lines.due("host", "why", REPEAT_SECONDS + 1) is None
    assert lines.due("host", "why", 3 * REPEAT_SECONDS) == " (1 more like it since)"
    assert lines.due("host", "why", 4 * REPEAT_SECONDS) == ""


def test_lines_of_others_and_other_lines_are_said_at_once() -> None:
    lines = RepeatedLines()
    assert [lines.due(*about, 0.0) for about in (("a", "x"), ("a", "y"), ("b", "x"))] == ["", "", ""]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_lines, "REPEATED_MAX_LINES", 2)
    lines = RepeatedLines()
    for about in "abc":
        lines.due(about, "x", 0.0)
    assert lines.due("a", "x", 1.0) == ""
    assert lines.due("c", "x", 1.0) is None
