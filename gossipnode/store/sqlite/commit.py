"""One transaction of the store: compare versions, write rows, and keep counters and indexes right.

Runs in the writer's thread alone. Python code here takes time from the loop, and the end of each statement
competes for the interpreter's lock (see `statements`): so there are few statements, each with many rows.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TypeAlias

from gossipnode.core.model.property import ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.retention.marks import NO_MARKS, Marks, refusal
from gossipnode.store.follower import Replaced, StoredChange
from gossipnode.store.interface import IndexRows
from gossipnode.store.prepared import PreparedRecord
from gossipnode.store.sqlite.disk.file import WAL_CHECKPOINT_PAGES, WAL_KEPT_BYTES
from gossipnode.store.sqlite.jobs import (
    ChangeJob,
    DigestJob,
    Job,
    LogJob,
    MarksJob,
    RemoveJob,
    StepJob,
    WriteJob,
)
from gossipnode.store.sqlite.tables.index_table import Change, follow_changes, indexes_of
from gossipnode.store.sqlite.tables.lineage_rows import put_lineages
from gossipnode.store.sqlite.tables.record_rows import RecordRows, count_slots, payloads_of
from gossipnode.store.sqlite.tables.retention_rows import all_marks, keep_marks, remove_versions
from gossipnode.store.sqlite.tables.rows import (
    HeldLeaf,
    LeafPlace,
    add_shard,
    find_shard,
    held_leaves,
    last_rid,
    meta_number,
)
from gossipnode.store.sqlite.tables.set_aside import aside_versions, forget_aside
from gossipnode.store.sqlite.tables.statements import RowsSql, execute_rows

Stored: TypeAlias = list[StoredChange]
"""What a commit has stored, in the order of keys: each entity once."""

SHORT_LOG_BYTES = 1 << 20
"""A log that is kept short is cut to this when it is begun again."""

BUSY_MILLISECONDS = 5000
"""How long a write waits for another program that has the file locked: as long as Python's sqlite3 has it."""


