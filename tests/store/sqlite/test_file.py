"""Opening: the lock, foreign and damaged files, newer schemas, and what --reseed does."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import trio

from gossipnode.core.model.property import Entity
from gossipnode.store.interface import (
    Store,
    StoreClosedError,
    StoreDamagedError,
    StoreLockedError,
    StoreTooNewError,
)
from gossipnode.store.sqlite.sqlite_store import open_sqlite_store
from gossipnode.store.verify.check_store import verify_store
from tests.store.support import (
    SHARD,
    SqliteHandle,
    find_all,
    leaf_digest,
    make_record,
    placed,
    scan_all,
    tagged,
)

RECORDS = [make_record(str(number), payload=b"p" * 2000) for number in range(100)]


async def _fill(handle: SqliteHandle) -> Path:
    await handle.store.write(placed(*RECORDS))
    await handle.close()
    return handle.directory / "store.db"


def _damage(path: Path) -> None:
    """Overwrite the middle third of the pages."""
    content = bytearray(path.read_bytes())
    start, end = len(content) // 3, 2 * len(content) // 3
    content[start:end] = b"\xa5" * (end - start)
    path.write_bytes(content)


def _mark_unclean(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = 0 WHERE key = 'clean'")
        connection.commit()


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


async def test_a_newer_schema_is_refused_and_left_alone(sqlite: SqliteHandle) -> None:
    path = await _fill(sqlite)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1000")
    before = path.read_bytes()
    for reseed in (False, True):
        with pytest.raises(StoreTooNewError, match="1000"):
            await sqlite.open(reseed=reseed)
    assert path.read_bytes() == before


def _foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"not a database at all, but long enough to look at" * 100),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.with_name("store.db-wal").write_bytes(path.read_bytes()) and path.unlink(),
        _foreign,
        lambda path: (_mark_unclean(path), _damage(path)),
    ],
    ids=["garbage", "empty", "truncated", "log-only", "foreign", "damaged"],
)
async def test_a_spoilt_file_is_refused_then_moved_aside(sqlite: SqliteHandle, spoil) -> None:
    path = await _fill(sqlite)
    spoil(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(StoreDamagedError, match=r"store\.db.*--reseed"):
        await sqlite.open()
    assert (path.read_bytes() if path.exists() else None) == before
    await sqlite.open(reseed=True)
    aside = sqlite.sqlite.moved_aside
    assert aside == path.with_name("store.db.damaged-1")
    if before is not None:
        assert aside.read_bytes() == before
    assert await scan_all(sqlite.store) == []
    await sqlite.store.write(placed(*RECORDS))
    await sqlite.restart()
    assert len(await scan_all(sqlite.store)) == 100
    assert sqlite.sqlite.moved_aside is None


async def test_damaged_files_never_overwrite_each_other(sqlite: SqliteHandle) -> None:
    path = await _fill(sqlite)
    for number in (1, 2):
        path.write_bytes(b"garbage %d" % number)
        await sqlite.open(reseed=True)
        await sqlite.close()
        assert path.with_name(f"store.db.damaged-{number}").read_bytes() == b"garbage %d" % number


async def test_reseed_keeps_a_sound_file(sqlite: SqliteHandle) -> None:
    await _fill(sqlite)
    await sqlite.open(reseed=True)
    assert sqlite.sqlite.moved_aside is None
    assert len(await scan_all(sqlite.store)) == 100


async def test_a_half_made_file_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "store.db.new").write_bytes(b"half")
    (tmp_path / "store.db.new-journal").write_bytes(b"half")
    async with open_sqlite_store(tmp_path, leaf_digest=leaf_digest, dialect="d") as store:
        await store.write(placed(make_record()))
    assert sorted(os.listdir(tmp_path)) == ["store.db", "store.lock"]


async def test_damage_met_while_running_ends_the_store(sqlite: SqliteHandle) -> None:
    path = await _fill(sqlite)
    _damage(path)
    # Stopped cleanly, so the pages are not checked.
    await sqlite.open()
    with pytest.raises(StoreDamagedError, match="--reseed"):
        await scan_all(sqlite.store)
    assert isinstance(await sqlite.sqlite.wait_failed(), StoreDamagedError)
    with pytest.raises(StoreClosedError, match="malformed"):
        await sqlite.store.write(placed(make_record()))
    with pytest.raises(StoreClosedError):
        await scan_all(sqlite.store)
    await sqlite.close()
    with pytest.raises(StoreDamagedError):
        await sqlite.open()


def _rot(path: Path) -> None:
    """Change a payload behind SQLite's back, with the digests that it had still to be computed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE payload SET bytes = zeroblob(20) WHERE rid = 7")
        connection.execute("UPDATE leaf SET sha = NULL")
        connection.execute("UPDATE slot SET sha = NULL, unhashed = records + tombstones")


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
    path = await _fill(sqlite)
    await sqlite.open()
    keys = [record.entity for record in await scan_all(sqlite.store)]
    await sqlite.close()
    _rot(path)
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


async def test_damage_met_while_starting_leaves_nothing_open(sqlite: SqliteHandle) -> None:
    path = await _fill(sqlite)
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'payload'"
        (page,) = connection.execute(query).fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(StoreDamagedError, match="--reseed"):
            await sqlite.open()
    await sqlite.open(reseed=True)
    assert sqlite.sqlite.moved_aside is not None


async def test_damage_met_by_a_write_ends_the_store(sqlite: SqliteHandle) -> None:
    path = await _fill(sqlite)
    _damage(path)
    await sqlite.open()
    newer = [make_record(record.entity.id, revision=2) for record in RECORDS]
    with pytest.raises(StoreClosedError, match="malformed"):
        await sqlite.store.write(placed(*newer))
    assert isinstance(await sqlite.sqlite.wait_failed(), StoreDamagedError)


async def test_a_clean_stop_is_not_checked_and_an_unclean_one_is(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[str] = []
    monkeypatch.setattr(
        "gossipnode.store.sqlite.file._check_pages", lambda _connection, _path, check: checks.append(check)
    )
    await _fill(sqlite)
    await sqlite.open()
    assert checks == []
    await sqlite.store.write(placed(make_record("another")))
    await sqlite.crash()
    assert checks == ["quick_check"]
    await sqlite.restart()
    assert checks == ["quick_check"]
    assert len(await scan_all(sqlite.store, SHARD)) == 101
