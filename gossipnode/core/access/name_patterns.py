"""Patterns of the DNS names in certificates, such as `*.nodes.example`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

ANY = "*"
"""Stands for any number of characters within one label of a name."""


def matches(pattern: str, name: str) -> bool:
    """Whether a name is one of those that a pattern means. As in DNS, case makes no difference."""
    wanted, labels = pattern.lower().split("."), name.lower().split(".")
    return len(wanted) == len(labels) and all(map(_label_matches, wanted, labels))


def matches_any(patterns: Sequence[str], names: Iterable[str]) -> bool:
    """Whether one of the names is meant by one of the patterns."""
    return any(matches(pattern, name) for name in names for pattern in patterns)


def node_names(names: Iterable[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """The names of nodes for which a certificate with these DNS names stands, in their order.

    Each of its names is one. So is the first label of a name that a pattern of `[tls] members` means:
    the certificate of `a.nodes.example` is that of node `a` where `*.nodes.example` may join.
    """
    found: dict[str, None] = {}
    for name in names:
        found[name] = None
        if matches_any(patterns, (name,)):
            found[name.partition(".")[0]] = None
    return tuple(found)


def _label_matches(pattern: str, label: str) -> bool:
    head, *rest = pattern.split(ANY)
    if not rest:
        return pattern == label
    if not label.startswith(head):
        return False
    at = len(head)
    *inner, tail = rest
    for part in inner:
        found = label.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(label) - at >= len(tail) and label.endswith(tail)
