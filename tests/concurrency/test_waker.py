from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gossipnode.concurrency.waker import Waker


async def test_a_sleeper_is_woken_once() -> None:
    waker, woken = Waker(), 0

    async def sleep() -> None:
        nonlocal woken
        await waker.sleep()
        woken += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleep)
        await wait_all_tasks_blocked()
        assert woken == 0
        waker.wake()
        waker.wake()
    assert woken == 1


async def test_a_wake_up_without_a_sleeper_is_not_kept() -> None:
    waker = Waker()
    waker.wake()
    with trio.move_on_after(0) as patience:
        await waker.sleep()
    assert patience.cancelled_caught


async def test_one_task_sleeps_at_a_time_and_a_cancelled_one_makes_room() -> None:
    waker = Waker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waker.sleep)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await waker.sleep()
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waker.sleep)
        await wait_all_tasks_blocked()
        waker.wake()
