"""Patterns of names in certificates, as settings."""

from __future__ import annotations

import pytest

from gossipnode.config.access_values import name_patterns, secrets
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


@pytest.mark.parametrize(
    ("value", "found"), [("s3cret", ("s3cret",)), (["new", "old"], ("new", "old")), ("a, b", ("a, b",))]
)
def test_a_secret_comes_alone_or_in_a_list(value: object, found: tuple[str, ...]) -> None:
    assert secrets(value) == found


@pytest.mark.parametrize(
    "value",
    [
        "",
        [],
        [""],
        4711,
        ["s3cret", 4711],
        ["s3cret"] * 2,
        list("abcde"),
        "s3cr\udce9t",
        "gehe\u00efm",
        "a\nb",
        None,
    ],
)
def test_what_is_no_secret_is_refused_and_not_shown(value: object) -> None:
    with pytest.raises(WrongValueError) as refused:
        secrets(value)
    for shown in ("s3cr", "4711", "gehe"):
        assert shown not in str(refused.value)
