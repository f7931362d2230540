"""Starts of this node's store: what is noted of them, and what is told to members."""

from __future__ import annotations

import random

import pytest

from gossipnode.core.cluster.boots import BootVerdict
from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.node.identity.birth import birth_of
from gossipnode.node.identity.own_boot import BOOT_NOTE, OwnBoot, open_boot
from gossipnode.store.interface import LOST_COMMITS_NOTE
from gossipnode.store.memory import MemoryStore
from tests.node.support import memory_store

RNG = random.Random(1)
C = Identity("c", 3)


async def start(store: MemoryStore) -> OwnBoot:
    return await open_boot(store, await birth_of(store, RNG), RNG)


async def clear(boot: OwnBoot) -> None:
    boot.cleared = True
    await boot.note_cleared()


async def commit(store: MemoryStore, times: int) -> None:
    for _ in range(times):
        await store.keep_note("any", b"1")


async def test_starts_are_counted_and_each_has_a_nonce() -> None:
    store = memory_store()
    starts = [await start(store.reopen()) for _ in range(1)]
    store = memory_store()
    for number in (1, 2, 3):
        boot = await start(store)
        assert boot.mark is not None
        assert boot.mark.boot == number
        starts.append(boot)
        store = store.reopen()
    assert len({boot.mark.nonce for boot in starts if boot.mark is not None}) == 4


async def test_a_start_tells_the_commit_that_it_found_until_it_is_cleared() -> None:
    store = memory_store()
    await commit(store, 5)
    boot = await start(store)
    found = store.commit_number - 1  # the birth was drawn by this start
    await commit(store, 3)
    assert boot.mark is not None
    assert boot.mark.commit == found + 1
    boot.cleared = True
    assert boot.mark.commit == found + 1, "not before that is noted"
    await clear(boot)
    assert boot.mark.commit == store.commit_number


async def test_starts_that_were_not_cleared_do_not_make_up_for_what_was_lost() -> None:
    """What they commit nobody has heard of, so that it must not count as what others remember."""
    store = memory_store()
    await clear(await start(store))
    cleared = store.commit_number
    for _ in range(3):
        store = store.reopen()
        boot = await start(store)
        await commit(store, 10)
        assert boot.mark is not None
        assert boot.mark.commit == cleared
    store = store.reopen()
    boot = await start(store)
    await clear(boot)
    assert boot.mark is not None
    assert boot.mark.commit == cleared + 30


async def test_starting_alone_gives_no_commit_a_number() -> None:
    store = memory_store()
    await clear(await start(store))
    number = store.commit_number
    for _ in range(3):
        store = store.reopen()
        await clear(await start(store))
    assert store.commit_number == number


@pytest.mark.parametrize("note", [b"", b"x", b"3 4", b"-1 2 3", b"\xff 1 1", b"1 2 3 4"])
async def test_a_note_that_has_rotted_counts_as_none(note: bytes) -> None:
    store = memory_store()
    await start(store)
    await store.keep_note(BOOT_NOTE, note)
    boot = await start(store)
    assert boot.mark is not None
    assert boot.mark.boot == 1


async def test_a_start_that_cannot_be_noted_is_told_to_nobody() -> None:
    store = memory_store()
    await birth_of(store, RNG)
    store.set_full(True)
    boot = await start(store)
    if not boot.counted:
        assert boot.mark is None
        store.set_full(False)
        await boot.count()
    assert boot.mark is not None


async def test_a_store_that_is_made_anew_has_another_birth_and_is_heard_by_nobody() -> None:
    store = memory_store()
    await store.keep_note(LOST_COMMITS_NOTE, b"7")
    boot = await start(store)
    assert boot.lost_commits == 7
    boot.judged(C, BootVerdict.HEARD)
    boot.judged(C, BootVerdict.REWOUND)
    assert boot.refused == (BootVerdict.REWOUND, "c")
    before = boot.birth
    await boot.renew(RNG)
    assert boot.birth.takes_over
    assert boot.birth.number != before.number
    assert (boot.heard_by, boot.refused, boot.lost_commits) == (set(), None, 0)
    again = await start(store.reopen())
    assert again.birth == boot.birth, "it goes on after a restart"
    assert not again.lost_commits
    await again.took_over()


async def test_a_store_that_is_made_anew_tells_the_same_commit_after_a_restart() -> None:
    """Members that heard of it remember that commit, and a lower one would count as time that went back."""
    store = memory_store()
    await start(store)
    await commit(store, 5)
    store = store.reopen()
    boot = await start(store)
    await commit(store, 5)
    await boot.renew(RNG)
    assert boot.mark is not None
    told = boot.mark.commit
    again = await start(store.reopen())
    assert again.mark is not None
    assert again.mark.commit >= told


async def test_a_start_counts_for_nothing_at_first_and_notes_who_has_heard_of_it() -> None:
    boot = await start(memory_store())
    assert (boot.cleared, boot.noted, boot.lost_commits) == (False, False, 0)
    changed = boot.changed.pending
    boot.judged(C, BootVerdict.UNKNOWN)
    assert (boot.heard_by, changed.is_set()) == (set(), False)
    boot.judged(C, BootVerdict.HEARD)
    assert (boot.heard_by, changed.is_set()) == ({C}, True)
    again = boot.changed.pending
    boot.judged(C, BootVerdict.HEARD)
    assert not again.is_set(), "it says nothing new"


async def test_births_and_nonces_have_64_bits() -> None:
    class Ones(random.Random):
        def getrandbits(self, k: int, /) -> int:
            return (1 << k) - 1

    store = memory_store()
    birth = await birth_of(store, Ones())
    boot = await open_boot(store, birth, Ones())
    assert boot.mark is not None
    assert birth.number == boot.mark.nonce == 2**64 - 1
