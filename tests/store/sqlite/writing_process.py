"""Runs as a process of its own until killed: many tasks write, and print what was acknowledged.

Meanwhile the tree is asked for, an index is built, and another shard is filled and dropped over and over.
"""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

import trio

from gossipnode.store.sqlite.sqlite_store import SqliteStore, open_sqlite_store
from tests.store.support import OTHER_SHARD, SHARD, index_rows, leaf_digest, placed, tagged


async def write(store: SqliteStore, task: int) -> None:
    for number in count():
        # Every other write replaces a record of the task, so that both kinds are cut off.
        identity = f"{task}-{number if number % 2 else 0}"
        record = tagged(identity, revision=number + 1, n=number, task=[task, number % 3], text="x" * 1000)
        await store.write(placed(record), stamp=number)
        os.write(1, f"{identity} {number + 1}\n".encode())


async def drop_again_and_again(store: SqliteStore) -> None:
    for number in count():
        await store.want_index(OTHER_SHARD, "n")
        batch = [tagged(str(each), n=number) for each in range(600)]
        await store.write(placed(*batch, shard=OTHER_SHARD))
        await store.drop(OTHER_SHARD)


async def build(store: SqliteStore) -> None:
    while await store.build_indexes(limit=5):
        pass


async def main() -> None:
    async with (
        open_sqlite_store(
            Path(sys.argv[1]), leaf_digest=leaf_digest, dialect="leaf_digest", index_rows=index_rows
        ) as store,
        trio.open_nursery() as nursery,
    ):
        await store.want_index(SHARD, "n")
        await store.write(placed(*(tagged(f"early-{each}", n=each, task=0) for each in range(100))))
        await store.want_index(SHARD, "task")
        nursery.start_soon(drop_again_and_again, store)
        nursery.start_soon(build, store)
        for task in range(16):
            nursery.start_soon(write, store, task)
        while True:
            await store.tree(SHARD)


if __name__ == "__main__":
    trio.run(main)
