"""The one way into a node's store: who hears of what was stored, and of nothing else."""

from __future__ import annotations

import structlog.testing

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.node.local.local_state import LocalState
from tests.node.support import NOW, SECOND, make_local, stored
from tests.records import record

SHARD = ShardId("sw", 0)
HOUR = 3600 * SECOND


async def write(local: LocalState, *records: Record) -> list[WriteOutcome]:
    return [result.outcome for result in await local.writer.write([(SHARD, each) for each in records])]


async def test_the_clock_moves_on_past_what_was_stored() -> None:
    local = make_local()
    await write(local, record("n/1", revision=NOW + 5 * SECOND), record("n/2", revision=NOW + 3 * SECOND))
    assert local.clock.last == NOW + 5 * SECOND
    assert local.clock.next() == NOW + 5 * SECOND + 1


async def test_records_of_the_future_are_stored_and_told_of_and_do_not_move_the_clock() -> None:
    local = make_local()
    ahead = [record(f"n/{hours}", revision=NOW + hours * HOUR) for hours in (1, 3, 2)]
    with structlog.testing.capture_logs() as logs:
        assert await write(local, record("n/0", revision=7), *ahead) == [WriteOutcome.STORED] * 4
    assert await stored(local, "n/3") == ahead[1]
    assert local.clock.last == 7
    assert local.clock.next() < NOW + MAX_CLOCK_SKEW_NANOSECONDS
    (warning,) = logs
    assert (warning["event"], warning["log_level"]) == ("records from the future", "warning")
    assert (warning["records"], warning["furthest"], warning["ahead_seconds"]) == (3, "sw/n/3", 3 * 3600)


async def test_a_record_that_was_there_already_is_no_news() -> None:
    local = make_local()
    one = record("n/1", revision=NOW + HOUR)
    await write(local, one)
    with structlog.testing.capture_logs() as logs:
        assert await write(local, one) == [WriteOutcome.EQUAL]
    assert logs == []


async def test_every_write_is_told_to_those_who_wait_for_one() -> None:
    local = make_local()
    one = record("n/1")
    for records in ((one,), (one,), ()):
        written = local.writer.written.pending
        await write(local, *records)
        assert written.is_set()


async def test_the_store_keeps_the_largest_stamp_that_was_given() -> None:
    """A node that starts again must give no stamp twice, even if its clock was set back while it was down."""
    local = make_local()
    given = local.clock.next(above=NOW + HOUR // 12)
    await write(local, record("n/1", revision=1))
    assert await local.store.last_stamp() == given
