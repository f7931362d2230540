"""A store belongs to the node that it was made for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossipnode.node.identity.owner import OWNER_NOTE, take_store
from gossipnode.store.interface import OtherNodeError, StoreFullError
from gossipnode.store.memory import MemoryStore
from gossipnode.store.sqlite.sqlite_store import open_sqlite_store

DIRECTORY = Path("data/a")


def no_digest(_payload: bytes, _delete_time: int) -> bytes:
    return bytes(64)


def empty_store() -> MemoryStore:
    return MemoryStore(leaf_digest=no_digest)


async def test_a_store_stays_with_its_node() -> None:
    store = empty_store()
    await take_store(store, "a", DIRECTORY)
    kept = await store.note(OWNER_NOTE)
    await take_store(store.reopen(), "a", DIRECTORY)
    with pytest.raises(OtherNodeError) as raised:
        await take_store(store, "zz", DIRECTORY)
    said = str(raised.value)
    assert said.startswith("data/a belongs to node 'a', and this one is 'zz':")
    assert "empty data directory" in said
    assert "\n" not in said
    assert await store.note(OWNER_NOTE) == kept


async def test_a_name_may_be_anything_that_a_node_may_be_called() -> None:
    for name in ("127.0.0.1:7400", "[::1]:7400", "x" * 255, "~!@#$"):
        store = empty_store()
        await take_store(store, name, DIRECTORY)
        await take_store(store, name, DIRECTORY)
        with pytest.raises(OtherNodeError):
            await take_store(store, "other", DIRECTORY)


async def test_the_store_of_an_earlier_version_gets_the_name_of_the_node_that_starts() -> None:
    store = empty_store()
    await store.keep_note("birth", b"1")
    await take_store(store, "a", DIRECTORY)
    with pytest.raises(OtherNodeError):
        await take_store(store, "b", DIRECTORY)


async def test_a_note_that_has_rotted_keeps_no_node_from_its_store() -> None:
    store = empty_store()
    await take_store(store, "node-a", DIRECTORY)
    kept = await store.note(OWNER_NOTE)
    assert kept is not None
    for bit in range(8 * len(kept)):
        rotten = bytearray(kept)
        rotten[bit // 8] ^= 1 << bit % 8
        await store.keep_note(OWNER_NOTE, bytes(rotten))
        await take_store(store, "node-a", DIRECTORY)
        assert await store.note(OWNER_NOTE) == kept
    for rotten_note in (b"", b" ", b"node-a", b"\xff\xfe"):
        await store.keep_note(OWNER_NOTE, rotten_note)
        await take_store(store, "node-a", DIRECTORY)


class FullStore(MemoryStore):
    """A store of an earlier version on a full disk."""

    async def keep_note(self, key: str, value: bytes | None) -> None:
        raise StoreFullError("full")


async def test_a_full_disk_keeps_no_node_from_starting() -> None:
    store = FullStore(leaf_digest=no_digest)
    await take_store(store, "a", DIRECTORY)
    assert await store.note(OWNER_NOTE) is None


async def test_a_store_on_disk(tmp_path: Path) -> None:
    for name, refused in (("a", False), ("b", True), ("a", False)):
        async with open_sqlite_store(tmp_path, leaf_digest=no_digest, dialect="none") as store:
            if refused:
                with pytest.raises(OtherNodeError):
                    await take_store(store, name, tmp_path)
            else:
                await take_store(store, name, tmp_path)
