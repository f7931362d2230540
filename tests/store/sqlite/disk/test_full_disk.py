"""On a full disk a write is refused whole, reads go on, records can be removed, and it ends by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gossipnode.store.interface import RecordDamagedError, ShardCounts, StoreFullError
from gossipnode.store.sqlite.commit import SHORT_LOG_BYTES
from gossipnode.store.sqlite.disk.disk_space import FLOOR_PART
from gossipnode.store.sqlite.disk.reserve import RESERVE_BYTES
from gossipnode.store.verify.check_store import verify_store
from tests.store.sqlite.disk.small_disk import fill_disk, free_bytes, mounted_disk
from tests.store.support import (
    OTHER_SHARD,
    SHARD,
    SqliteHandle,
    leaf_digest,
    make_record,
    placed,
    rebuilt,
    scan_all,
)

pytestmark = pytest.mark.slow

BIG = bytes(20_000)
DISK_MEGABYTES = 8


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", DISK_MEGABYTES) as mounted:
        yield mounted


@pytest.fixture
async def full(disk: Path) -> AsyncIterator[SqliteHandle]:
    """A store that has filled its disk as far as it may."""
    handle = SqliteHandle(disk / "data")
    await handle.open()
    try:
        await write_until_full(handle)
        yield handle
    finally:
        await handle.close()
    assert verify_store(handle.directory, lambda _: leaf_digest).wrong == ()


async def write_until_full(handle: SqliteHandle) -> int:
    """Write until a write is refused; returns how many records were acknowledged."""
    before = (await handle.store.counts(SHARD)).records
    for number in range(before, 10_000):
        try:
            await handle.store.write(placed(make_record(str(number), payload=BIG)), stamp=number)
        except StoreFullError:
            return number - before
    raise AssertionError("the disk never was full")


async def test_writes_leave_a_part_of_the_disk(full: SqliteHandle, disk: Path) -> None:
    assert full.store.disk.full
    left = free_bytes(disk)
    floor = (DISK_MEGABYTES << 20) // FLOOR_PART
    assert floor <= left < 2 * floor
    assert full.store.disk.free_bytes == left
    assert (full.directory / "store.db-wal").stat().st_size <= SHORT_LOG_BYTES
    found = await scan_all(full.store, page=100)
    assert await full.store.last_stamp() == len(found) - 1
    assert await full.store.tree(SHARD) == rebuilt(found)


async def test_a_shard_is_dropped_from_a_disk_that_others_filled(full: SqliteHandle, disk: Path) -> None:
    more = fill_disk(disk)
    assert free_bytes(disk) == 0
    await full.store.drop(SHARD)
    assert await full.store.counts(SHARD) == ShardCounts(0, 0, 0)
    assert more.exists()
    await full.sqlite._upkeep.step()
    assert not full.store.disk.full
    await full.store.write(placed(make_record("new", payload=BIG)))


async def test_a_log_that_others_left_no_space_to_move(disk: Path) -> None:
    """Others use up the disk between two commits, while nobody looks."""
    handle = SqliteHandle(disk / "data")
    await handle.open()
    try:
        for number in range(5):
            await handle.store.write(placed(*(make_record(f"{number}-{n}", payload=BIG) for n in range(20))))
        fill_disk(disk)
        kept = 100 + await write_until_full(handle)
        assert len(await scan_all(handle.store, page=100)) == kept
        await handle.store.drop(SHARD)
        await handle.sqlite._upkeep.step()
        assert await write_until_full(handle) > 50
    finally:
        await handle.close()
    assert verify_store(handle.directory, lambda _: leaf_digest).wrong == ()


@pytest.mark.parametrize("kept", [True, False])
async def test_the_reserve_is_the_last_resort(full: SqliteHandle, disk: Path, kept: bool) -> None:
    # A log that is empty has no space of its own left.
    await full.sqlite._writer.empty_log()
    reserve = full.directory / "store.reserve"
    assert reserve.stat().st_size == RESERVE_BYTES
    if not kept:
        reserve.unlink()
    more = fill_disk(disk)
    if kept:
        await full.store.drop(SHARD)
        assert not reserve.exists()
    else:
        with pytest.raises(StoreFullError):
            await full.store.drop(SHARD)
        more.unlink()
        await full.store.drop(SHARD)
    assert await full.store.counts(SHARD) == ShardCounts(0, 0, 0)
    await full.sqlite._upkeep.step()
    await full.sqlite._upkeep.step()
    assert reserve.exists()


async def test_a_start_on_a_disk_that_others_filled(disk: Path) -> None:
    handle = SqliteHandle(disk / "data")
    await handle.open()
    try:
        await handle.store.write(placed(make_record(payload=BIG)))
        await handle.close()
        more = fill_disk(disk)
        await handle.open()
        assert handle.store.disk.full
        assert await scan_all(handle.store) == [make_record(payload=BIG)]
        with pytest.raises(StoreFullError, match="no space left"):
            await handle.store.write(placed(make_record("new")))
        more.unlink()
        await handle.store.write(placed(make_record("new")))
        assert not handle.store.disk.full
    finally:
        await handle.close()


async def test_it_is_told_once_and_ends_by_itself(disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(4 << 20))
    handle = SqliteHandle(disk / "data")
    await handle.open()
    try:
        full = handle.store.disk_changed.pending
        await write_until_full(handle)
        assert full.is_set()
        room = handle.store.disk_changed.pending
        for _ in range(3):
            with pytest.raises(StoreFullError):
                await handle.store.write(placed(make_record("new", payload=BIG)))
            await handle.sqlite._upkeep.step()
        assert not room.is_set()
        ballast.unlink()
        await handle.sqlite._upkeep.step()
        assert room.is_set()
        assert not handle.store.disk.full
        await handle.store.write(placed(make_record("new", payload=BIG)))
    finally:
        await handle.close()


async def test_what_little_goes_on(full: SqliteHandle) -> None:
    """Notes are kept, such as the one of members and groups, and a record that rotted is set aside."""
    for note in (b"yes", bytes(5000), b"again"):
        await full.store.keep_note("cluster", note)
        assert await full.store.note("cluster") == note
    full.sqlite._file.writer.execute("UPDATE payload SET bytes = x'00' WHERE rid = 7")
    with pytest.raises(RecordDamagedError):
        await full.store.read(SHARD, [make_record(str(number)).entity for number in range(20)])
    with pytest.raises(StoreFullError):
        await full.store.write([*placed(make_record("other"), shard=OTHER_SHARD), *placed(make_record())])
    full.sqlite._file.writer.execute("DELETE FROM set_aside")


async def test_free_pages_of_the_file_end_it(disk: Path) -> None:
    handle = SqliteHandle(disk / "data")
    await handle.open()
    try:
        records = [make_record(str(number), payload=BIG) for number in range(100)]
        await handle.store.write(placed(*records, shard=OTHER_SHARD))
        await write_until_full(handle)
        # As an end in the middle of a drop leaves it: the pages are not given back yet.
        handle.sqlite._file.writer.execute("DELETE FROM payload WHERE rid <= 100")
        handle.sqlite._file.writer.execute("DELETE FROM leaf WHERE rid <= 100")
        await handle.sqlite._upkeep.step()
        await handle.sqlite._upkeep.step()
        assert not handle.store.disk.full
    finally:
        await handle.close()
