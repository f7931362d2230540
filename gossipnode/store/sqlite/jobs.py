"""What the loop hands the writer thread: jobs, each of which is carried out whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteResult
from gossipnode.store.prepared import PreparedRecord
from gossipnode.store.sqlite.rows import Place


class LeafSha(NamedTuple):
    """A leaf digest that was computed for exactly this version."""

    place: Place
    version: Version
    sha: bytes


class SlotSha(NamedTuple):
    """A slot digest that was computed for exactly this generation of the slot."""

    sid: int
    slot: int
    generation: int
    sha: bytes


@dataclass(slots=True, eq=False)
class WriteJob:
    """One call of `write`; the commit fills in the results."""

    records: Sequence[PreparedRecord]
    stamp: int
    results: list[WriteResult] = field(default_factory=list[WriteResult])


@dataclass(slots=True, eq=False)
class DigestJob:
    """Digests to keep. Those that a later write has overtaken are dropped; `kept` counts the leaves kept."""

    leaves: Sequence[LeafSha] = ()
    slots: Sequence[SlotSha] = ()
    kept: int = 0


@dataclass(slots=True, eq=False)
class StepJob:
    """A function to run inside the transaction, behind its writes; `result` is what it returned.

    It may change anything. `records` says how much it does at most, in records that a write would have.
    """

    run: Callable[[sqlite3.Connection], int]
    records: int = 1
    result: int = 0


Job: TypeAlias = WriteJob | DigestJob | StepJob


def job_weight(job: Job) -> tuple[int, int]:
    """What a job counts for in the writer's queue: records and bytes."""
    match job:
        case WriteJob():
            return len(job.records) + 1, sum(len(prepared.record.payload) for prepared in job.records)
        case DigestJob():
            return len(job.leaves) + 1, 256 * (len(job.leaves) + len(job.slots))
        case StepJob():
            return job.records, 0