class Committer:
    """Carries out jobs on the writer's connection, those of one call in one transaction.

    Remembers what it would otherwise have to read in each transaction: numbers of shards and indexes, the
    stamp, and whether the file is still marked clean.
    """

    __slots__ = (
        "_clean",
        "_connection",
        "_index_rows",
        "_indexes",
        "_log_is_short",
        "_sids",
        "_stamp",
        "_stored",
        "marks",
        "number",
        "replaced_told",
    )

    def __init__(self, connection: sqlite3.Connection, index_rows: IndexRows) -> None:
        self._connection = connection
        self._index_rows = index_rows
        self._log_is_short = False
        self._indexes: dict[int, dict[str, int]] = {}
        self._sids: dict[ShardId, int] = {}
        # Damage at the place where the next record goes is met here, and not by the first write.
        last_rid(connection)
        self._stamp = meta_number(connection, "last_stamp")
        self.number = meta_number(connection, "commits")
        """That of the last commit. The loop may read it at any time."""
        self.replaced_told: frozenset[ShardId] = frozenset()
        """See `StoreChanges.tell_replaced`. The loop sets it."""
        self.marks = all_marks(connection)
        """Those of the last commit. It is replaced and never changed: the loop may read it, too."""
        self._clean = bool(meta_number(connection, "clean"))
        self._stored: Stored = []

    def commit(self, jobs: Sequence[Job]) -> None:
        """Carry out the jobs and make them durable. After an error nothing of any job is kept.

        Raises:
            sqlite3.Error: SQLite could not carry out the transaction.
        """
        changes = [job for job in jobs if not isinstance(job, LogJob)]
        if changes:
            self._commit(changes)
        if len(changes) < len(jobs):
            self._empty_log()

    def take_stored(self) -> Stored:
        """What the last commit has stored, if that was not taken yet."""
        stored, self._stored = self._stored, []
        return stored

    def _commit(self, jobs: Sequence[ChangeJob]) -> None:
        connection, indexes = self._connection, self._indexes
        # What is remembered must change only once the transaction is committed.
        sids, stamp, marks = dict(self._sids), self._stamp, self.marks
        stored: Stored = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._mark_in_use()
            numbered = self._write([job for job in jobs if isinstance(job, WriteJob)], sids, stored)
            for job in jobs:
                match job:
                    case WriteJob():
                        stamp = max(stamp, job.stamp)
                    case DigestJob():
                        self._keep_digests(job)
                    case StepJob():
                        job.result = job.run(connection)
                        numbered |= job.numbered
                    case MarksJob():
                        marks = keep_marks(connection, marks, job.shard, job.marks)
                        numbered = True
                    case RemoveJob():
                        job.removed = remove_versions(connection, job.shard, job.versions, marks)
                        numbered = True
            if any(isinstance(job, StepJob) for job in jobs):
                # A step may have removed shards, and added or removed indexes: read their numbers again.
                sids, indexes = {}, {}
            number = self.number + numbered
            if (stamp, number) != (self._stamp, self.number):
                connection.execute(_META_SQL, (number, stamp))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._sids, self._indexes, self._stamp, self._clean = sids, indexes, stamp, False
        self.number = number
        self.marks = marks
        self._stored = stored

    def reuse_log(self) -> bool:
        """Move the log into the database, so that the next commit can write over it instead of after it.

        Returns whether all of it was moved. A reader may still need a part.
        """
        try:
            row = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            return False
        busy, pages, moved = row
        return not busy and pages == moved

    def keep_log_short(self, short: bool) -> None:
        """Say whether each commit is moved into the database at once."""
        if short is self._log_is_short:
            return
        pages, kept_bytes = (1, SHORT_LOG_BYTES) if short else (WAL_CHECKPOINT_PAGES, WAL_KEPT_BYTES)
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        self._connection.execute(f"PRAGMA journal_size_limit = {kept_bytes}")
        self._log_is_short = short

    def _empty_log(self) -> None:
        """Give the space of the log back to the disk, unless a reader still needs it."""
        if not self.reuse_log():
            return
        with contextlib.suppress(sqlite3.Error):
            # It would wait for readers that began before, and all writes would wait with it.
            self._connection.execute("PRAGMA busy_timeout = 0")
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self._connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")

    def _mark_in_use(self) -> None:
        """From the first change on, the next start checks the file, unless the store is closed in order."""
        if self._clean:
            self._connection.execute("UPDATE meta SET value = 0 WHERE key = 'clean'")

    def _write(self, jobs: Sequence[WriteJob], sids: dict[ShardId, int], stored: Stored) -> bool:
        """Carry these jobs out, and list what they store; gives whether that is anything."""
        placed = [
            [(self._place(prepared, key, sids), prepared) for prepared, key in job.records] for job in jobs
        ]
        places = {place for rows in placed for place, _ in rows if place is not None}
        held = held_leaves(self._connection, list(places))
        aside = aside_versions(self._connection, places - held.keys())
        changed: dict[LeafPlace, PreparedRecord] = {}
        lineages: dict[LeafPlace, bytes] = {}
        for job, rows in zip(jobs, placed, strict=True):
            job.results = [
                _decide(place, prepared, held, aside, changed, self.marks) for place, prepared in rows
            ]
            assert len(job.results) == len(job.records)
            for (place, prepared), result in zip(rows, job.results, strict=True):
                if prepared.lineage and place is not None and result.outcome.taken:
                    lineages[place] = prepared.lineage
        if changed:
            stored.extend(self._store(held, changed, lineages))
            forget_aside(self._connection, aside.keys() & changed.keys())
        put_lineages(
            self._connection,
            [
                (held[place].rid, lineage)
                for place, lineage in lineages.items()
                if place in held and place not in changed
            ],
        )
        self._forget_digests(jobs, placed, held, changed)
        return bool(changed)

    def _forget_digests(
        self,
        jobs: Sequence[WriteJob],
        placed: Sequence[Sequence[tuple[LeafPlace | None, PreparedRecord]]],
        held: dict[LeafPlace, HeldLeaf],
        changed: dict[LeafPlace, PreparedRecord],
    ) -> None:
        """Forget the digests of records that turned out equal, and of their slots, if a job asks for it."""
        doubted = {
            place
            for job, rows in zip(jobs, placed, strict=True)
            if job.doubt_equal
            for (place, _), result in zip(rows, job.results, strict=True)
            if result.outcome is WriteOutcome.EQUAL
            and place is not None
            and place not in changed
            and place in held
            and held[place].hashed
        }
        if doubted:
            execute_rows(self._connection, _LEAF_SHA_SQL, [(*place, None) for place in sorted(doubted)])
            counts = Counter(place[:2] for place in doubted)
            slots = [(*slot, 0, 0, count) for slot, count in counts.items()]
            count_slots(self._connection, slots)

    def _place(self, prepared: PreparedRecord, key: bytes, sids: dict[ShardId, int]) -> LeafPlace | None:
        """Where the record belongs, or None if there can be nothing. Numbers the shard if it is new."""
        sid = sids.get(prepared.shard)
        if sid is None:
            sid = find_shard(self._connection, prepared.shard) if key else None
            if sid is None and not prepared.problem:
                sid = add_shard(self._connection, prepared.shard)
            if sid is None:
                return None
            sids[prepared.shard] = sid
        return LeafPlace(sid, prepared.slot, key) if key else None

    def _store(
        self,
        held: dict[LeafPlace, HeldLeaf],
        changed: dict[LeafPlace, PreparedRecord],
        lineages: dict[LeafPlace, bytes],
    ) -> list[StoredChange]:
        """Write the rows of these records; gives what followers are told."""
        self._follow_changes(held, changed)
        told = [held[place].rid for place in self._told_replaced(held, changed)]
        payloads = payloads_of(self._connection, told)
        sequence = self.number + 1
        # Read in this transaction: were a number given twice, one record would take the payload of another.
        rows = RecordRows(last_rid(self._connection), sequence)
        stored: list[StoredChange] = []
        # In the order of keys, rows that share a page are written one after the other.
        for place, prepared in sorted(changed.items(), key=itemgetter(0)):
            before = held.get(place)
            rid = rows.add(place, prepared, before, lineages.get(place))
            replaced = None
            if before is not None:
                replaced = Replaced(*before.version[:2], payloads.get(before.rid))
            change = prepared.shard, prepared.record, rid, sequence, prepared.arrival, replaced
            stored.append(StoredChange(*change))
        rows.write(self._connection)
        return stored

    def _told_replaced(
        self, held: dict[LeafPlace, HeldLeaf], changed: dict[LeafPlace, PreparedRecord]
    ) -> list[LeafPlace]:
        shards = self.replaced_told
        return [place for place, prepared in changed.items() if prepared.shard in shards and place in held]

    def _follow_changes(
        self, held: dict[LeafPlace, HeldLeaf], changed: dict[LeafPlace, PreparedRecord]
    ) -> None:
        indexes = {sid: self._indexes_of(sid) for sid in {place.sid for place in changed}}
        if not any(indexes.values()):
            return
        changes: list[Change] = []
        for place, prepared in changed.items():
            if indexes[place.sid]:
                before = held.get(place)
                if before is not None and before.version.delete_time:
                    before = None
                after = None if prepared.record.deleted else prepared.record.payload
                changes.append(Change(place.key, indexes[place.sid], before, after))
        follow_changes(self._connection, self._index_rows, changes)

    def _indexes_of(self, sid: int) -> dict[str, int]:
        if sid not in self._indexes:
            self._indexes[sid] = indexes_of(self._connection, sid)
        return self._indexes[sid]

    def _keep_digests(self, job: DigestJob) -> None:
        held = held_leaves(self._connection, [leaf.place for leaf in job.leaves])
        due: dict[LeafPlace, bytes] = {}
        for leaf in job.leaves:
            now = held.get(leaf.place)
            if now is not None and not now.hashed and now.version == leaf.version:
                due[leaf.place] = leaf.sha
        execute_rows(self._connection, _LEAF_SHA_SQL, [(*place, sha) for place, sha in sorted(due.items())])
        counts: dict[tuple[int, int], int] = {}
        for place in due:
            counts[place[:2]] = counts.get(place[:2], 0) + 1
        execute_rows(self._connection, _HASHED_SQL, [(*slot, count) for slot, count in counts.items()])
        execute_rows(self._connection, _SLOT_SHA_SQL, job.slots)
        job.kept = len(due)


