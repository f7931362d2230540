"""The counters and roots of many shards, read in short pages."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from gossipnode.core.model.property import ShardId
from gossipnode.core.session.tree import SlotHash
from gossipnode.store.interface import ShardCounts, ShardSummary
from gossipnode.store.sqlite.tables.rows import SlotSha, group_text, slot_leaves

SUMMARY_PAGE_SHARDS = 16
"""Shards that are read before other tasks get their turn. With all slots in use that takes a millisecond."""

SUMMARY_PAGE_LEAVES = 1024
"""Leaves of a page that are hashed for slots without a digest."""


class SummaryPage(NamedTuple):
    """Some shards, in the order of their numbers."""

    summaries: dict[ShardId, ShardSummary]
    after: int | None
    """The number of the shard to go on after; None at the end."""
    computed: Sequence[SlotSha] = ()
    """The digests of slots that were computed in passing. To keep them saves that the next time."""


def summary_page(connection: sqlite3.Connection, after: int) -> SummaryPage:
    """Some shards after the one of this number."""
    shards = connection.execute(
        "SELECT sid, grp, number, incarnation FROM shard WHERE sid > ? ORDER BY sid LIMIT ?",
        (after, SUMMARY_PAGE_SHARDS),
    ).fetchall()
    if not shards:
        return SummaryPage({}, None)
    page = _Page(connection, shards[0][0], shards[-1][0])
    summaries = {
        ShardId(group_text(group), number, incarnation): page.summary(sid)
        for sid, group, number, incarnation in shards
    }
    return SummaryPage(summaries, shards[-1][0], page.computed)


class _Page:
    """The slots of some shards."""

    def __init__(self, connection: sqlite3.Connection, first: int, last: int) -> None:
        self._connection = connection
        self._leaves_left = SUMMARY_PAGE_LEAVES
        self.computed: list[SlotSha] = []
        self._slots: defaultdict[int, list[tuple[int, int, int, int, int, object]]] = defaultdict(list)
        for sid, *slot in connection.execute(
            "SELECT sid, slot, generation, records, tombstones, unhashed, sha FROM slot"
            " WHERE sid BETWEEN ? AND ? AND records + tombstones > 0 ORDER BY sid, slot",
            (first, last),
        ):
            number, generation, records, tombstones, unhashed, sha = slot
            self._slots[sid].append((number, generation, records, tombstones, unhashed, sha))

    def summary(self, sid: int) -> ShardSummary:
        """Of one shard."""
        records = tombstones = unhashed = 0
        shas: list[bytes | None] = []
        for number, generation, live, deleted, missing, sha in self._slots[sid]:
            records += live
            tombstones += deleted
            unhashed += missing
            known = sha if isinstance(sha, bytes) else None
            if known is None and not missing:
                known = self._hashed(sid, number, live + deleted)
                if known is not None:
                    self.computed.append(SlotSha(sid, number, generation, known))
            shas.append(known)
        return ShardSummary(ShardCounts(records, tombstones, unhashed), _root(shas))

    def _hashed(self, sid: int, slot: int, leaves: int) -> bytes | None:
        """The digest of a slot that was not kept yet; None if it is too large to be computed in passing."""
        self._leaves_left -= leaves
        if self._leaves_left < 0:
            return None
        digest = SlotHash()
        with closing(slot_leaves(self._connection, sid, slot, with_versions=False)) as rows:
            shas = [sha for (sha,) in rows]
        if None in shas:
            return None
        digest.add(shas)
        return digest.digest()


def _root(shas: list[bytes | None]) -> str | None:
    whole = [sha for sha in shas if sha is not None]
    if len(whole) < len(shas):
        return None
    root = SlotHash()
    root.add(whole)
    return root.digest().hex() if whole else ""
