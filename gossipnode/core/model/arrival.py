"""How a version came to a replica: through what, from whom, when, and upon which version it was built."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Through(Enum):
    """The ways by which a replica gets a version."""

    CLIENT = "client"
    """A client's request; the source is the node that coordinated it."""
    IMPORT = "import"
    ROUND = "round"
    HINT = "hint"
    """A session with a replica that was known, or seen, to lack writes."""
    READ_REPAIR = "read repair"
    HAND_OFF = "hand-off"


class Arrival(NamedTuple):
    """How a version came. What is kept of it beside the record is some twenty bytes."""

    through: Through
    source: str
    """The member that sent it."""
    built_upon: int | None = None
    """The stamp of the version that its writer had seen, 0 if that was none; None if it is not known."""
    at_milliseconds: int = 0
    """When it came, since 1970 by the clock of the replica; 0 as long as it has not come."""


def is_overlap(built_upon: int | None, replaced_stamp: int) -> bool:
    """Whether a write took the place of a version that its writer had not seen.

    Args:
        built_upon: see `Arrival`.
        replaced_stamp: the stamp of the version that was replaced.
    """
    return built_upon is not None and replaced_stamp > built_upon
