"""A store that has failed or is closed takes no more calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossipnode.store.interface import StoreClosedError, StoreDamagedError, StoreError
from gossipnode.store.sqlite.open_state import OpenState
from tests.store.sqlite.files import FILE_RECORDS, damage_pages, fill_file
from tests.store.support import (
    SqliteHandle,
    make_record,
    placed,
    scan_all,
)


async def test_damage_met_while_running_ends_the_store(sqlite: SqliteHandle) -> None:
    path = await fill_file(sqlite)
    damage_pages(path)
    # The store was stopped in order, so opening does not check the pages.
    await sqlite.open()
    with pytest.raises(StoreDamagedError, match="--reseed"):
        await scan_all(sqlite.store)
    assert isinstance(await sqlite.sqlite.wait_failed(), StoreDamagedError)
    with pytest.raises(StoreClosedError, match="malformed"):
        await sqlite.store.write(placed(make_record()))
    with pytest.raises(StoreClosedError):
        await scan_all(sqlite.store)
    await sqlite.close()
    with pytest.raises(StoreDamagedError):
        await sqlite.open()


async def test_damage_met_by_a_write_ends_the_store(sqlite: SqliteHandle) -> None:
    path = await fill_file(sqlite)
    damage_pages(path)
    await sqlite.open()
    newer = [make_record(record.entity.id, revision=2) for record in FILE_RECORDS]
    with pytest.raises(StoreClosedError, match="malformed"):
        await sqlite.store.write(placed(*newer))
    assert isinstance(await sqlite.sqlite.wait_failed(), StoreDamagedError)


async def test_the_first_failure_is_the_one_that_is_told(directory: Path) -> None:
    state = OpenState(directory / "store.db")
    state.check_open()
    first = state.damage("a page is torn")
    state.fail(StoreError("what follows from it"))
    assert isinstance(first, StoreDamagedError)
    assert await state.wait_failed() is state.failure is first
    with pytest.raises(StoreClosedError, match=r"has failed: .*a page is torn"):
        state.check_open()
    # The reason is told even after closing.
    state.closed = True
    with pytest.raises(StoreClosedError, match="a page is torn"):
        state.check_open()


async def test_a_closed_store_says_so(directory: Path) -> None:
    state = OpenState(directory / "store.db")
    state.closed = True
    with pytest.raises(StoreClosedError, match="the store is closed"):
        state.check_open()
    assert state.failure is None
