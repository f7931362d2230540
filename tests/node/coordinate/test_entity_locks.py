"""One writer an entity at a time, in the order of coming, and nothing kept of those that went away."""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity
from gossipnode.node.coordinate.entity_locks import EntityLocks
from tests.records import entity

A, B, C = entity("n/a"), entity("n/b"), entity("n/c")


async def test_first_come_first_served() -> None:
    locks = EntityLocks()
    order: list[int] = []

    async def want(number: int) -> None:
        async with locks.hold((A,)):
            order.append(number)

    async with trio.open_nursery() as nursery, locks.hold((A,)):
        for number in range(5):
            nursery.start_soon(want, number)
            await trio.testing.wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3, 4]
    assert not locks.held


async def test_another_entity_does_not_wait() -> None:
    locks = EntityLocks()
    async with locks.hold((A,)):
        with trio.fail_after(1):
            async with locks.hold((B,)):
                assert set(locks.held) == {A, B}
    assert not locks.held


async def test_an_entity_named_twice_is_taken_once() -> None:
    locks = EntityLocks()
    with trio.fail_after(1):
        async with locks.hold((A, B, A)):
            pass
    assert not locks.held


async def test_who_gives_up_waiting_leaves_the_line(autojump_clock: object) -> None:
    locks = EntityLocks()
    got: list[str] = []

    async def want(name: str) -> None:
        async with locks.hold((A,)):
            got.append(name)

    async with trio.open_nursery() as nursery:
        async with locks.hold((A,)):
            with trio.move_on_after(1) as impatient:
                await locks.acquire((A,))
            assert impatient.cancelled_caught
            nursery.start_soon(want, "patient")
            await trio.testing.wait_all_tasks_blocked()
    assert got == ["patient"]
    assert not locks.held


async def test_a_lock_handed_to_somebody_who_is_cancelled_goes_on_to_the_next() -> None:
    """The cancellation comes and then the turn, both before the task runs again."""
    locks = EntityLocks()
    first = await locks.acquire((A,))
    scope = trio.CancelScope()
    got: list[str] = []

    async def cancelled() -> None:
        with scope:
            await locks.acquire((A,))
            got.append("cancelled")

    async def next_one() -> None:
        async with locks.hold((A,)):
            got.append("next")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancelled)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(next_one)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        first.release()
    assert got == ["next"]
    assert not locks.held


async def test_who_waits_for_the_second_of_two_gives_the_first_back() -> None:
    locks = EntityLocks()
    async with locks.hold((B,)):
        async with trio.open_nursery() as nursery:
            # Whatever order they are named in, they are taken in theirs: two such never wait for each other.
            nursery.start_soon(locks.acquire, (C, B, A))
            await trio.testing.wait_all_tasks_blocked()
            assert set(locks.held) == {A, B}
            nursery.cancel_scope.cancel()
        assert set(locks.held) == {B}
    assert not locks.held


async def test_release_twice_gives_back_once() -> None:
    locks = EntityLocks()
    first = await locks.acquire((A,))
    first.release()
    second = await locks.acquire((A,))
    first.release()
    assert set(locks.held) == {A}
    second.release()
    assert not locks.held


async def test_an_error_in_the_block_gives_the_lock_back() -> None:
    locks = EntityLocks()
    with pytest.raises(KeyError):
        async with locks.hold((A, B)):
            raise KeyError
    assert not locks.held


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    wishes=st.lists(
        st.tuples(st.sets(st.sampled_from([A, B, C]), min_size=1), st.integers(0, 5), st.integers(1, 9)),
        min_size=1,
        max_size=12,
    ),
    seed=st.integers(0, 1000),
)
def test_any_schedule_excludes_ends_and_leaves_nothing(
    wishes: list[tuple[set[Entity], int, int]], seed: int
) -> None:
    """Tasks that come, wait, give up and go at any time: never two at once, nobody waits for ever."""
    locks = EntityLocks()
    holding: set[Entity] = set()
    rng = random.Random(seed)

    async def want(entities: set[Entity], starts_at: int, patience: int) -> None:
        await trio.sleep(starts_at)
        with trio.move_on_after(patience):
            async with locks.hold(entities):
                assert not holding & entities
                holding.update(entities)
                try:
                    await trio.sleep(rng.randrange(4))
                finally:
                    holding.difference_update(entities)

    async def main() -> None:
        with trio.fail_after(1000):
            async with trio.open_nursery() as nursery:
                for wish in wishes:
                    nursery.start_soon(want, *wish)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert not locks.held
