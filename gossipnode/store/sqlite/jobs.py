"""What the loop hands to the writer's thread: jobs, each of which is carried out as a whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteResult
from gossipnode.core.retention.marks import FROM_CLIENT, Entry, Marks
from gossipnode.store.prepared import PreparedRecord, prepare_record
from gossipnode.store.retention import HeldVersion
from gossipnode.store.sqlite.tables.entity_key import entity_key
from gossipnode.store.sqlite.tables.rows import LeafPlace, SlotSha

KeyedRecord: TypeAlias = tuple[PreparedRecord, bytes]
"""A record to be written and the key of its row. The key is empty if no row can have one."""

_DIGEST_WEIGHT_BYTES = 256
"""What a digest counts for in the writer's queue: the digest, its key and the objects around them."""

GROWTH_RECORD_BYTES = 4096
"""What a record adds to the log beside its payload: a page, since most of the pages are shared."""


class LeafSha(NamedTuple):
    """A leaf digest, and the version that it was computed from."""

    place: LeafPlace
    version: Version
    sha: bytes


@dataclass(slots=True, eq=False)
class WriteJob:
    """One call of `write`. The commit fills in `results`, one for each record."""

    records: Sequence[KeyedRecord]
    stamp: int
    doubt_equal: bool = False
    """Whether the digests of records that are held already are forgotten, to be computed again."""
    results: list[WriteResult] = field(default_factory=list[WriteResult])


@dataclass(slots=True, eq=False)
class DigestJob:
    """Digests to keep. A digest is dropped if a later write has changed what it was computed from."""

    leaves: Sequence[LeafSha] = ()
    slots: Sequence[SlotSha] = ()
    kept: int = 0
    """How many of the leaf digests the commit has kept."""


@dataclass(slots=True, eq=False)
class StepJob:
    """A function to run in the transaction, after the writes of the same commit. It may change anything."""

    run: Callable[[sqlite3.Connection], int]
    records: int = 1
    """What the job counts for in the writer's queue: the records of a write that would take as long."""
    numbered: bool = False
    """Whether the commit counts, see `Store.commit_number`. One that stores records always does."""
    on_full_disk: bool = False
    """Whether it is tried on a full disk too: it frees space, or needs next to none."""
    result: int = 0
    """What the function returned."""


@dataclass(slots=True, eq=False)
class MarksJob:
    """Marks to raise, each to the larger one; None to forget those of the shard."""

    shard: ShardId
    marks: Marks | None


@dataclass(slots=True, eq=False)
class RemoveJob:
    """Versions to remove, after the writes of the same commit. Those that are held no more are left out."""

    shard: ShardId
    versions: Sequence[HeldVersion]
    removed: list[Entity] = field(default_factory=list[Entity])
    """Those that the commit has removed."""


@dataclass(slots=True, eq=False)
class LogJob:
    """Moves the log into the database and empties it, after the other jobs of the same commit."""


ChangeJob: TypeAlias = WriteJob | DigestJob | StepJob | MarksJob | RemoveJob
"""What is carried out within a transaction."""

Job: TypeAlias = ChangeJob | LogJob


def keyed_record(
    shard: ShardId,
    record: Record,
    lineage: bytes = b"",
    arrival: bytes = b"",
    entry: Entry = FROM_CLIENT,
) -> KeyedRecord:
    """Judge a record and make its key: on the loop, to leave the writer's thread less to do."""
    prepared = prepare_record(shard, record, lineage, arrival, entry)
    return prepared, entity_key(record.entity) if prepared.can_be_held else b""


def job_weight(job: Job) -> tuple[int, int]:
    """What a job counts for in the writer's queue: records and bytes."""
    match job:
        case WriteJob():
            sizes = (len(prepared.record.payload) + len(prepared.lineage) for prepared, _ in job.records)
            return len(job.records) + 1, sum(sizes)
        case DigestJob():
            return len(job.leaves) + 1, _DIGEST_WEIGHT_BYTES * (len(job.leaves) + len(job.slots))
        case StepJob():
            return job.records, 0
        case RemoveJob():
            return len(job.versions) + 1, 0
        case MarksJob() | LogJob():
            return 1, 0


def job_growth_bytes(job: Job) -> int:
    """About how much the files grow by a job at most, log and database together; 0 if it needs no space."""
    match job:
        case StepJob() if job.on_full_disk:
            return 0
        case LogJob() | RemoveJob() | MarksJob():
            return 0
        case _:
            records, size = job_weight(job)
            return 2 * size + GROWTH_RECORD_BYTES * records
