"""The URL of a collector of traces. Apart from the settings, so that a help text need not import them."""

from __future__ import annotations

from urllib.parse import urlsplit

from gossipnode.config.values import WrongValueError, text

_EXPECTED = "expected a URL such as 'http://127.0.0.1:4318'"


def collector(value: object) -> str:
    """The URL of a collector, without a slash at its end."""
    url = text(value)
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        right = right and not parts.query and not parts.fragment
    except ValueError:
        right = False
    if not right:
        raise WrongValueError(f"{_EXPECTED}, got {url[:80]!r}")
    return url.rstrip("/")
