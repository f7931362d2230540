"""The offline check finds every kind of wrong row, and nothing in a sound store."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import structlog.testing

from gossipnode.core.model.property import ShardId
from gossipnode.store.interface import StoreDamagedError
from gossipnode.store.verify.check_store import verify_store
from tests.store.sqlite.files import damage_pages, fill_file
from tests.store.support import (
    OTHER_SHARD,
    SHARD,
    SqliteHandle,
    copy_live_files,
    leaf_digest,
    make_record,
    placed,
    rebuilt,
)

RECORDS = [make_record(str(number), deleted=number % 3, payload=b"%d" % number) for number in range(40)]


async def _store(handle: SqliteHandle, *, hashed: bool = True) -> Path:
    await handle.store.write(placed(*RECORDS))
    await handle.store.write(placed(*RECORDS[:5], shard=OTHER_SHARD))
    if hashed:
        await handle.store.tree(SHARD)
    await handle.close()
    return handle.directory


async def test_a_sound_store(sqlite: SqliteHandle) -> None:
    directory = await _store(sqlite)
    before = (directory / "store.db").read_bytes()
    asked: list[str] = []
    progress: list[tuple[int, int]] = []

    def digest_for(dialect: str):
        asked.append(dialect)
        return leaf_digest

    summary = verify_store(directory, digest_for, progress=lambda done, total: progress.append((done, total)))
    alive = sum(not record.deleted for record in RECORDS) + sum(not record.deleted for record in RECORDS[:5])
    assert (summary.records, summary.tombstones) == (alive, 45 - alive)
    assert summary.wrong == ()
    assert summary.wrong_count == 0
    assert summary.roots == (
        (SHARD, rebuilt(RECORDS).root),
        (OTHER_SHARD, rebuilt(RECORDS[:5]).root),
    )
    assert asked == ["leaf_digest"]
    assert progress[-1] == (45, 45)
    assert (directory / "store.db").read_bytes() == before
    await sqlite.open()


async def test_missing_digests_are_not_wrong(sqlite: SqliteHandle) -> None:
    directory = await _store(sqlite, hashed=False)
    assert verify_store(directory, lambda _: leaf_digest).wrong_count == 0


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        ("UPDATE payload SET bytes = x'00' WHERE rid = 7", "sw/name/.*: payload differs from its digest"),
        ("DELETE FROM payload WHERE rid = 7", "payload is missing"),
        ("UPDATE leaf SET sha = zeroblob(64) WHERE rid = 7", "kept leaf digest differs"),
        ("UPDATE leaf SET delete_time = delete_time + 5 WHERE rid = 7", "kept leaf digest differs"),
        ("UPDATE leaf SET mod_revision = -1 WHERE rid = 7", "mod_revision -1"),
        ("UPDATE slot SET records = records + 1 WHERE rowid_of", "counters are"),
        ("UPDATE slot SET unhashed = 9 WHERE rowid_of", "counters are"),
        ("UPDATE slot SET sha = zeroblob(64) WHERE rowid_of", "kept digest differs"),
        ("DELETE FROM slot WHERE rowid_of", "counters are"),
        ("UPDATE leaf SET slot = (slot + 1) % 32 WHERE rid = 7", "does not belong"),
        ("UPDATE leaf SET entity = x'ff' WHERE rid = 7", "no key"),
        ("DELETE FROM leaf WHERE rid = 7", "more payloads than leaves"),
        ("DELETE FROM shard WHERE sid = 2", "leaves of no shard"),
    ],
)
async def test_a_wrong_row_is_found(sqlite: SqliteHandle, spoil: str, finding: str) -> None:
    directory = await _store(sqlite)
    with closing(sqlite3.connect(directory / "store.db")) as connection:
        connection.execute(
            spoil.replace("rowid_of", "sid = 1 AND slot = (SELECT min(slot) FROM slot WHERE sid = 1)")
        )
        connection.commit()
    summary = verify_store(directory, lambda _: leaf_digest)
    assert summary.wrong_count >= 1
    assert any(re.search(finding, line) for line in summary.wrong), summary.wrong


async def test_every_incarnation_is_checked_and_counted(sqlite: SqliteHandle) -> None:
    again = ShardId("sw", 0, 5)
    await sqlite.store.write(placed(*RECORDS[:3], shard=again))
    await sqlite.store.write(placed(*RECORDS[:7]))
    await sqlite.close()
    summary = verify_store(sqlite.directory, lambda _: leaf_digest)
    assert summary.wrong == ()
    assert (summary.records, summary.tombstones) == (1 + 3, 2 + 4)
    assert dict(summary.roots) == {again: rebuilt(RECORDS[:3]).root, SHARD: rebuilt(RECORDS[:7]).root}
    with closing(sqlite3.connect(sqlite.directory / "store.db")) as connection:
        connection.execute("UPDATE payload SET bytes = x'00' WHERE rid = 9")
        connection.commit()
    summary = verify_store(sqlite.directory, lambda _: leaf_digest)
    assert "payload differs from its digest" in summary.wrong[0]


async def test_only_some_findings_are_kept(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = await _store(sqlite)
    monkeypatch.setattr("gossipnode.store.verify.check_store.FINDINGS_KEPT", 4)
    summary = verify_store(directory, lambda _: lambda payload, delete_time: bytes(64))
    assert len(summary.wrong) == 4
    assert summary.wrong_count >= 40


def test_a_directory_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreDamagedError, match="no store"):
        verify_store(tmp_path, lambda _: leaf_digest)
    assert list(tmp_path.iterdir()) == []


async def test_a_broken_file(sqlite: SqliteHandle) -> None:
    directory = await _store(sqlite)
    (directory / "store.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreDamagedError):
        verify_store(directory, lambda _: leaf_digest)


async def test_broken_pages(sqlite: SqliteHandle) -> None:
    path = await fill_file(sqlite)
    damage_pages(path)
    with pytest.raises(StoreDamagedError, match=r"store\.db is damaged"):
        verify_store(sqlite.directory, lambda _: leaf_digest)


async def test_a_payload_that_cannot_be_read(sqlite: SqliteHandle) -> None:
    directory = await _store(sqlite, hashed=False)

    def unreadable(payload: bytes, _delete_time: int) -> bytes:
        if payload == b"7":
            raise ValueError("a tag without a name")
        return leaf_digest(payload, _delete_time)

    summary = verify_store(directory, lambda _: unreadable)
    assert summary.wrong == ("sw/name/7: payload cannot be read: a tag without a name",)


async def test_progress_is_told_now_and_then(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = await _store(sqlite)
    monkeypatch.setattr("gossipnode.store.verify.check_store.PROGRESS_RECORDS", 20)
    told: list[tuple[int, int]] = []
    verify_store(directory, lambda _: leaf_digest, progress=lambda done, total: told.append((done, total)))
    assert told == [(20, 45), (40, 45), (45, 45)]


async def test_commits_lost_in_a_rotten_log_are_told(sqlite: SqliteHandle) -> None:
    for number in range(20):
        await sqlite.store.write(placed(make_record(str(number))))
    copy = sqlite.directory.parent / "copy"
    copy_live_files(sqlite.directory, copy)
    await sqlite.close()
    assert verify_store(copy, lambda _: leaf_digest).wrong == ()
    log = copy / "store.db-wal"
    content = bytearray(log.read_bytes())
    content[len(content) // 4] ^= 1
    log.write_bytes(content)
    (finding,) = verify_store(copy, lambda _: leaf_digest).wrong
    assert re.fullmatch(r"the log is damaged: 1\d commits after the damage are lost", finding)
    sqlite.directory = copy
    with structlog.testing.capture_logs() as logs:
        await sqlite.open()
    (told,) = [log for log in logs if "log of the store is damaged" in log["event"]]
    assert told["commits"] >= 10


async def test_one_commit_that_was_cut_off_is_no_damage(sqlite: SqliteHandle) -> None:
    for number in range(20):
        await sqlite.store.write(placed(make_record(str(number))))
    copy = sqlite.directory.parent / "copy"
    copy_live_files(sqlite.directory, copy)
    log = copy / "store.db-wal"
    content = bytearray(log.read_bytes())
    content[-1] ^= 1
    log.write_bytes(content)
    assert verify_store(copy, lambda _: leaf_digest).wrong == ()
