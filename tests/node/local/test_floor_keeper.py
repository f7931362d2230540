"""The stamp floors of a node: they outlive a restart, and a wrong clock does not stay with them."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.model.stamp_floors import CEILING_AHEAD_NANOSECONDS
from gossipnode.node.local.clock import Clock
from gossipnode.node.local.floor_keeper import CEILING_NOTE, FloorKeeper
from gossipnode.store.interface import StoreFullError
from gossipnode.store.memory import MemoryStore
from tests.node.support import NOW, SECOND, WallClock, memory_store
from tests.records import entity

N1, N2 = entity("n/1"), entity("n/2")
YEAR = 365 * 24 * 3600 * SECOND


async def keeper(store: MemoryStore, wall: WallClock | None = None) -> FloorKeeper:
    """The floors after a start."""
    made = FloorKeeper(store, Clock(wall or WallClock()))
    await made.recall()
    return made


async def test_a_stamp_is_taken_above_the_one_before_for_the_same_record_alone() -> None:
    floors = await keeper(memory_store())
    assert await floors.propose((N1,), NOW) == 0
    assert await floors.propose((N1,), NOW - 1) == NOW
    assert await floors.propose((N2,), NOW - 1) == 0
    assert floors.highest((N1, N2)) == floors.highest_of_all() == NOW


async def test_after_a_restart_no_stamp_is_taken_that_might_have_been_taken_before() -> None:
    store = memory_store()
    before = await keeper(store)
    await before.propose((N1,), NOW)
    after = await keeper(store)
    assert after.highest((N2,)) == NOW + CEILING_AHEAD_NANOSECONDS
    assert await after.propose((N1,), NOW + 1) == NOW + CEILING_AHEAD_NANOSECONDS


async def test_the_ceiling_is_written_about_once_a_second() -> None:
    store = memory_store()
    floors = await keeper(store)
    notes = 0
    kept = store.keep_note

    async def keep_note(key: str, value: bytes | None) -> None:
        nonlocal notes
        notes += 1
        await kept(key, value)

    store.keep_note = keep_note  # type: ignore[method-assign]
    for tenth in range(35):
        async with trio.open_nursery() as nursery:
            for each in (N1, N2):
                nursery.start_soon(floors.propose, (each,), NOW + tenth * SECOND // 10)
    assert notes == 4


async def test_the_ceiling_is_raised_before_a_stamp_reaches_it() -> None:
    store, wall = memory_store(), WallClock()
    floors = await keeper(store, wall)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(floors.run)
        await floors.propose((N1,), wall.now)
        wall.now += CEILING_AHEAD_NANOSECONDS * 3 // 4
        await floors.propose((N1,), wall.now)
        await trio.testing.wait_all_tasks_blocked()
        note = await store.note(CEILING_NOTE)
        assert note is not None
        assert int(note) >= wall.now + CEILING_AHEAD_NANOSECONDS
        nursery.cancel_scope.cancel()


async def test_nothing_is_taken_when_the_ceiling_cannot_be_kept() -> None:
    store = memory_store()
    floors = await keeper(store)

    async def keep_note(_key: str, _value: bytes | None) -> None:
        raise StoreFullError("no room")

    store.keep_note = keep_note  # type: ignore[method-assign]
    with pytest.raises(StoreFullError):
        await floors.propose((N1,), NOW)
    assert floors.highest((N1,)) == 0


async def test_a_stamp_too_far_ahead_moves_no_floor() -> None:
    store = memory_store()
    floors = await keeper(store)
    assert await floors.propose((N1,), NOW + MAX_CLOCK_SKEW_NANOSECONDS + 1) == 0
    assert floors.highest((N1,)) == 0
    assert await store.note(CEILING_NOTE) is None


async def test_the_floors_of_another_replica_are_taken_over() -> None:
    floors = await keeper(memory_store())
    await floors.raise_all(NOW)
    assert await floors.propose((N2,), NOW) == NOW


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_clock_that_was_years_ahead_leaves_nothing_behind(restarted: bool) -> None:
    store, wall = memory_store(), WallClock(NOW + 14 * YEAR)
    floors = await keeper(store, wall)
    await floors.propose((N1,), wall.now)
    wall.now = NOW
    if restarted:
        floors = await keeper(store, wall)
    assert await floors.propose((N1,), NOW) == 0
    assert await floors.propose((N1,), NOW) == NOW
    assert (await keeper(store, wall)).highest((N1,)) == NOW + CEILING_AHEAD_NANOSECONDS


@pytest.mark.parametrize("note", [b"", b"soon", b"\xff"])
async def test_a_note_that_has_rotted_says_nothing(note: Any) -> None:
    store = memory_store()
    await store.keep_note(CEILING_NOTE, note)
    assert (await keeper(store)).highest((N1,)) == 0
