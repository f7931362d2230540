"""A full disk: the write fails whole, reads go on, and writes work again when there is space."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.store.interface import StoreFullError
from gossipnode.store.verify.check_store import verify_store
from tests.records import bare_record
from tests.store.support import (
    SHARD,
    Handle,
    MemoryHandle,
    SqliteHandle,
    leaf_digest,
    placed,
    rebuilt,
    scan_all,
)

BIG = bytes(2000)


async def _fill_up(handle: Handle) -> list[str]:
    """Write until it fails; returns the ids that were acknowledged."""
    kept: list[str] = []
    for number in range(1000):
        ids = [f"{number}-{each}" for each in range(10)]
        try:
            await handle.store.write(
                placed(*(bare_record(f"name/{each}", BIG) for each in ids)), stamp=number
            )
        except StoreFullError:
            return kept
        kept += ids
    raise AssertionError("the disk never was full")


async def _check(handle: Handle, kept: list[str]) -> None:
    found = await scan_all(handle.store, page=100)
    assert sorted(record.entity.id for record in found) == sorted(kept)
    assert await handle.store.tree(SHARD) == rebuilt(found)
    assert (await handle.store.counts(SHARD)).records == len(kept)
    assert await handle.store.last_stamp() == len(kept) // 10 - 1


@pytest.mark.slow
async def test_a_limit_on_pages(sqlite: SqliteHandle) -> None:
    # The limit belongs to the connection of the writer, which is idle here.
    connection = sqlite.sqlite._file.writer
    connection.execute("PRAGMA max_page_count = 150")
    kept = await _fill_up(sqlite)
    assert kept
    await _check(sqlite, kept)
    connection.execute("PRAGMA max_page_count = 100000")
    (result,) = await sqlite.store.write(placed(bare_record("name/later", BIG)))
    assert result.outcome is WriteOutcome.STORED
    assert sqlite.sqlite.failure is None
    await sqlite.restart()
    assert len(await scan_all(sqlite.store)) == len(kept) + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    target = tmp_path / "disk"
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs here: {mounted.stderr.strip()}")
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True)


@pytest.mark.slow
async def test_a_small_disk(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(800_000))
    handle = SqliteHandle(small_disk / "data")
    await handle.open()
    try:
        kept = await _fill_up(handle)
        assert kept
        await _check(handle, kept)
        with pytest.raises(StoreFullError):
            await handle.store.write(placed(*(bare_record(f"name/{n}", BIG) for n in range(100))))
        await _check(handle, kept)
        # A restart on the full disk serves reads too.
        await handle.restart()
        await _check(handle, kept)
        filler.unlink()
        (result,) = await handle.store.write(placed(bare_record("name/later", BIG)))
        assert result.outcome is WriteOutcome.STORED
        await handle.restart()
        assert len(await scan_all(handle.store)) == len(kept) + 1
    finally:
        await handle.close()
    assert verify_store(handle.directory, lambda _: leaf_digest).wrong_count == 0


async def test_the_twin_in_memory() -> None:
    handle = MemoryHandle()
    await handle.store.write(placed(bare_record("name/1")))
    handle.memory.set_full(True)
    with pytest.raises(StoreFullError):
        await handle.store.write(placed(bare_record("name/2")), stamp=9)
    assert await scan_all(handle.store) == [bare_record("name/1")]
    assert await handle.store.last_stamp() == 0
    handle.memory.set_full(False)
    await handle.store.write(placed(bare_record("name/2")))
    assert len(await scan_all(handle.store)) == 2
