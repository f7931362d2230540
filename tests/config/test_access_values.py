"""Patterns of names in certificates, as settings."""

from __future__ import annotations

import pytest

from gossipnode.config.access_values import name_patterns
from gossipnode.config.values import WrongValueError


@pytest.mark.parametrize(
    ("value", "patterns"),
    [
        (["a", "*.nodes.example"], ("a", "*.nodes.example")),
        ("a, *.nodes.example", ("a", "*.nodes.example")),
        ("", ()),
        ([], ()),
        (["*"], ("*",)),
    ],
)
def test_patterns_come_as_a_list_or_as_text(value: object, patterns: tuple[str, ...]) -> None:
    assert name_patterns(value) == patterns


@pytest.mark.parametrize(
    "value", [["a b"], ["a..b"], [".a"], ["a."], [""], ["x" * 254], [5], 5, ["é"], ["^a$"]]
)
def test_what_is_no_pattern_is_refused(value: object) -> None:
    with pytest.raises(WrongValueError):
        name_patterns(value)
