"""A data directory belongs to one process at a time."""

from __future__ import annotations

import sys

import pytest
import trio

from gossipnode.store.interface import (
    StoreLockedError,
)
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
        "from gossipnode.store.sqlite.directory_lock import DirectoryLock\n"
        "try: DirectoryLock(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__)"
    )
    command = [sys.executable, "-c", code, str(sqlite.directory)]
    ended = await trio.run_process(command, capture_stdout=True)
    assert ended.stdout.strip() == b"StoreLockedError"
