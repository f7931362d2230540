"""What waits for the task of a watch: in order, bounded, and never overlooked."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from gossipnode.node.watch.page_queue import PageQueue


async def test_pages_come_in_their_order_and_those_that_bring_them_wait_for_room(
    autojump_clock: object,
) -> None:
    pages = PageQueue[int](2)
    brought: list[int] = []

    async def bring(first: int) -> None:
        for page in range(first, first + 3):
            await pages.put(page)
            brought.append(page)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bring, 10)
        nursery.start_soon(bring, 20)
        await wait_all_tasks_blocked()
        assert len(brought) == 2
        taken: list[int | None] = []
        for _ in range(6):
            taken.append(await pages.take())
            await wait_all_tasks_blocked()
    assert sorted(brought) == sorted(each or 0 for each in taken) == [10, 11, 12, 20, 21, 22]
    assert [each for each in taken if each and each < 20] == [10, 11, 12]


async def test_a_wake_comes_before_pages_and_is_not_lost(autojump_clock: object) -> None:
    pages = PageQueue[int](2)
    pages.wake()
    await pages.put(1)
    assert await pages.take() is None
    assert await pages.take() == 1
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1) as waits:
            await pages.take()
        assert waits.cancelled_caught
        nursery.start_soon(pages.take)
        await wait_all_tasks_blocked()
        pages.wake()


async def test_one_that_gives_up_waiting_for_room_brings_nothing(autojump_clock: object) -> None:
    pages = PageQueue[int](1)
    await pages.put(1)
    with trio.move_on_after(1) as waits:
        await pages.put(2)
    assert waits.cancelled_caught
    assert await pages.take() == 1
    await pages.put(3)
    assert await pages.take() == 3
