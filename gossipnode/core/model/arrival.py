"""How a version came to a replica: through what, from whom and when; and whether it overlaps with another."""

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
    at_milliseconds: int = 0
    """When it came, since 1970 by the clock of the replica; 0 as long as it has not come."""


def is_overlap(built_upon: int | None, replaced: tuple[int, int]) -> bool:
    """Whether a version took the place of one that its writer had certainly not seen.

    A version is stamped above the one that it is built upon. So all versions that it includes, directly or
    through others, have stamps up to `built_upon`, and what has a larger one is not among them. What has a
    lower one may be one of them: a replica that missed some versions cannot tell, and does not count it. A
    writer that saw nothing may have come after a tombstone was purged, so tombstones do not count then.

    Args:
        built_upon: see `Record.built_upon`.
        replaced: mod_revision and delete_time of the version that was replaced.
    """
    if built_upon is None or (not built_upon and replaced[1]):
        return False
    return max(replaced) > built_upon
