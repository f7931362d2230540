"""A store's file is filled and then damaged, in ways that SQLite notices and in ways that it does not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.store.support import (
    SqliteHandle,
    make_record,
    placed,
)

FILE_RECORDS = [make_record(str(number), payload=b"p" * 2000) for number in range(100)]


async def fill_file(handle: SqliteHandle) -> Path:
    await handle.store.write(placed(*FILE_RECORDS))
    await handle.close()
    return handle.directory / "store.db"


def damage_pages(path: Path) -> None:
    """Overwrite the middle third of the pages."""
    content = bytearray(path.read_bytes())
    start, end = len(content) // 3, 2 * len(content) // 3
    content[start:end] = b"\xa5" * (end - start)
    path.write_bytes(content)


def mark_unclean(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = 0 WHERE key = 'clean'")
        connection.commit()


def foreign_file(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")


def rot_payload(path: Path) -> None:
    """Change a payload, and remove all digests, so that they are computed from the payloads again."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE payload SET bytes = zeroblob(20) WHERE rid = 7")
        connection.execute("UPDATE leaf SET sha = NULL")
        connection.execute("UPDATE slot SET sha = NULL, unhashed = records + tombstones")
