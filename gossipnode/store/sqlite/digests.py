"""The digests of the store: computed on the loop in short slices, and kept through the writer.

A leaf digest is kept only if the leaf still has the version that it was computed from, and a slot digest only
if the slot still has the generation that was read. A write in between therefore never leaves a wrong digest.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from time import perf_counter

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.session.tree import SlotDigest, SlotHash, Tree, make_tree
from gossipnode.store.interface import LeafDigest, StoreFullError
from gossipnode.store.sqlite.jobs import DigestJob, LeafSha
from gossipnode.store.sqlite.open_state import OpenState
from gossipnode.store.sqlite.reads import Reads
from gossipnode.store.sqlite.sqlite_errors import StoreBusyError
from gossipnode.store.sqlite.tables.damage import intact, leaf_checked
from gossipnode.store.sqlite.tables.rows import (
    LeafPlace,
    LeafRow,
    SlotRow,
    SlotSha,
    find_shard,
    last_rid,
    leaf_at,
    next_unhashed_shard,
    payload_of,
    slot_leaves,
    slot_rows,
    unhashed_page,
)
from gossipnode.store.sqlite.writer import Writer

SLOT_CHUNK_LEAVES = 1024
"""Leaves of a slot that are read and hashed together."""

UNHASHED_PAGE_LEAVES = 32
"""Payloads that are in memory at once while leaf digests are computed."""

DIGEST_BATCH_LEAVES = 256
"""Computed leaf digests that are written together."""

SNAPSHOT_UNHASHED_LEAVES = 256
"""Leaf digests that may be missing when the snapshot of a tree is taken. They are computed inside it."""

FILL_PASSES_MAX = 64
"""Passes that fill in digests before a tree. Writes that never pause must not delay it for ever."""

LOOP_SLICE_SECONDS = 0.002
"""How long digests may be computed before other tasks get their turn."""


class Slice:
    """The time that a task may keep the loop to itself before it lets other tasks run."""

    __slots__ = ("_began",)

    def __init__(self) -> None:
        self._began = perf_counter()

    async def step(self) -> None:
        """Let other tasks run if the time is up. To be called between two pieces of work."""
        if perf_counter() - self._began > LOOP_SLICE_SECONDS:
            await trio.lowlevel.checkpoint()
            self._began = perf_counter()


@dataclass(slots=True, eq=False)
class _Computation:
    """A tree that is being computed. Calls that come before it begins to read share it."""

    reading: bool = False
    tree: Tree | None = None
    done: trio.Event = field(default_factory=trio.Event)


class Digests:
    """Computes the digests that writes have made stale."""

    __slots__ = (
        "_computations",
        "_leaf_digest",
        "_reads",
        "_snapshot_turn",
        "_state",
        "_writer",
    )

    def __init__(self, writer: Writer, reads: Reads, state: OpenState, leaf_digest: LeafDigest) -> None:
        self._writer = writer
        self._reads = reads
        self._state = state
        self._snapshot_turn = trio.Lock()
        self._leaf_digest = leaf_digest
        self._computations: dict[ShardId, _Computation] = {}

    async def close(self) -> None:
        """Wait until a running computation has noticed that the store is closed. Then no snapshot is open."""
        async with self._snapshot_turn:
            return

    async def tree(self, shard: ShardId) -> Tree:
        """The digests of a shard at one moment after the call. Calls at the same time share the work."""
        await trio.lowlevel.checkpoint()
        while True:
            current = self._computations.get(shard)
            if current is None:
                return await self._lead(shard)
            # A computation that has begun to read may lack what this caller has just written.
            fresh = not current.reading
            await current.done.wait()
            if fresh and current.tree is not None:
                return current.tree

    async def fill(self, *, limit: int) -> int:
        """Compute up to `limit` missing leaf digests, of any shard; returns how many were kept."""
        await trio.lowlevel.checkpoint()
        kept = sid = 0
        while kept < limit:
            # One shard is looked for at a time: to list them all costs far more than a batch of digests.
            with self._reads.transaction() as connection:
                found = next_unhashed_shard(connection, sid)
            if found is None:
                break
            sid = found
            kept += await self._fill_shard(sid, limit - kept)
        return kept

    async def complete(self, sid: int, slot: int, rows: Sequence[LeafRow]) -> list[LeafRow]:
        """The rows of a page, with the digests that were missing. A row may have become newer meanwhile."""
        turn = Slice()
        complete: list[LeafRow] = []
        done: list[LeafSha] = []
        for row in rows:
            if row.sha is not None:
                complete.append(row)
                continue
            place = LeafPlace(sid, slot, row.key)
            with self._reads.transaction() as connection:
                current = leaf_at(connection, place)
            if current is None:
                continue
            version, sha, payload = current
            if sha is None:
                sha = self._digest(place, payload, version)
                done.append(LeafSha(place, version, sha))
            complete.append(LeafRow(row.key, version, sha))
            await turn.step()
        await self._keep(done)
        return complete

    def _digest(self, place: LeafPlace, payload: bytes | None, version: Version) -> bytes:
        """The digest of a leaf. A payload that has rotted must not become part of a tree."""
        with leaf_checked(*place):
            sound = intact(payload, version)
        return self._leaf_digest(sound, version.delete_time)

    async def _lead(self, shard: ShardId) -> Tree:
        assert shard not in self._computations, "two computations of one tree at a time"
        current = self._computations[shard] = _Computation()
        try:
            current.tree = await self._compute(shard, current)
            return current.tree
        finally:
            # Also after a cancellation: then one of the calls that wait takes the computation over.
            ended = self._computations.pop(shard)
            assert ended is current
            current.done.set()

    async def _compute(self, shard: ShardId, current: _Computation) -> Tree:
        # This is the long part. It is done in short reads, so that the snapshot is needed only for a moment.
        # Writes go on meanwhile, so it is done until few digests are missing.
        for filled in range(FILL_PASSES_MAX):
            with self._reads.transaction() as connection:
                sid = find_shard(connection, shard)
                rows = slot_rows(connection, sid) if sid else []
            if sid is None:
                return make_tree(())
            missing = sum(row.unhashed for row in rows)
            if not missing or (filled and missing <= SNAPSHOT_UNHASHED_LEAVES):
                break
            # On a full disk none is kept, and another pass would not help.
            if not await self._fill_shard(sid, sys.maxsize):
                break
        async with self._snapshot_turn:
            current.reading = True
            with self._reads.snapshot() as connection:
                # Look again: the shard may have been dropped since, and written to after that.
                sid = find_shard(connection, shard)
                return await self._read_tree(connection, sid) if sid else make_tree(())

    async def _read_tree(self, connection: sqlite3.Connection, sid: int) -> Tree:
        turn = Slice()
        slots: list[SlotDigest] = []
        done: list[SlotSha] = []
        for row in slot_rows(connection, sid):
            if row.sha is not None:
                slots.append(SlotDigest(row.slot, row.sha))
                continue
            sha = await self._slot_sha(connection, sid, row, turn)
            done.append(SlotSha(sid, row.slot, row.generation, sha))
            slots.append(SlotDigest(row.slot, sha.hex()))
        await self._keep((), done)
        return make_tree(slots)

    async def _slot_sha(self, connection: sqlite3.Connection, sid: int, row: SlotRow, turn: Slice) -> bytes:
        digest = SlotHash()
        with closing(slot_leaves(connection, sid, row.slot, with_versions=row.unhashed > 0)) as leaves:
            while chunk := leaves.fetchmany(SLOT_CHUNK_LEAVES):
                self._state.check_open()
                if row.unhashed:
                    shas = await self._chunk_shas(connection, sid, row.slot, chunk, turn)
                else:
                    shas = [sha for (sha,) in chunk]
                digest.add(shas)
                await turn.step()
        return digest.digest()

    async def _chunk_shas(
        self,
        connection: sqlite3.Connection,
        sid: int,
        slot: int,
        chunk: Sequence[tuple[bytes | None, int, bytes, int, int, bytes]],
        turn: Slice,
    ) -> list[bytes]:
        shas: list[bytes] = []
        done: list[LeafSha] = []
        for sha, rid, key, mod_revision, delete_time, digest in chunk:
            if sha is None:
                version = Version(mod_revision, delete_time, digest)
                place = LeafPlace(sid, slot, key)
                computed = self._digest(place, payload_of(connection, rid), version)
                done.append(LeafSha(place, version, computed))
                shas.append(computed)
                await turn.step()
            else:
                shas.append(sha)
        await self._keep(done)
        return shas

    async def _fill_shard(self, sid: int, limit: int) -> int:
        """Compute missing leaf digests, going through the file once; returns how many were kept."""
        turn = Slice()
        kept = after = 0
        done: list[LeafSha] = []
        with self._reads.transaction() as connection:
            end = last_rid(connection)
        while True:
            with self._reads.transaction() as connection:
                due = unhashed_page(connection, sid, after, end, min(limit, UNHASHED_PAGE_LEAVES))
            for leaf in due:
                sha = self._digest(leaf.place, leaf.payload, leaf.version)
                done.append(LeafSha(leaf.place, leaf.version, sha))
                after = leaf.rid
                await turn.step()
            limit -= len(due)
            finished = not due or limit <= 0
            if finished or len(done) >= DIGEST_BATCH_LEAVES:
                now_kept = await self._keep(done)
                kept += now_kept
                done.clear()
                # Nothing could be kept, since the disk is full: to compute more would be in vain.
                if finished or not now_kept:
                    return kept

    async def keep_slots(self, slots: Sequence[SlotSha]) -> None:
        """Keep digests of slots that were computed elsewhere, as far as these have not changed since."""
        await self._keep((), slots)

    async def _keep(self, leaves: Sequence[LeafSha], slots: Sequence[SlotSha] = ()) -> int:
        """Keep digests; returns how many of the leaves were kept. On a full disk that is 0, and no error."""
        if not leaves and not slots:
            return 0
        job = DigestJob(tuple(leaves), tuple(slots))
        try:
            await self._writer.do(job)
        except (StoreFullError, StoreBusyError):
            return 0
        return job.kept
