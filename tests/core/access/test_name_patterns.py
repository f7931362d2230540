"""Patterns of names in certificates."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.access.name_patterns import matches, matches_any, node_names


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("A.Example", "a.eXample", True),
        ("*", "a", True),
        ("*", "a.example", False),
        ("*.nodes.example", "a.nodes.example", True),
        ("*.nodes.example", "a.b.nodes.example", False),
        ("*.nodes.example", "nodes.example", False),
        ("app-*", "app-7", True),
        ("app-*", "app-", True),
        ("app-*", "app", False),
        ("app-*", "xapp-7", False),
        ("*-a-*", "x-a-y", True),
        ("*-a-*", "x-a", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*ab*ab", "xab", False),
        ("a.*", "a.b", True),
    ],
)
def test_a_star_stands_for_a_part_of_one_label(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) == expected


@given(st.text("ab*.", max_size=8), st.text("ab.", max_size=8))
def test_patterns_mean_what_a_regular_expression_says(pattern: str, name: str) -> None:
    expression = re.escape(pattern).replace(r"\*", "[^.]*")
    assert matches(pattern, name) == (re.fullmatch(expression, name) is not None)


def test_any_name_and_any_pattern_will_do() -> None:
    assert matches_any(["x", "app-*"], ["nobody", "app-7"])
    assert not matches_any([], ["app-7"])
    assert not matches_any(["app-*"], [])


def test_a_certificate_stands_for_its_names_and_for_the_first_labels_of_those_that_may_join() -> None:
    patterns = ["*.nodes.example"]
    assert node_names(["a.nodes.example", "a", "b.apps.example"], patterns) == (
        "a.nodes.example",
        "a",
        "b.apps.example",
    )
    assert node_names(["c.nodes.example"], patterns) == ("c.nodes.example", "c")
    assert node_names(["c.nodes.example"], []) == ("c.nodes.example",)
