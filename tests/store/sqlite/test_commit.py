"""After a power cut or kill -9, what was acknowledged is there, and nothing that is there is wrong."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
import trio
import trio.testing

from gossipnode.store.interface import StoreClosedError
from gossipnode.store.sqlite import commit
from gossipnode.store.verify.check_store import verify_store
from tests.store.support import (
    OTHER_SHARD,
    SHARD,
    SqliteHandle,
    check_indexes,
    copy_live_files,
    index_rows,
    leaf_digest,
    make_record,
    placed,
    rebuilt,
    scan_all,
    tagged,
)


class PowerCuts:
    """Copies of the files as a power cut would leave them, each with what was acknowledged before."""

    def __init__(self, store: SqliteHandle, directory: Path) -> None:
        self.copies: list[tuple[Path, dict[str, int]]] = []
        self.acknowledged: dict[str, int] = {}
        self._store = store
        self._directory = directory
        self._numbers = count()

    def cut(self) -> None:
        known = dict(self.acknowledged)
        copy = self._directory / f"cut-{next(self._numbers)}"
        copy_live_files(self._store.directory, copy)
        self.copies.append((copy, known))

    def cut_between_statements(self, chance: float) -> None:
        """The writer's thread calls this before each statement, also in the midst of a transaction."""
        random_numbers = random.Random(2)

        def before(_statement: str) -> None:
            if random_numbers.random() < chance:
                self.cut()

        self._store.sqlite._file.writer.set_trace_callback(before)


@pytest.mark.slow
async def test_a_power_cut_at_any_moment(sqlite: SqliteHandle, directory: Path) -> None:
    cuts = PowerCuts(sqlite, directory)
    chance = random.Random(1)

    async def write(task: int) -> None:
        for revision in range(1, 25):
            identity = f"{task}-{chance.randrange(5)}"
            record = tagged(identity, revision=revision, n=revision, task=task, text="x" * 2000)
            await sqlite.store.write(placed(record), stamp=revision - 1)
            cuts.acknowledged[identity] = revision
            if chance.random() < 0.03:
                cuts.cut()

    async def drop_again_and_again() -> None:
        for revision in range(4):
            batch = [tagged(str(each), revision=revision, n=each) for each in range(40)]
            await sqlite.store.want_index(OTHER_SHARD, "n")
            await sqlite.store.write(placed(*batch, shard=OTHER_SHARD))
            await sqlite.store.drop(OTHER_SHARD)

    await sqlite.store.want_index(SHARD, "n")
    cuts.cut_between_statements(0.03)
    async with trio.open_nursery() as nursery:
        for task in range(12):
            nursery.start_soon(write, task)
        nursery.start_soon(sqlite.store.tree, SHARD)
        nursery.start_soon(drop_again_and_again)
        await sqlite.store.want_index(SHARD, "task")
        while await sqlite.store.build_indexes(limit=3):
            pass
    assert len(cuts.copies) > 5
    for copy, known in cuts.copies:
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
        # The stamp is kept in the transaction of its record. Here it is one less than the revision.
        assert await handle.store.last_stamp() >= max(held.values(), default=1) - 1
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
async def test_kill_9_in_mid_write(directory: Path, lines: int) -> None:
    acknowledged = await trio.to_thread.run_sync(_run_and_kill, directory, lines)
    assert len(acknowledged) >= min(lines, 16)
    await _check_survivor(directory, acknowledged)


def _run_and_kill(directory: Path, lines: int) -> dict[str, int]:
    """Kill the process once it has printed `lines` lines; returns what it had acknowledged."""
    acknowledged: dict[str, int] = {}
    command = [sys.executable, "-m", "tests.store.sqlite.writing_process", str(directory)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if number == lines:
                process.kill()
            # The process goes on printing until the kill takes effect. Its last line may be cut off.
            if line.endswith("\n"):
                identity, revision = line.split()
                acknowledged[identity] = max(acknowledged.get(identity, 0), int(revision))
    assert process.returncode == -signal.SIGKILL
    return acknowledged


async def test_a_row_of_another_writer_is_never_overwritten(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(make_record("1")))
    with closing(sqlite3.connect(sqlite.directory / "store.db", isolation_level=None)) as intruder:
        intruder.execute("INSERT INTO payload (rid, bytes) VALUES (2, x'07'), (3, x'08')")
    await sqlite.store.write(placed(make_record("2"), make_record("3")))
    reader = sqlite.sqlite._file.reader
    others = reader.execute("SELECT bytes FROM payload WHERE rid IN (2, 3)").fetchall()
    assert others == [(b"\7",), (b"\x08",)]
    assert await scan_all(sqlite.store) == [make_record("1"), make_record("2"), make_record("3")]


async def test_a_new_payload_takes_the_place_of_none(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite.store.write(placed(make_record("1")))
    monkeypatch.setattr(commit, "last_rid", lambda _: 0)
    with pytest.raises(StoreClosedError, match="UNIQUE"):
        await sqlite.store.write(placed(make_record("2", payload=b"other")))
    await sqlite.close()
    await sqlite.open()
    assert await scan_all(sqlite.store) == [make_record("1")]
