"""What a coordinator asks of a replica, and what it is told, as values.

`gossipnode.wire` turns them into bytes and back. Each reply speaks of the parts of its request in the order
asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteResult
from gossipnode.core.query.search import Place

READ_MAX_RECORDS = 64
WRITE_MAX_RECORDS = 64


class Same(Enum):
    """The type of `SAME`."""

    SAME = "same"


SAME: Final = Same.SAME
"""Stands for a record of the very version that the asker has already."""

Held: TypeAlias = Record | Literal[Same.SAME] | None
"""What a replica holds of one entity, tombstones included; None when it holds nothing."""


class Wanted(NamedTuple):
    """One record that is asked for; `known` is the asker's own version, which need not be sent."""

    entity: Entity
    known: Version | None = None


@dataclass(frozen=True, slots=True)
class ReadRecords:
    """Read records of one shard. All entities are of its group.

    `fence` is the asker's view of who holds the shard, see `Placement.fence`. `request_id` is that of a
    client's request, to be recognised when it comes a second time ("": none).
    """

    shard: ShardId
    fence: bytes
    wanted: tuple[Wanted, ...]
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class WriteRecords:
    """Store records of one shard, each where it is newer than what is held.

    The write answers the client's request `request_id`, which will be told `created`.
    """

    shard: ShardId
    fence: bytes
    records: tuple[Record, ...]
    request_id: str = ""
    created: bool = False


class Done(NamedTuple):
    """What a client's request came to when it came before."""

    record: Record
    created: bool


@dataclass(frozen=True, slots=True)
class RecordsRead:
    """What the replica holds of the entities wanted, or of as many, from the first on, as an answer may hold.

    `done` is there where it knows the request's id.
    """

    held: tuple[Held, ...]
    done: Done | None = None


@dataclass(frozen=True, slots=True)
class RecordsWritten:
    """The outcome for each record, once those stored are durable."""

    results: tuple[WriteResult, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The replica did nothing of the request.

    `status` is the number of a gRPC status. With `other_view` asker and replica do not agree on who holds the
    shard: they must compare what they know of the cluster before the request is made again.
    """

    status: int
    message: str
    other_view: bool = False


class Candidate(NamedTuple):
    """A record that a replica found for a query, in the version that it has."""

    place: Place
    shard: ShardId
    version: Version
    payload: bytes | None
    """None where the version was enough."""


ReplicaRequest: TypeAlias = ReadRecords | WriteRecords
ReplicaReply: TypeAlias = RecordsRead | RecordsWritten | Refusal
