"""What is remembered of the stores of other members."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.cluster.boots import BootMark, BootVerdict
from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.node.identity.boot_memory import BOOTS_NOTE, COMMITS_KEPT_SECONDS, BootMemory
from gossipnode.store.interface import StoreError
from gossipnode.store.memory import MemoryStore
from tests.node.support import memory_store

B = Identity("b", 2)


async def recalled(store: MemoryStore) -> BootMemory:
    memory = BootMemory(store.reopen())
    await memory.recall()
    return memory


async def test_a_start_is_durable_when_it_is_remembered() -> None:
    store = memory_store()
    memory = BootMemory(store)
    await memory.remember(B, BootMark(1, 5, 10))
    assert (await recalled(store)).known(B) == BootMark(1, 5, 10)
    await memory.remember(B, BootMark(2, 6, 10))
    assert (await recalled(store)).known(B) == BootMark(2, 6, 10)
    assert store.commit_number == 0, "or members would tell each other of such commits for ever"


async def test_commits_are_durable_soon(autojump_clock: object) -> None:
    store = memory_store()
    memory = BootMemory(store)
    await memory.remember(B, BootMark(1, 5, 10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(memory.run)
        await trio.sleep(2 * COMMITS_KEPT_SECONDS)
        memory.committed(B, 1, 12)
        memory.committed(B, 2, 99)  # of another start
        memory.committed(Identity("b", 7), 1, 99)  # of another store
        assert memory.judge(B, BootMark(2, 6, 11)) is BootVerdict.REWOUND
        await trio.sleep(2 * COMMITS_KEPT_SECONDS)
        nursery.cancel_scope.cancel()
    assert (await recalled(store)).known(B) == BootMark(1, 5, 12)


async def test_what_could_not_be_kept_is_kept_later(autojump_clock: object) -> None:
    store = memory_store()
    memory = BootMemory(store)
    await memory.remember(B, BootMark(1, 5, 10))
    keep, failing = store.keep_note, True

    async def failing_keep(key: str, value: bytes | None, *, numbered: bool = True) -> None:
        if failing:
            raise StoreError("no room")
        await keep(key, value, numbered=numbered)

    store.keep_note = failing_keep  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(memory.run)
        memory.committed(B, 1, 12)
        await trio.sleep(3 * COMMITS_KEPT_SECONDS)
        failing = False
        await trio.sleep(2 * COMMITS_KEPT_SECONDS)
        nursery.cancel_scope.cancel()
    assert (await recalled(store)).known(B) == BootMark(1, 5, 12)


async def test_a_start_that_was_heard_of_by_the_way_is_durable_when_it_is_remembered() -> None:
    """The first try to keep it may have failed, too."""
    store = memory_store()
    memory = BootMemory(store)
    memory.heard(B, BootMark(1, 5, 10))
    keep = store.keep_note

    async def full(key: str, value: bytes | None, *, numbered: bool = True) -> None:
        raise StoreError("no room")

    store.keep_note = full  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(StoreError):
            await memory.remember(B, BootMark(1, 5, 10))
    store.keep_note = keep  # type: ignore[method-assign]
    await memory.remember(B, BootMark(1, 5, 10))
    assert (await recalled(store)).known(B) == BootMark(1, 5, 10)


async def test_an_older_start_changes_nothing() -> None:
    memory = BootMemory(memory_store())
    memory.heard(B, BootMark(3, 5, 10))
    memory.heard(B, BootMark(2, 6, 50))
    memory.heard(B, BootMark(4, 6, 9))
    assert memory.known(B) == BootMark(3, 5, 10)


async def test_a_store_of_the_same_name_is_another_one() -> None:
    memory = BootMemory(memory_store())
    memory.heard(B, BootMark(3, 5, 10))
    other = Identity("b", 7)
    assert memory.known(other) is None
    memory.heard(other, BootMark(1, 1, 1))
    assert memory.known(other) == BootMark(1, 1, 1)


@pytest.mark.parametrize(
    "note", [b"", b"[]", b'{"b": 1}', b'{"b": [1, 2]}', b"\xff", b'{"b": [1, 2, "x", 3]}']
)
async def test_a_note_that_has_rotted_counts_as_none(note: bytes) -> None:
    store = memory_store()
    await store.keep_note(BOOTS_NOTE, note)
    assert (await recalled(store)).known(Identity("b", 1)) is None
