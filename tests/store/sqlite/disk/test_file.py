"""Opening new, foreign and damaged files, what --reseed does, and how the file is written."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gossipnode.store.interface import (
    LOST_COMMITS_NOTE,
    StoreDamagedError,
    StoreError,
)
from gossipnode.store.sqlite.disk import file
from gossipnode.store.sqlite.disk.file import WAL_CHECKPOINT_PAGES, WAL_KEPT_BYTES
from gossipnode.store.sqlite.disk.log_rot import LOST_COMMITS_MIN
from gossipnode.store.sqlite.sqlite_store import open_sqlite_store
from tests.store.sqlite.files import FILE_RECORDS, damage_pages, fill_file, foreign_file, mark_unclean
from tests.store.support import (
    SHARD,
    SqliteHandle,
    copy_live_files,
    leaf_digest,
    make_record,
    placed,
    scan_all,
)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"not a database at all, but long enough to look at" * 100),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.with_name("store.db-wal").write_bytes(path.read_bytes()) and path.unlink(),
        foreign_file,
        lambda path: (mark_unclean(path), damage_pages(path)),
    ],
    ids=["garbage", "empty", "truncated", "log-only", "foreign", "damaged"],
)
async def test_a_spoilt_file_is_refused_then_moved_aside(sqlite: SqliteHandle, spoil) -> None:
    path = await fill_file(sqlite)
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
    await sqlite.store.write(placed(*FILE_RECORDS))
    await sqlite.restart()
    assert len(await scan_all(sqlite.store)) == 100
    assert sqlite.sqlite.moved_aside is None


async def test_damaged_files_never_overwrite_each_other(sqlite: SqliteHandle) -> None:
    path = await fill_file(sqlite)
    for number in (1, 2):
        path.write_bytes(b"garbage %d" % number)
        await sqlite.open(reseed=True)
        await sqlite.close()
        assert path.with_name(f"store.db.damaged-{number}").read_bytes() == b"garbage %d" % number


async def test_reseed_keeps_a_sound_file(sqlite: SqliteHandle) -> None:
    await fill_file(sqlite)
    await sqlite.open(reseed=True)
    assert sqlite.sqlite.moved_aside is None
    assert len(await scan_all(sqlite.store)) == 100


async def test_a_half_made_file_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "store.db.new").write_bytes(b"half")
    (tmp_path / "store.db.new-journal").write_bytes(b"half")
    async with open_sqlite_store(tmp_path, leaf_digest=leaf_digest, dialect="d") as store:
        await store.write(placed(make_record()))
    assert sorted(os.listdir(tmp_path)) == ["store.db", "store.lock", "store.reserve"]


async def test_damage_met_while_starting_leaves_nothing_open(sqlite: SqliteHandle) -> None:
    path = await fill_file(sqlite)
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


async def test_a_clean_stop_is_not_checked_and_an_unclean_one_is(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[str] = []
    monkeypatch.setattr(
        "gossipnode.store.sqlite.disk.file._check_pages",
        lambda _connection, _path, check: checks.append(check),
    )
    await fill_file(sqlite)
    await sqlite.open()
    assert checks == []
    await sqlite.store.write(placed(make_record("another")))
    await sqlite.crash()
    assert checks == ["quick_check"]
    await sqlite.restart()
    assert checks == ["quick_check"]
    assert len(await scan_all(sqlite.store, SHARD)) == 101


async def test_commits_reach_the_disk(sqlite: SqliteHandle) -> None:
    # No test can cut the power. These are the settings with which SQLite survives it.
    writer = sqlite.sqlite._file.writer
    full = 2
    assert writer.execute("PRAGMA synchronous").fetchone() == (full,)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.slow
async def test_the_log_stays_bounded(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    await sqlite.close()
    monkeypatch.setattr(file, "WAL_CHECKPOINT_PAGES", 100)
    await sqlite.open()
    log = sqlite.directory / "store.db-wal"
    most = 0
    for number in range(60):
        await sqlite.store.write(
            placed(*(make_record(f"{number}-{each}", payload=bytes(2000)) for each in range(50)))
        )
        await sqlite.store.tree(SHARD)
        most = max(most, log.stat().st_size)
    # The log may exceed the limit by the pages of one commit.
    assert most < 100 * 4096 * 3
    assert WAL_CHECKPOINT_PAGES * 4096 <= WAL_KEPT_BYTES


async def test_one_connection_alone_writes_and_checkpoints(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite.close()
    statements: list[list[str]] = []
    connect = sqlite3.connect

    def traced(*arguments: object, **options: object) -> sqlite3.Connection:
        said: list[str] = []
        connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
        connection.set_trace_callback(said.append)
        statements.append(said)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    await sqlite.open()
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.write(placed(*FILE_RECORDS))
    await sqlite.store.tree(SHARD)
    assert len(await scan_all(sqlite.store)) == 100
    readers = [sqlite.sqlite._file.reader, sqlite.sqlite._file.snapshot]
    for reader in readers:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM leaf")
    await sqlite.store.drop(SHARD)
    await sqlite.close()
    changes = re.compile("INSERT|UPDATE|DELETE|CREATE|BEGIN IMMEDIATE|PRAGMA (wal_|journal_)", re.IGNORECASE)
    changed = [[each for each in said if changes.match(each)] for said in statements]
    assert [bool(said) for said in changed] == [True, True, True]
    # The readers have changed nothing: these are the attempts that this test has made.
    assert changed[1:] == [["DELETE FROM leaf"]] * 2


async def test_an_old_sqlite_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossipnode.store.sqlite.disk.file.OLDEST_SQLITE", (99, 0, 0))
    with pytest.raises(StoreError, match="too old"):
        async with open_sqlite_store(directory / "data", leaf_digest=leaf_digest, dialect="d"):
            pass
    assert not (directory / "data").exists()


async def test_what_an_earlier_log_left_is_no_damage(sqlite: SqliteHandle) -> None:
    for number in range(5):
        await sqlite.store.write(placed(make_record(str(number))))
    sqlite.sqlite._file.writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    await sqlite.store.write(placed(make_record("new")))
    assert file.lost_commits(sqlite.directory / "store.db") == 0


async def test_commits_that_a_rotten_log_has_lost_are_noted_for_the_node(sqlite: SqliteHandle) -> None:
    for number in range(10):
        await sqlite.store.write(placed(make_record(str(number))))
    number = sqlite.store.commit_number
    copy_live_files(sqlite.directory, sqlite.directory.parent / "rotten")
    await sqlite.close()
    sqlite.directory = sqlite.directory.parent / "rotten"
    log = sqlite.directory / "store.db-wal"
    content = bytearray(log.read_bytes())
    content[len(content) // 4] ^= 1
    log.write_bytes(content)
    await sqlite.open()
    assert sqlite.store.commit_number < number
    lost = await sqlite.store.note(LOST_COMMITS_NOTE)
    assert lost is not None
    assert int(lost) >= LOST_COMMITS_MIN
    await sqlite.crash()
    assert await sqlite.store.note(LOST_COMMITS_NOTE) == lost
