"""Imports at a node alone: a batch is checked as a whole before anything is written, and leaves no lock."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.model.limits import PEER_STAMP_MAX_NANOSECONDS, PROPERTY_MAX_BYTES
from gossipnode.node.coordinate.bulk_writes import BadRecord, PreparedImport
from gossipnode.node.refusals.request_errors import TooFewReplicasError
from gossipnode.store.interface import StoreClosedError
from tests.node.coordinate.bulk.imports import create_revision, import_all, items
from tests.node.support import NOW, SECOND, Start, all_records, memory_store, put, stored, tags_of
from tests.records import entity, prop, record


async def test_an_import_replaces_what_is_there(start: Start) -> None:
    alone = await start(groups={"sw": 3})
    await alone.coordinator.apply(prop("n/1", old=1), replace=False)
    assert await import_all(alone, items(*(prop(f"n/{i}", new=i) for i in range(10)))) == 10
    assert tags_of(await stored(alone.local, "n/1")) == {"new": 1}
    assert len(await all_records(alone.local)) == 10


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (prop("n/2", "other"), "metadata.group: 'other'"),
        (b"\xff", "property"),
        (prop("n/"), "id is empty"),
        (prop("n/2", big="x" * (1 << 20)), "over 1048576"),
        # It is within the limit as it comes, and over the limit with its stamps.
        (prop("n/2", big="x" * (PROPERTY_MAX_BYTES - 40)), "over 1048576"),
    ],
)
async def test_a_bad_record_refuses_its_whole_batch(start: Start, bad: bytes, problem: str) -> None:
    alone = await start()
    found = await import_all(alone, items(prop("n/1"), bad, prop("n/3")))
    assert isinstance(found, BadRecord)
    assert found.position == 1
    assert problem in found.problem
    assert await all_records(alone.local) == {}
    assert not alone.steps.locks.held


async def test_a_deleted_record_needs_keep_versions(start: Start) -> None:
    alone = await start()
    found = await import_all(alone, items(prop("n/1"), delete_time=NOW))
    assert isinstance(found, BadRecord)
    assert "--keep-versions" in found.problem


async def test_of_a_record_twice_in_a_batch_the_last_counts(start: Start) -> None:
    alone = await start()
    batch = items(prop("n/1", a=1), prop("n/2", b=1), prop("n/1", a=2))
    assert await import_all(alone, batch) == 3
    assert tags_of(await stored(alone.local, "n/1")) == {"a": 2}
    assert len(await all_records(alone.local)) == 2


async def test_an_import_overtaken_by_a_peers_newer_version_is_written_all_the_same(start: Start) -> None:
    """The import was read before the peer's record came. It is acknowledged, so it must not be lost."""
    alone = await start()
    prepared = await alone.bulk.prepare_import(
        "sw", items(prop("n/1", mine=1), prop("n/2", mine=2)), keep_versions=False
    )
    assert isinstance(prepared, PreparedImport)
    await put(alone.local, record("n/1", k="peer", revision=NOW + 60 * SECOND))
    assert await prepared.commit() == 2
    prepared.release()
    held = await stored(alone.local, "n/1")
    assert tags_of(held) == {"mine": 1}
    assert held is not None
    assert held.version.mod_revision > NOW + 60 * SECOND
    assert create_revision(held.payload) == 1
    assert tags_of(await stored(alone.local, "n/2")) == {"mine": 2}


async def test_keep_versions_lets_the_newer_version_win(start: Start) -> None:
    alone = await start()
    await put(
        alone.local,
        record("n/older-comes", k="held", revision=5),
        record("n/newer-comes", k="held", revision=5),
    )
    given_ = [record("n/older-comes", k="in", revision=4), record("n/newer-comes", k="in", revision=6)]
    deleted = record("n/dead", revision=7, delete_time=8)
    batch = items(*(one.payload for one in given_)) + items(deleted.payload, delete_time=8)
    assert await import_all(alone, batch, keep_versions=True) == 3
    found = await all_records(alone.local)
    assert tags_of(found["n/older-comes"]) == {"k": "held"}
    assert found["n/newer-comes"].version == given_[1].version
    assert found["n/dead"] == deleted


@pytest.mark.parametrize("field", ["mod_revision", "delete_time"])
async def test_keep_versions_keeps_stamps_from_the_future(start: Start, field: str) -> None:
    """They are those of a cluster whose clock was ahead. Ours stays, and later writes win all the same."""
    alone = await start()
    stamps = (NOW + 3600 * SECOND, PEER_STAMP_MAX_NANOSECONDS, PEER_STAMP_MAX_NANOSECONDS + 1)
    for number, stamp in enumerate(stamps):
        one = record(f"n/{number}", revision=stamp if field == "mod_revision" else 1)
        batch = items(one.payload, delete_time=stamp if field == "delete_time" else 0)
        found = await import_all(alone, batch, keep_versions=True)
        if stamp <= PEER_STAMP_MAX_NANOSECONDS:
            assert found == 1
        else:
            assert isinstance(found, BadRecord)
            assert f"{field}: {stamp} leaves no room for a later version" in found.problem
    assert len(await all_records(alone.local)) == 2
    assert alone.local.clock.last <= NOW
    for number, stamp in enumerate(stamps[:2]):
        await alone.coordinator.apply(prop(f"n/{number}", later=1), replace=True)
        kept = await stored(alone.local, f"n/{number}")
        assert tags_of(kept) == {"later": 1}
        assert kept is not None
        assert kept.version.mod_revision > stamp
    assert alone.local.clock.last < NOW + 3600 * SECOND


async def test_nothing_is_written_before_the_commit_and_others_wait_for_it(
    start: Start, autojump_clock: object
) -> None:
    alone = await start()
    prepared = await alone.bulk.prepare_import("sw", items(prop("n/1", a=1)), keep_versions=False)
    assert isinstance(prepared, PreparedImport)
    assert await all_records(alone.local) == {}
    with trio.move_on_after(5) as scope:
        await alone.coordinator.apply(prop("n/1", b=1), replace=False)
    assert scope.cancelled_caught
    await prepared.commit()
    prepared.release()
    await alone.coordinator.apply(prop("n/1", b=1), replace=False)
    assert tags_of(await stored(alone.local, "n/1")) == {"a": 1, "b": 1}
    assert not alone.steps.locks.held


async def test_a_store_that_fails_while_a_batch_is_written_keeps_no_lock(start: Start) -> None:
    store = memory_store()
    alone = await start(store)
    store.crash()
    with pytest.raises((StoreClosedError, TooFewReplicasError), match="the store has crashed"):
        await import_all(alone, items(prop("n/1")))
    assert not alone.steps.locks.held


async def test_a_cancelled_preparation_keeps_no_lock(start: Start, autojump_clock: object) -> None:
    alone = await start()
    async with alone.steps.locks.hold((entity("n/2"),)):
        with trio.move_on_after(1):
            await alone.bulk.prepare_import("sw", items(prop("n/1"), prop("n/2")), keep_versions=False)
        assert set(alone.steps.locks.held) == {entity("n/2")}


async def test_a_large_batch_lets_others_have_their_turn(start: Start) -> None:
    alone = await start()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await import_all(alone, items(*(prop(f"n/{i}") for i in range(1024))))
        nursery.cancel_scope.cancel()
    assert turns > 20
