"""Power cuts and kill -9: what was acknowledged is there, and nothing that is there is wrong."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from gossipnode.store.sqlite import file
from gossipnode.store.sqlite.file import WAL_CHECKPOINT_PAGES, WAL_KEPT_BYTES
from gossipnode.store.verify.check_store import verify_store
from tests.records import bare_record
from tests.store.support import (
    OTHER_SHARD,
    SHARD,
    SqliteHandle,
    check_indexes,
    copy_live_files,
    index_rows,
    leaf_digest,
    placed,
    rebuilt,
    scan_all,
    tagged,
)


@pytest.mark.slow
async def test_a_power_cut_at_any_moment(sqlite: SqliteHandle, tmp_path: Path) -> None:
    acknowledged: dict[str, int] = {}
    copies: list[tuple[Path, dict[str, int]]] = []
    chance = random.Random(1)

    async def write(task: int) -> None:
        for revision in range(1, 25):
            identity = f"{task}-{chance.randrange(5)}"
            record = tagged(identity, revision=revision, n=revision, task=task, text="x" * 2000)
            await sqlite.store.write(placed(record))
            acknowledged[identity] = revision
            if chance.random() < 0.03:
                copy = tmp_path / f"cut-{len(copies)}"
                known = dict(acknowledged)
                # The writer's thread goes on meanwhile: the copy ends anywhere in a transaction.
                copy_live_files(sqlite.directory, copy)
                copies.append((copy, known))

    async def drop_again_and_again() -> None:
        for revision in range(4):
            batch = [tagged(str(each), revision=revision, n=each) for each in range(40)]
            await sqlite.store.want_index(OTHER_SHARD, "n")
            await sqlite.store.write(placed(*batch, shard=OTHER_SHARD))
            await sqlite.store.drop(OTHER_SHARD)

    await sqlite.store.want_index(SHARD, "n")
    async with trio.open_nursery() as nursery:
        for task in range(12):
            nursery.start_soon(write, task)
        nursery.start_soon(sqlite.store.tree, SHARD)
        nursery.start_soon(drop_again_and_again)
        await sqlite.store.want_index(SHARD, "task")
        while await sqlite.store.build_indexes(limit=3):
            pass
    assert copies
    for copy, known in copies:
        await _check_survivor(copy, known)


async def _check_survivor(directory: Path, acknowledged: dict[str, int]) -> None:
    summary = verify_store(directory, lambda _: leaf_digest, index_rows=index_rows)
    assert summary.wrong == ()
    handle = SqliteHandle(directory)
    await handle.open()
    try:
        found = await scan_all(handle.store, page=200)
        held = {record.entity.id: record.version.mod_revision for record in found}
        for identity, revision in acknowledged.items():
            assert held[identity] >= revision
        tree = await handle.store.tree(SHARD)
        assert tree == rebuilt(found)
        assert (SHARD, tree.root) in summary.roots
        assert {shard for shard, _ in summary.roots} <= {SHARD, OTHER_SHARD}
        assert (await handle.store.counts(SHARD)).records == len(found)
        while await handle.store.build_indexes(limit=1000):
            pass
        assert set(handle.store.indexes(SHARD)) == {"n", "task"}
        await check_indexes(handle.store)
    finally:
        await handle.close()


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 200, 1500])
async def test_kill_9_in_mid_write(tmp_path: Path, lines: int) -> None:
    acknowledged = await trio.to_thread.run_sync(_run_and_kill, tmp_path, lines)
    assert len(acknowledged) >= min(lines, 16)
    await _check_survivor(tmp_path, acknowledged)


def _run_and_kill(directory: Path, lines: int) -> dict[str, int]:
    """Kill the process once it has printed so many lines; returns what it had acknowledged."""
    acknowledged: dict[str, int] = {}
    command = [sys.executable, "-m", "tests.store.sqlite.writing_process", str(directory)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if number == lines:
                process.kill()
            # What was printed before the kill took effect counts too; the last line may be cut off.
            if line.endswith("\n"):
                identity, revision = line.split()
                acknowledged[identity] = max(acknowledged.get(identity, 0), int(revision))
    assert process.returncode == -signal.SIGKILL
    return acknowledged


async def test_commits_reach_the_disk(sqlite: SqliteHandle) -> None:
    # No test can cut the power; these settings are what survives it.
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
            placed(*(bare_record(f"name/{number}-{each}", bytes(2000)) for each in range(50)))
        )
        await sqlite.store.tree(SHARD)
        most = max(most, log.stat().st_size)
    # One commit's worth may come on top of the limit.
    assert most < 100 * 4096 * 3
    assert WAL_CHECKPOINT_PAGES * 4096 <= WAL_KEPT_BYTES
