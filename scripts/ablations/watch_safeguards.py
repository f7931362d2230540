"""Safeguards of watches: the last version of no record is missed."""

from __future__ import annotations

from typing import Final

from ablations.safeguard import Safeguard, without

WATCH_SAFEGUARDS: Final[tuple[Safeguard, ...]] = (
    without(
        "watch-tombstones",
        "A watch that goes on at another replica is not told of deletes.",
        (
            "core/watch/watch_plan.py",
            "found.setdefault((node, None, before is not None, mark), []).append(shard)",
            "found.setdefault((node, None, False, mark), []).append(shard)",
        ),
    ),
    without(
        "watch-births",
        "A watch goes on from a commit at another store of the same name.",
        (
            "core/watch/watch_plan.py",
            "usable and births[before.node] == before.birth:",
            "usable:",
        ),
    ),
    without(
        "watch-marks",
        "A watch goes on from before a purge, which has forgotten deletes that it was not told.",
        (
            "node/watch/local_feed.py",
            "if known is not None and mark > known:",
            "if known is not None and mark > known and self is None:",
        ),
    ),
    without(
        "watch-listens-first",
        "A watch does not hear of what is stored while it reads what is there.",
        (
            "node/watch/local_feed.py",
            "            reached = await self._catch_up(reached, send)\n            await send(",
            "            await send(",
        ),
        (
            "node/watch/local_feed.py",
            "        if change.sequence > reached or change.purged\n",
            "        if change.sequence > reached + 3 or change.purged\n",
        ),
    ),
)
