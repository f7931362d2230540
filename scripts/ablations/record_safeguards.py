"""Safeguards of single records: what is acknowledged stays, and newer versions win."""

from __future__ import annotations

from typing import Final

from ablations.safeguard import CLOCKS, PURGES, REQUESTS, Safeguard, without

RECORD_SAFEGUARDS: Final[tuple[Safeguard, ...]] = (
    without(
        "fsync",
        "A crash loses the last commits, which were acknowledged.",
        (
            "sim/world/machines.py",
            "        await self._end(machine)\n\n    async def _end",
            "        await self._end(machine)\n"
            "        if not machine.disk.in_use:\n"
            "            machine.disk.lose_last_commits(3)\n\n    async def _end",
        ),
    ),
    without(
        "quorum-count",
        "A quorum is one replica fewer than a majority.",
        ("core/cluster/placement.py", "return replicas // 2 + 1", "return max(1, replicas // 2)"),
    ),
    without(
        "read-quorum",
        "A read at quorum asks one replica.",
        ("core/cluster/placement.py", "if level is AckLevel.ONE:", "if level is AckLevel.ONE or reading:"),
    ),
    without(
        "write-quorum",
        "A write at quorum needs one replica.",
        (
            "core/cluster/placement.py",
            "if level is AckLevel.ONE:",
            "if level is AckLevel.ONE or not reading:",
        ),
    ),
    without(
        "older-answer",
        "A replica that holds a newer version acknowledges an older one.",
        ("core/query/write_answers.py", "self._newer_counts = newer_counts", "self._newer_counts = True"),
    ),
    without(
        "newest-stays",
        "A store puts an older version in the place of a newer one.",
        (
            "store/memory_shard.py",
            "if current is not None and record.version <= current.version:",
            "if current is not None and record.version == current.version:",
        ),
    ),
    without(
        "equal-stamps",
        "Of two versions with one stamp the first to come stays, whatever its digest.",
        (
            "store/memory_shard.py",
            "if current is not None and record.version <= current.version:",
            "if current is not None and record.version[:2] <= current.version[:2]:",
        ),
    ),
    without(
        "seal",
        "A replica that has sealed takes new versions with old stamps all the same.",
        (
            "core/retention/marks.py",
            "if entry.way is Way.CLIENT and marks.sealed and stamp <= marks.sealed:",
            "if not marks:",
        ),
        faults=PURGES,
    ),
    without(
        "proof",
        "Tombstones are purged without a round that proves that every replica has them.",
        (
            "node/repair/retention/purge_rounds.py",
            'problem = why_not_proven(finished.hops, placement.holders) if finished else "too many rounds"',
            'problem = "" if finished else "too many rounds"',
        ),
        faults=PURGES,
    ),
    without(
        "stale-replicas",
        "A replica that may lack purged tombstones keeps and offers what it has.",
        (
            "core/retention/meeting.py",
            "return MarksMeeting(after, 0 if given_up_to >= told.complete else told.complete)",
            "return MarksMeeting(Marks(sealed, told.complete, after.mark))",
        ),
        faults=(*PURGES, "older-disk"),
    ),
    without(
        "read-repair",
        "Replicas that a read finds stale are left so.",
        (
            "node/coordinate/record_reads.py",
            "ended=lambda: self._repair.offer(newest.stale()),",
            "ended=lambda: None,",
        ),
    ),
    without(
        "write-back",
        "A read does not wait until what it shows is at a quorum.",
        ("node/coordinate/record_reads.py", "if level is not AckLevel.ONE:", "if not placement.holders:"),
    ),
    without(
        "stamp-floors",
        "A replica takes every stamp that is proposed to it.",
        (
            "core/model/stamp_floors.py",
            "            highest = max(highest, floor)\n",
            "            highest = min(highest, floor)\n",
        ),
        faults=CLOCKS,
    ),
    without(
        "entity-lock",
        "Two writes of a record at one node do not wait for each other.",
        (
            "node/coordinate/entity_locks.py",
            "        self._held = await self._locks.acquire(self._entities)\n",
            "        self._held = HeldLocks(self._locks)\n",
        ),
    ),
    without(
        "request-ids",
        "A write that a client tries again is done again.",
        (
            "node/local/request_memory.py",
            "Lineage((), held.stamp) if kept is None else kept.of(held)",
            "Lineage((), held.stamp)",
        ),
        faults=REQUESTS,
    ),
    without(
        "lineages",
        "A request that a replica knows counts as done, whatever the newest version was built upon.",
        ("core/query/request_lineage.py", "default=unknown)", "default=unknown) + (1 << 62)"),
        faults=REQUESTS,
    ),
    without(
        "overtaken-requests",
        "A try that was overtaken counts as done when the write starts over.",
        (
            "node/coordinate/coordinator.py",
            'so the next try must not count as done.\n                asked_before = ""',
            "so the next try must not count as done.",
        ),
        faults=REQUESTS,
    ),
    without(
        "acknowledge-again",
        "A write that was done before is acknowledged without looking at the replicas again.",
        (
            "node/coordinate/coordinator.py",
            "        took = await self._write(\n"
            "            placement, newest, level, done.request_id, caller, lineage,"
            " created=done.created, copies=True\n"
            "        )\n",
            "        took: int | None = placement.replicas\n",
        ),
        faults=("tried-again",),
    ),
    without(
        "tombstone-again",
        "A delete that finds a tombstone is acknowledged without seeing to it that a quorum has it.",
        (
            "node/coordinate/coordinator.py",
            "            if existing is None:\n                return Deleted(None",
            "            if existing is None or existing.deleted:\n                return Deleted(None",
        ),
        faults=REQUESTS,
    ),
    without(
        "tombstones",
        "A get shows a record that is deleted.",
        (
            "node/coordinate/coordinator.py",
            "live = None if record is None or record.deleted else record",
            "live = record",
        ),
    ),
    without(
        # Each of the four makes good for the others: nothing is missed while one of them is there.
        "rising-stamps",
        "A stamp may be below that of the version that it replaces, and below those that a node gave or saw.",
        ("store/memory.py", "        self._image.raise_stamp(stamp)\n", ""),
        ("core/model/version.py", "own = max(now, before + 1)", "own = now"),
        (
            "core/model/version.py",
            '        assert stamp >= self._last > before, "a stamp would repeat"\n',
            "",
        ),
        ("core/model/version.py", "self._last = max(self._last, stamp)", "self._last = max(self._last, 0)"),
        (
            "node/coordinate/record_steps.py",
            "return stamp if existing is None else max(stamp, existing.version.stamp + 1)",
            "return stamp",
        ),
        faults=CLOCKS,
    ),
    without(
        "cancel-shield",
        "A write whose caller is gone is kept without the clock hearing of it.",
        (
            "node/local/record_writer.py",
            "arrivals=self._timed(arrivals),\n            entries=entries,\n        )\n",
            "arrivals=self._timed(arrivals),\n            entries=entries,\n        )\n"
            "        import trio\n\n"
            "        await trio.lowlevel.checkpoint()\n",
        ),
        faults=("broken-news",),
    ),
    without(
        "stale-candidates",
        "A query shows what one replica reports, without asking whether the others agree.",
        (
            "core/query/newest.py",
            "if payload is None or any(each.version != first.version for _, each in found):",
            "if payload is None:",
        ),
        (
            "core/query/newest.py",
            "    if not asked <= {replica for replica, _ in found}:\n        return None\n",
            "",
        ),
    ),
    without(
        "newest-read",
        "Of what replicas answer to a read the first counts, not the newest.",
        (
            "core/query/newest.py",
            "if record is not None and (newest is None or record.version > newest.version):",
            "if record is not None and newest is None:",
        ),
    ),
    without(
        "query-quorum",
        "A query goes on when too few replicas are left.",
        ("node/query/merge.py", "            self._check_enough(stream)\n", ""),
    ),
)
