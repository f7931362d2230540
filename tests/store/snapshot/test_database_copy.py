"""A copy of the database of a running store is what the store was at one commit."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from gossipnode.store.interface import StoreError
from gossipnode.store.snapshot.database_copy import (
    check_has_store,
    copy_database,
    copy_facts,
    file_sha256,
)
from gossipnode.store.sqlite.disk.file import FILE_NAME
from gossipnode.store.verify.check_store import verify_store
from tests.store.snapshot.taking import nothing, take_snapshot
from tests.store.support import SHARD, SqliteHandle, leaf_digest, make_record, placed

RECORDS = 1000
LOOK_OFTEN = 1000


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[SqliteHandle]:
    handle = SqliteHandle(tmp_path / "data")
    await handle.open()
    records = [make_record(str(number), payload=bytes(300)) for number in range(RECORDS)]
    await handle.store.write(placed(*records), stamp=7)
    await handle.store.write(placed(make_record("gone", deleted=5)))
    await handle.store.keep_note("key", b"value")
    yield handle
    await handle.close()


@pytest.mark.slow
async def test_the_copy_has_what_one_commit_had_while_writes_go_on(
    running: SqliteHandle, tmp_path: Path
) -> None:
    before = running.store.commit_number
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def told(_done: int, _in_all: int) -> None:
        # The copy waits here until a write was acknowledged: they do not wait for each other.
        trio.from_thread.run(write_one, trio_token=token)

    async def write_one() -> None:
        if not begun.is_set():
            begun.set()
            await running.store.write(placed(make_record("meanwhile", payload=b"x")))

    target = tmp_path / "copy" / FILE_NAME
    target.parent.mkdir()
    copy = partial(copy_database, steps_between_looks=LOOK_OFTEN)
    await trio.to_thread.run_sync(copy, running.directory / FILE_NAME, target, told)
    assert begun.is_set()
    facts = copy_facts(target)
    assert (facts.records, facts.tombstones, facts.commit) == (RECORDS, 1, before)
    assert facts.last_stamp == 7
    assert facts.notes["key"] == b"value"
    assert (await running.store.counts(SHARD)).records == RECORDS + 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(target.parent) == [FILE_NAME]
    assert verify_store(target.parent, lambda _: leaf_digest).wrong == ()


@pytest.mark.slow
async def test_progress_and_an_end_from_within(running: SqliteHandle, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    copy = partial(copy_database, running.directory / FILE_NAME, steps_between_looks=LOOK_OFTEN)
    copy(tmp_path / "whole", lambda *step: seen.append(step))
    size = (tmp_path / "whole").stat().st_size
    assert seen
    assert all(done <= in_all for done, in_all in seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert abs(seen[0][1] - size) < size / 10

    def give_up(_done: int, _in_all: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        copy(tmp_path / "ended", give_up)
    await running.store.write(placed(make_record("after")))


async def test_a_store_of_which_no_copy_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no file"):
        check_has_store(tmp_path / FILE_NAME)
    (tmp_path / FILE_NAME).write_bytes(b"this is no database at all, and never was one" * 100)
    with pytest.raises(StoreError):
        copy_database(tmp_path / FILE_NAME, tmp_path / "copy", nothing)
    with pytest.raises(StoreError):
        copy_facts(tmp_path / FILE_NAME)


def test_a_checksum_as_other_programs_compute_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "file", nothing) == wanted


@pytest.mark.slow
async def test_a_snapshot_of_a_whole_store(running: SqliteHandle, tmp_path: Path) -> None:
    manifest = take_snapshot(running.directory, tmp_path / "snapshots", "one")
    assert (manifest.records, manifest.tombstones, manifest.epoch) == (RECORDS, 1, 0)
    assert manifest.cluster_id is None
