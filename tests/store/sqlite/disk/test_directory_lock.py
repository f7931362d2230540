"""A data directory belongs to one process at a time."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import trio

from gossipnode.store.interface import (
    StoreLockedError,
)
from gossipnode.store.sqlite.disk.directory_lock import LOCK_NAME, DirectoryLock
from gossipnode.store.sqlite.sqlite_store import open_sqlite_store
from gossipnode.store.verify.check_store import verify_store
from tests.store.support import (
    SqliteHandle,
    leaf_digest,
    make_record,
    placed,
)


async def test_a_second_node_is_refused(sqlite: SqliteHandle) -> None:
    with pytest.raises(StoreLockedError, match=f"{sqlite.directory}.*pid [0-9]+"):
        async with open_sqlite_store(sqlite.directory, leaf_digest=leaf_digest, dialect="d"):
            pass
    with pytest.raises(StoreLockedError):
        verify_store(sqlite.directory, lambda _: leaf_digest)
    await sqlite.store.write(placed(make_record()))


@pytest.mark.slow
async def test_another_process_is_refused(sqlite: SqliteHandle) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from gossipnode.store.sqlite.disk.directory_lock import DirectoryLock\n"
        "try: DirectoryLock(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__)"
    )
    command = [sys.executable, "-c", code, str(sqlite.directory)]
    ended = await trio.run_process(command, capture_stdout=True)
    assert ended.stdout.strip() == b"StoreLockedError"


async def test_a_removed_lock_file_lets_nobody_in(sqlite: SqliteHandle) -> None:
    (sqlite.directory / LOCK_NAME).unlink()
    with pytest.raises(StoreLockedError, match=r"pid unknown"):
        async with open_sqlite_store(sqlite.directory, leaf_digest=leaf_digest, dialect="d"):
            pass
    await sqlite.restart()
    await sqlite.store.write(placed(make_record()))


async def test_an_older_gossipnode_is_refused_too(sqlite: SqliteHandle) -> None:
    # It locks the file alone.
    with (sqlite.directory / LOCK_NAME).open("r+b") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _wait_for_end(end: Connection) -> None:
    end.send("forked")
    end.recv()


def test_a_forked_child_does_not_keep_the_lock(directory: Path) -> None:
    lock = DirectoryLock(directory)
    ours, childs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_wait_for_end, args=(childs,))
    child.start()
    try:
        assert ours.recv() == "forked"
        with pytest.raises(StoreLockedError, match=f"pid {os.getpid()}\\)"):
            DirectoryLock(directory)
        lock.release()
        DirectoryLock(directory).release()
    finally:
        ours.send("end")
        child.join()


def test_a_pid_of_no_process_is_not_named(directory: Path) -> None:
    lock = DirectoryLock(directory)
    (directory / LOCK_NAME).write_text("4194305\n")
    with pytest.raises(StoreLockedError, match="pid unknown"):
        DirectoryLock(directory)
    lock.release()
