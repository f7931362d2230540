"""Whether a coordinator's clock is too far ahead of a replica's, and how that is said."""

from __future__ import annotations

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS

_UNITS = (("days", 86_400), ("h", 3600), ("min", 60))


def clock_problem(own_name: str, own_now: int, asker_now: int) -> str:
    """Why a replica takes no stamp of an asker with that clock (nanoseconds); "" when it may.

    A clock that is behind is no problem: floors make its stamps large enough.
    """
    ahead = asker_now - own_now
    if ahead <= MAX_CLOCK_SKEW_NANOSECONDS:
        return ""
    return f"{own_name}'s clock is {span_text(ahead)} behind yours"


def span_text(nanoseconds: int) -> str:
    """A span of time in words, in its largest unit: "36,525 days", "3 h", "12 min"."""
    seconds = nanoseconds // 1_000_000_000
    for unit, size in _UNITS:
        if seconds >= 2 * size or unit == "min":
            return f"{seconds // size:,} {unit}"
    raise AssertionError("minutes are the smallest unit")
