"""The parsers of settings that say who may do what: patterns of names in certificates, and secrets."""

from __future__ import annotations

import re

from gossipnode.config.values import WrongValueError, comma_list, text, texts
from gossipnode.core.access.secret_proof import SECRETS_MAX

NAME_PATTERN_MAX_CHARACTERS = 253
_NAME_PATTERN = re.compile(r"[A-Za-z0-9_*-]+(\.[A-Za-z0-9_*-]+)*")


def name_patterns(value: object) -> tuple[str, ...]:
    """A list of patterns of DNS names; in text they are parted by commas."""
    return tuple(map(_name_pattern, comma_list(value) if isinstance(value, str) else texts(value)))


def secrets(value: object) -> tuple[str, ...]:
    """A secret, or a list of them while it is changed. No error shows one."""
    try:
        found = (text(value),) if isinstance(value, str) else texts(value)
    except WrongValueError:
        # Its text would show what was given.
        raise WrongValueError('expected text, or a list such as ["new", "old"]') from None
    if any(not each.isascii() or not each.isprintable() for each in found):
        raise WrongValueError("expected letters, digits and signs of ASCII in a secret")
    if not 0 < len(found) <= SECRETS_MAX:
        raise WrongValueError(f"expected 1 to {SECRETS_MAX} secrets, got {len(found)}")
    if len(set(found)) < len(found):
        raise WrongValueError("expected secrets that differ, got one twice")
    return found


def _name_pattern(pattern: str) -> str:
    if len(pattern) > NAME_PATTERN_MAX_CHARACTERS or not _NAME_PATTERN.fullmatch(pattern):
        raise WrongValueError(
            f"{pattern[:80]!r} is no pattern of names in certificates: expected one such as a.example or "
            "*.nodes.example"
        )
    return pattern
