"""What a client asks of a cluster, and what it hears: as the client knows it, and nothing else.

Keys are written GROUP/NAME/ID, and tags hold integers, which is all that the workloads write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Tags: TypeAlias = Mapping[str, int]


NOBODYS = "nobody"
"""The client of what was put into stores past every rule."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Merge tags into a record, or with `replace` put them in place of all its tags."""

    key: str
    tags: Tags
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a record."""

    key: str


@dataclass(frozen=True, slots=True)
class Get:
    """Read a record."""

    key: str


@dataclass(frozen=True, slots=True)
class Query:
    """Read all records of a group, in one view."""

    group: str


@dataclass(frozen=True, slots=True)
class Import:
    """Write many records: each gets these tags in place of all that it had."""

    keys: tuple[str, ...]
    tags: Tags


Asked: TypeAlias = Apply | Delete | Get | Query | Import


@dataclass(frozen=True, slots=True)
class Stored:
    """An Apply was acknowledged: the record as it is now."""

    revision: int
    tags: Tags
    created: bool


@dataclass(frozen=True, slots=True)
class Deleted:
    """A Delete was acknowledged; `deleted` says whether a live record was there."""

    deleted: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A record that was read."""

    key: str
    revision: int
    tags: Tags


@dataclass(frozen=True, slots=True)
class Nothing:
    """A Get was answered: there is no such record."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A Query was answered, in the order in which the records came."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """An Import was acknowledged as a whole."""

    records: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The client was given an error."""

    error: str
    """The class of the client library's error, such as UnreachableError."""
    text: str
    maybe: bool
    """Whether a write may have happened all the same, now or later. If not, it never will."""
    over: bool = False
    """Whether every node that was asked has answered, so that none of them is still at work on it."""


Heard: TypeAlias = Stored | Deleted | Row | Nothing | Rows | Imported | Failed


@dataclass(slots=True)
class Operation:
    """One operation of one client. Times are in seconds of virtual time since the run began."""

    number: int
    client: str
    node: str
    """The node that was asked first."""
    ack: str
    """The level that was asked for: local, one, quorum or all."""
    asked: Asked
    began: float
    ended: float | None = None
    """None while nothing was heard: until the run is over, if the client has given up without an answer."""
    heard: Heard | None = None
    others: tuple[str, ...] = ()
    """The nodes that the client may have asked after it."""
    began_place: int = 0
    """The place of its beginning among all beginnings and ends, since many may share one instant."""
    ended_place: int = 0

    @property
    def acknowledged(self) -> bool:
        """Whether the client was told that it is done."""
        return self.heard is not None and not isinstance(self.heard, Failed)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it writes or reads by name; none for a query."""
        match self.asked:
            case Import(keys):
                return keys
            case Query():
                return ()
            case Apply(key) | Delete(key) | Get(key):
                return (key,)