def _decide(
    place: LeafPlace | None,
    prepared: PreparedRecord,
    held: dict[LeafPlace, HeldLeaf],
    aside: dict[LeafPlace, Version],
    changed: dict[LeafPlace, PreparedRecord],
    marks: Mapping[ShardId, Marks],
) -> WriteResult:
    """Compare a record with what is held, or with an earlier record of the same transaction.

    The version of a record that was set aside is stored again, or a newer one. `marks` may refuse others.
    """
    current: Version | None = None
    if place is not None:
        if place in changed:
            current = changed[place].record.version
        elif place in held:
            current = held[place].version
    if prepared.problem or place is None:
        return WriteResult(WriteOutcome.REFUSED, current, prepared.problem)
    version = prepared.record.version
    if current is None and place in aside and version < aside[place]:
        return WriteResult(WriteOutcome.OLDER, aside[place])
    if current is None or version > current:
        if marks and (known := marks.get(prepared.shard, NO_MARKS)) is not NO_MARKS:
            before = aside.get(place) if current is None else current
            refused = refusal(known, version, before, prepared.entry)
            if refused is not None:
                return refused
        changed[place] = prepared
        return WriteResult(WriteOutcome.STORED, version)
    return WriteResult(WriteOutcome.EQUAL if version == current else WriteOutcome.OLDER, current)


_META_SQL = (
    "UPDATE meta SET value = CASE key WHEN 'commits' THEN ? ELSE max(value, ?) END"
    " WHERE key IN ('commits', 'last_stamp')"
)
_LEAF_SHA_SQL = RowsSql(
    "WITH done(sid, slot, entity, sha) AS (VALUES ",
    "(?,?,?,?)",
    ") UPDATE leaf SET sha = done.sha FROM done"
    " WHERE leaf.sid = done.sid AND leaf.slot = done.slot AND leaf.entity = done.entity",
)
_HASHED_SQL = RowsSql(
    "WITH done(sid, slot, leaves) AS (VALUES ",
    "(?,?,?)",
    ") UPDATE slot SET unhashed = unhashed - done.leaves FROM done"
    " WHERE slot.sid = done.sid AND slot.slot = done.slot",
)
_SLOT_SHA_SQL = RowsSql(
    "WITH done(sid, slot, generation, sha) AS (VALUES ",
    "(?,?,?,?)",
    ") UPDATE slot SET sha = done.sha FROM done"
    " WHERE slot.sid = done.sid AND slot.slot = done.slot AND slot.generation = done.generation",
)
