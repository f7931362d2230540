"""Rot is recognised on every way by which a row leaves the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest

from gossipnode.core.model.property import Entity
from gossipnode.store.interface import (
    Store,
    StoreDamagedError,
)
from tests.store.sqlite.files import fill_file, rot_payload
from tests.store.support import (
    SHARD,
    SqliteHandle,
    find_all,
    placed,
    scan_all,
    tagged,
)


async def _meet(store: Store, way: str, keys: Sequence[Entity]) -> None:
    match way:
        case "tree":
            await store.tree(SHARD)
        case "fill_digests":
            await store.fill_digests(limit=1000)
        case "leaves":
            for slot in range(32):
                await store.leaves(SHARD, slot, limit=1000)
        case "scan":
            await scan_all(store)
        case "find":
            await find_all(store, "n")
        case _:
            await store.read(SHARD, keys)


@pytest.mark.parametrize("way", ["tree", "fill_digests", "leaves", "scan", "read"])
async def test_a_rotten_payload_never_leaves_the_store(sqlite: SqliteHandle, way: str) -> None:
    path = await fill_file(sqlite)
    await sqlite.open()
    keys = [record.entity for record in await scan_all(sqlite.store)]
    await sqlite.close()
    rot_payload(path)
    await sqlite.open()
    with pytest.raises(StoreDamagedError, match=r"not what was written.*--reseed"):
        await _meet(sqlite.store, way, keys)
    assert isinstance(await sqlite.sqlite.wait_failed(), StoreDamagedError)
    await sqlite.close()
    await sqlite.open(reseed=True)
    assert sqlite.sqlite.moved_aside is not None


@pytest.mark.parametrize("way", ["leaves", "scan", "find"])
async def test_a_rotten_key_ends_the_store(sqlite: SqliteHandle, way: str) -> None:
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.write(placed(tagged(n=1)))
    await sqlite.close()
    with closing(sqlite3.connect(sqlite.directory / "store.db", isolation_level=None)) as connection:
        connection.execute("UPDATE tag_row SET entity = x'6100'")
        connection.execute("UPDATE leaf SET entity = x'6100'")
    await sqlite.open()
    with pytest.raises(StoreDamagedError, match=r"is no key.*--reseed"):
        await _meet(sqlite.store, way, [])
    assert isinstance(await sqlite.sqlite.wait_failed(), StoreDamagedError)
