from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from gossipnode.concurrency.change_event import ChangeEvent, first_of


async def test_every_waiter_hears_of_a_change() -> None:
    changed = ChangeEvent()
    heard: list[str] = []

    async def hear(name: str) -> None:
        await changed.wait()
        heard.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, "a")
        nursery.start_soon(hear, "b")
        await wait_all_tasks_blocked()
        assert heard == []
        changed.notify()
    assert sorted(heard) == ["a", "b"]


async def test_a_change_before_the_wait_is_not_missed() -> None:
    changed = ChangeEvent()
    before = changed.pending
    changed.notify()
    assert before.is_set()
    await before.wait()


async def test_one_change_is_told_once() -> None:
    changed = ChangeEvent()
    changed.notify()
    assert not changed.pending.is_set()
    with trio.move_on_after(0) as patience:
        await changed.wait()
    assert patience.cancelled_caught


async def test_the_first_of_several_changes_is_enough() -> None:
    one, other = ChangeEvent(), ChangeEvent()
    pending = one.pending, other.pending
    other.notify()
    await first_of(*pending)
    with trio.move_on_after(0) as patience:
        await first_of(one.pending, other.pending)
    assert patience.cancelled_caught


async def test_waiting_for_several_changes_takes_no_task_for_each() -> None:
    one, other = ChangeEvent(), ChangeEvent()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first_of, one.pending, other.pending)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        assert not next(iter(nursery.child_tasks)).child_nurseries
        one.notify()


async def test_a_task_that_gives_up_waiting_is_not_woken_later() -> None:
    one, other = ChangeEvent(), ChangeEvent()
    with trio.move_on_after(0):
        await first_of(one.pending, other.pending)
    with trio.move_on_after(0) as patience:
        one.notify()
        other.notify()
        await trio.sleep_forever()
    assert patience.cancelled_caught
