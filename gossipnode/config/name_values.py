"""The parser of `[tls]` settings that are patterns of names in certificates."""

from __future__ import annotations

import re

from gossipnode.config.values import WrongValueError, comma_list, texts

NAME_PATTERN_MAX_CHARACTERS = 253
_NAME_PATTERN = re.compile(r"[A-Za-z0-9_*-]+(\.[A-Za-z0-9_*-]+)*")


def name_patterns(value: object) -> tuple[str, ...]:
    """A list of patterns of DNS names; in text they are parted by commas."""
    return tuple(map(_name_pattern, comma_list(value) if isinstance(value, str) else texts(value)))


def _name_pattern(pattern: str) -> str:
    if len(pattern) > NAME_PATTERN_MAX_CHARACTERS or not _NAME_PATTERN.fullmatch(pattern):
        raise WrongValueError(
            f"{pattern[:80]!r} is no pattern of names in certificates: expected one such as a.example or "
            "*.nodes.example"
        )
    return pattern
