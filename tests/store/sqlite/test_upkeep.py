"""What an open store does now and then: the log of an idle store is emptied."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from gossipnode.store.sqlite.commit import BUSY_MILLISECONDS
from gossipnode.store.sqlite.upkeep import LOG_IDLE_BYTES
from tests.store.support import SHARD, SqliteHandle, make_record, placed, scan_all

RECORDS = [make_record(str(number), payload=bytes(20_000)) for number in range(100)]


def log_of(sqlite: SqliteHandle) -> Path:
    return sqlite.directory / "store.db-wal"


async def test_the_log_of_an_idle_store_is_emptied(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*RECORDS))
    full = log_of(sqlite).stat().st_size
    assert full > LOG_IDLE_BYTES
    # It has been written to since the last look.
    await sqlite.sqlite._upkeep.step()
    assert log_of(sqlite).stat().st_size == full
    await sqlite.sqlite._upkeep.step()
    assert log_of(sqlite).stat().st_size == 0
    assert len(await scan_all(sqlite.store)) == len(RECORDS)
    await sqlite.store.write(placed(make_record("later")))
    await sqlite.crash()
    assert len(await scan_all(sqlite.store)) == len(RECORDS) + 1


async def test_a_short_log_stays(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(make_record()))
    size = log_of(sqlite).stat().st_size
    for _ in range(3):
        await sqlite.sqlite._upkeep.step()
    assert log_of(sqlite).stat().st_size == size > 0


@pytest.mark.parametrize("written_before", [50, 100])
async def test_a_reader_that_needs_the_log_holds_up_nothing(
    sqlite: SqliteHandle, written_before: int
) -> None:
    await sqlite.store.write(placed(*RECORDS[:written_before]))
    with sqlite.sqlite._reads.snapshot() as snapshot:
        (held,) = snapshot.execute("SELECT count(*) FROM leaf").fetchone()
        await sqlite.store.write(placed(*RECORDS[written_before:]))
        size = log_of(sqlite).stat().st_size
        said: list[str] = []
        sqlite.sqlite._file.writer.set_trace_callback(said.append)
        await sqlite.sqlite._writer.empty_log()
        assert log_of(sqlite).stat().st_size == size
        assert snapshot.execute("SELECT count(*) FROM leaf").fetchone() == (held,)
        # Where SQLite is asked to empty the log it would otherwise wait for the reader, and all writes too.
        emptied = "PRAGMA wal_checkpoint(TRUNCATE)"
        assert (emptied in said) is (written_before == len(RECORDS))
        if emptied in said:
            assert said[said.index(emptied) - 1] == "PRAGMA busy_timeout = 0"
            assert said[-1] == f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}"
    await sqlite.sqlite._writer.empty_log()
    assert log_of(sqlite).stat().st_size == 0
    assert (await sqlite.store.counts(SHARD)).records == len(RECORDS)


async def test_reads_go_on_while_the_log_is_emptied(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*RECORDS))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sqlite.sqlite._writer.empty_log)
        for _ in range(20):
            assert len(await sqlite.store.scan(SHARD, limit=10)) == 10
        await sqlite.store.write(placed(make_record("beside")))
    assert (await sqlite.store.counts(SHARD)).records == len(RECORDS) + 1


async def test_the_upkeep_of_a_store_that_has_ended_does_nothing(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*RECORDS))
    upkeep = sqlite.sqlite._upkeep
    await sqlite.close()
    await upkeep.step()
    assert sqlite.failure is None
