"""The offline check of a whole store: all that is kept beside the payloads is computed again and compared.

It takes the lock of the directory, so it cannot run beside a node, and it writes nothing. It blocks, for
minutes if there are a million records.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.errors import CoreError
from gossipnode.core.model.property import Entity, Record, ShardId, check_record
from gossipnode.core.model.version import Version, payload_digest
from gossipnode.core.session.tree import SlotDigest, SlotHash, make_tree
from gossipnode.store.interface import (
    IndexRows,
    LeafDigest,
    StoreDamagedError,
    StoreError,
    StoreSummary,
)
from gossipnode.store.sqlite.disk.directory_lock import locked_to_read
from gossipnode.store.sqlite.disk.file import FILE_NAME, connect_reader
from gossipnode.store.sqlite.disk.log_rot import lost_commits
from gossipnode.store.sqlite.disk.schema import MIGRATIONS, check_identity
from gossipnode.store.sqlite.sqlite_errors import damaged, store_error
from gossipnode.store.sqlite.tables.entity_key import DamagedKeyError, entity_key, key_entity
from gossipnode.store.sqlite.tables.rows import SlotRow, all_shards, slot_rows
from gossipnode.store.sqlite.tables.set_aside import list_aside
from gossipnode.store.verify.check_indexes import ShardIndexes

FINDINGS_KEPT = 300
"""Findings whose text is kept. Further ones are only counted."""

CheckProgress: TypeAlias = Callable[[int, int], None]
"""Called with (records done, records in all) after every `PROGRESS_RECORDS` records, and at the end."""

PROGRESS_RECORDS = 1000


def verify_store(
    directory: Path,
    leaf_digest_for: Callable[[str], LeafDigest],
    *,
    index_rows: IndexRows | None = None,
    progress: CheckProgress | None = None,
) -> StoreSummary:
    """Compute every digest and counter again, and list what is kept wrongly. A missing digest is not wrong.

    `leaf_digest_for` gives the digest of a dialect: the store names the one that it was kept in. With
    `index_rows` the tag indexes are checked too.

    Raises:
        StoreLockedError: a node is running on the directory.
        StoreDamagedError: there is no store, or SQLite finds that its file is broken.
        StoreTooNewError: a newer gossipnode wrote it.
        StoreError: an older gossipnode wrote it, and no node of this version has been started on it yet.
    """
    path = directory / FILE_NAME
    if not path.exists():
        raise StoreDamagedError(f"there is no store in {directory}: name the data directory of a node")
    try:
        # Opened for reading alone: this connection does not even move the log into the file when it closes.
        with locked_to_read(directory), _opened(path) as found:
            if (version := check_identity(found, path)) < len(MIGRATIONS):
                raise StoreError(
                    f"{path} has schema version {version}, of an older gossipnode: start a node on it once"
                )
            (finding,) = found.execute("PRAGMA integrity_check(1)").fetchone()
            if finding != "ok":
                raise damaged(path, str(finding).replace("\n", " "))
            (dialect,) = found.execute("SELECT value FROM meta WHERE key = 'dialect'").fetchone()
            (total,) = found.execute("SELECT count(*) FROM leaf").fetchone()
            indexes = ShardIndexes(found, index_rows) if index_rows else None
            check = _Check(found, leaf_digest_for(dialect), indexes, progress, total, lost_commits(path))
            return check.run()
    except sqlite3.Error as error:
        raise store_error(error, path) from error


@contextmanager
def _opened(path: Path) -> Generator[sqlite3.Connection]:
    """Open a file of which nobody else has the lock, so that nothing is written: no file is made beside it.

    Only where a node has left a log, SQLite needs an index of that.

    Raises:
        StoreError: it cannot make one.
    """
    log = path.with_name(path.name + "-wal")
    has_log = log.exists() and log.stat().st_size > 0
    how = "mode=ro" if has_log else "mode=ro&immutable=1"
    try:
        connection = connect_reader(path, uri=True, target=f"{path.absolute().as_uri()}?{how}")
    except sqlite3.OperationalError as error:
        if has_log and error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            problem = f"{log} holds writes, and cannot be opened for writing: copy the directory first"
            raise StoreError(problem) from None
        raise
    with closing(connection):
        yield connection


@dataclass(slots=True)
class _Check:
    connection: sqlite3.Connection
    leaf_digest: LeafDigest
    indexes: ShardIndexes | None
    progress: CheckProgress | None
    total: int
    lost_commits: int
    done: int = 0
    records: int = 0
    tombstones: int = 0
    wrong_count: int = 0
    wrong: list[str] = field(default_factory=list[str])

    def run(self) -> StoreSummary:
        roots: list[tuple[ShardId, str]] = []
        shards = all_shards(self.connection)
        for sid, shard in shards:
            roots.append((shard, self._shard(sid, shard)))
        if self.lost_commits:
            self._wrong(f"the log is damaged: {self.lost_commits} commits after the damage are lost")
        self._strays([sid for sid, _ in shards])
        self._report_progress()
        return StoreSummary(self.records, self.tombstones, tuple(self.wrong), self.wrong_count, tuple(roots))

    def _shard(self, sid: int, shard: ShardId) -> str:
        kept = {row.slot: row for row in slot_rows(self.connection, sid)}
        used = self.connection.execute("SELECT DISTINCT slot FROM leaf WHERE sid = ?", (sid,)).fetchall()
        slots: list[SlotDigest] = []
        if self.indexes is not None:
            self.indexes.begin(sid)
        for slot in sorted(kept.keys() | {number for (number,) in used}):
            sha = self._slot(sid, shard, slot, kept.get(slot))
            if sha:
                slots.append(SlotDigest(slot, sha))
        for finding in self.indexes.end(shard) if self.indexes is not None else ():
            self._wrong(finding)
        return make_tree(slots).root

    def _slot(self, sid: int, shard: ShardId, slot: int, kept: SlotRow | None) -> str:
        """Check one slot; returns its true digest, or "" if it has no leaves."""
        digest = SlotHash()
        counts = [0, 0, 0]
        rows = self.connection.execute(
            "SELECT entity, mod_revision, delete_time, digest, sha, bytes FROM leaf"
            " LEFT JOIN payload ON payload.rid = leaf.rid WHERE sid = ? AND slot = ? ORDER BY entity",
            (sid, slot),
        )
        with closing(rows):
            for key, mod_revision, delete_time, kept_digest, sha, payload in rows:
                counts[1 if delete_time else 0] += 1
                counts[2] += sha is None
                version = Version(mod_revision, delete_time, kept_digest)
                digest.add((self._leaf(shard, slot, key, version, sha, payload),))
        self.records += counts[0]
        self.tombstones += counts[1]
        place = f"{shard} slot {slot}"
        kept_counts = [kept.records, kept.tombstones, kept.unhashed] if kept else [0, 0, 0]
        if kept_counts != counts:
            self._wrong(f"{place}: counters are {kept_counts}, its leaves make {counts}")
        true_sha = digest.digest().hex() if sum(counts) else ""
        if kept and kept.sha is not None and kept.sha != true_sha:
            self._wrong(f"{place}: kept digest differs from that of its leaves")
        return true_sha

    def _leaf(
        self,
        shard: ShardId,
        slot: int,
        key: bytes,
        version: Version,
        sha: bytes | None,
        payload: bytes | None,
    ) -> bytes:
        """Check one record; returns its true leaf digest."""
        self.done += 1
        if self.done % PROGRESS_RECORDS == 0:
            self._report_progress()
        try:
            entity = key_entity(key)
        except DamagedKeyError as error:
            self._wrong(f"{shard} slot {slot}: {error}")
            entity = Entity("", "", "")
        if payload is None:
            self._wrong(f"{entity.text}: its payload is missing")
            return b""
        if self.indexes is not None and not version.delete_time:
            for finding in self.indexes.record(slot, key, payload):
                self._wrong(f"{entity.text}: {finding}")
        try:
            check_record(Record(entity, version, payload))
            if slot_of(entity) != slot or entity_key(entity) != key:
                self._wrong(f"{entity.text}: is kept in slot {slot} of {shard}, where it does not belong")
        except CoreError as error:
            self._wrong(f"{entity.text}: {error}")
        if payload_digest(payload) != version.digest:
            self._wrong(f"{entity.text}: payload differs from its digest")
        try:
            true_sha = self.leaf_digest(payload, version.delete_time)
        except ValueError as error:
            self._wrong(f"{entity.text}: payload cannot be read: {error}")
            return b""
        if sha is not None and sha != true_sha:
            self._wrong(f"{entity.text}: kept leaf digest differs from that of its payload")
        return true_sha

    def _strays(self, sids: list[int]) -> None:
        for record in list_aside(self.connection):
            self._wrong(f"{record.name}: set aside: {record.reason}")
        marks = ",".join(map(str, sids))
        for what, sql in (
            ("leaves of no shard", f"SELECT count(*) FROM leaf WHERE sid NOT IN ({marks})"),
            ("slots of no shard", f"SELECT count(*) FROM slot WHERE sid NOT IN ({marks})"),
            ("indexes of no shard", f"SELECT count(*) FROM tag_index WHERE sid NOT IN ({marks})"),
            ("rows of no index", "SELECT count(*) FROM tag_row WHERE iid NOT IN (SELECT iid FROM tag_index)"),
            ("more payloads than leaves", "SELECT (SELECT count(*) FROM payload) - count(*) FROM leaf"),
        ):
            (count,) = self.connection.execute(sql).fetchone()
            if count:
                self._wrong(f"{count} {what}")

    def _wrong(self, finding: str) -> None:
        self.wrong_count += 1
        if len(self.wrong) < FINDINGS_KEPT:
            self.wrong.append(finding)

    def _report_progress(self) -> None:
        if self.progress is not None:
            self.progress(self.done, self.total)
