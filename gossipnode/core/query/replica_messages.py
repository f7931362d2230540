"""What a coordinator asks of a replica, and what the replica answers, as values.

`gossipnode.wire` turns them into bytes and back. A reply answers the parts of its request in the order in
which they were asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

from gossipnode.core.model.arrival import Arrival
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteResult
from gossipnode.core.query.request_lineage import REQUEST_ID_MAX_CHARACTERS, KnownRequest, Lineage
from gossipnode.core.query.search import Place

READ_MAX_RECORDS = 64
WRITE_MAX_RECORDS = 64
"""Records that one request may ask for, or carry."""


class Same(Enum):
    """The type of `SAME`."""

    SAME = "same"


SAME: Final = Same.SAME
"""Stands for a record in the same version that the asker has already, and so need not be sent."""

Held: TypeAlias = Record | Literal[Same.SAME] | None
"""What a replica holds of one entity, tombstones included; None when it holds nothing."""


class Wanted(NamedTuple):
    """One record that is asked for. If the replica holds the version `known`, it answers SAME instead."""

    entity: Entity
    known: Version | None = None


@dataclass(frozen=True, slots=True)
class ReadRecords:
    """Read records of one shard. All entities are of its group.

    `fence` stands for the asker's view of which members hold the shard, see `Placement.fence`.

    A read that a write follows proposes the write's stamp and says the asker's `clock`, both in nanoseconds;
    0 stands for none. A read of no record asks for the highest floor of all.
    """

    shard: ShardId
    fence: bytes
    wanted: tuple[Wanted, ...]
    proposed: int = 0
    clock: int = 0


@dataclass(frozen=True, slots=True)
class WriteRecords:
    """Store records of one shard, each of them if it is newer than what the replica holds.

    The write belongs to the client's request `request_id`. `created` is what that client will be told; a
    replica remembers it for a request that comes again. `before` is the lineage of the version that a single
    record is built upon; None where it is not known.
    """

    shard: ShardId
    fence: bytes
    records: tuple[Record, ...]
    request_id: str = ""
    created: bool = False
    before: Lineage | None = None
    arrival: Arrival | None = None
    """How the records come; None where a node of an earlier version does not say."""
    copies: bool = False
    """Whether they are versions that a replica was seen to hold, and no new ones."""

    @property
    def known(self) -> KnownRequest | None:
        """The client's request as replicas remember it. They remember no id that is empty or too long."""
        if len(self.records) != 1 or not 0 < len(self.request_id) <= REQUEST_ID_MAX_CHARACTERS:
            return None
        return KnownRequest(self.request_id, self.created, self.records[0].version.stamp)


@dataclass(frozen=True, slots=True)
class RecordsRead:
    """What the replica holds of the entities that were asked for.

    An answer that would be too large covers only the first of them. `lineage` is that of the version held,
    where a write of one record is to follow. `floor` is the highest stamp that it had taken or stored of any
    of these records before; a proposal above it was taken.
    """

    held: tuple[Held, ...]
    lineage: Lineage | None = None
    floor: int = 0


@dataclass(frozen=True, slots=True)
class RecordsWritten:
    """The outcome for each record, once those stored are durable."""

    results: tuple[WriteResult, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The replica did nothing of the request.

    `status` is the number of a gRPC status. With `other_view` the asker and the replica disagree on which
    members hold the shard: they must compare what they know of the cluster before the request is made again.
    `clock` is the replica's clock in nanoseconds, if it refuses because the asker's is too far ahead of it.
    """

    status: int
    message: str
    other_view: bool = False
    clock: int = 0


class Candidate(NamedTuple):
    """A record that a replica found for a query, in the version that this replica has."""

    place: Place
    shard: ShardId
    version: Version
    payload: bytes | None
    """The encoded property; None where the asker needs only the version."""


ReplicaRequest: TypeAlias = ReadRecords | WriteRecords
ReplicaReply: TypeAlias = RecordsRead | RecordsWritten | Refusal
