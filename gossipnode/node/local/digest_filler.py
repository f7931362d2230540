"""Computes leaf digests in the background, so that a round seldom has to wait for them.

A digest costs more than the write itself, so it is left until writes have been quiet for a moment.
"""

from __future__ import annotations

import structlog
import trio

from gossipnode.node.local.shards import Shards
from gossipnode.store.interface import StoreClosedError, StoreError

FILL_BATCH_LEAVES = 64
FILL_QUIET_SECONDS = 0.5
FILL_LATEST_SECONDS = 30.0
FILL_PAUSE_SECONDS = 0.25
"""Leaf digests are computed once writes have been quiet for a moment, at the latest after half a minute.

While writes go on, with a pause after every batch: a few percent of a core.
"""


async def fill_digests(shards: Shards) -> None:
    """Fill in what is missing now, and after every write. Runs until cancelled or the store closes."""
    while True:
        written = shards.written
        try:
            while await _fill_some(shards):
                if written.is_set():
                    # Somebody writes: go on, but leave the time to them.
                    written = shards.written
                    with trio.move_on_after(FILL_PAUSE_SECONDS):
                        await _quiet(shards)
        except StoreClosedError:
            return
        await written.wait()
        with trio.move_on_after(FILL_LATEST_SECONDS):
            await _quiet(shards)


async def _fill_some(shards: Shards) -> int:
    """Fill in a batch; gives how many, 0 when nothing is missing or nothing can be kept just now."""
    try:
        return await shards.store.fill_digests(limit=FILL_BATCH_LEAVES)
    except StoreClosedError:
        raise
    except StoreError as error:
        # Nothing is lost: they are computed when a round needs them, or after the next write. A store that
        # cannot go on at all says so to the node itself.
        structlog.get_logger("gossipnode.store").warning("digests not filled in", reason=str(error))
        return 0


async def _quiet(shards: Shards) -> None:
    """Return once nothing has been written for a moment."""
    while True:
        with trio.move_on_after(FILL_QUIET_SECONDS) as pause:
            await shards.written.wait()
        if pause.cancelled_caught:
            return
