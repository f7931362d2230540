"""What happens to the files of an open store from outside."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog.testing

from gossipnode.store.interface import StoreClosedError
from gossipnode.store.sqlite import upkeep
from gossipnode.store.sqlite.disk import disk_watch
from tests.store.support import SqliteHandle, make_record, placed, scan_all

pytestmark = pytest.mark.usefixtures("look_at_once")


@pytest.fixture
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "UPKEEP_SECONDS", 0)


def _replace(directory: Path) -> None:
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    shutil.rmtree(directory)
    copy.rename(directory)


@pytest.mark.parametrize(
    ("spoil", "gone"),
    [
        (shutil.rmtree, "data was removed"),
        (lambda directory: directory.rename(directory.with_name("moved")), "data was removed"),
        (lambda directory: (directory / "store.db").unlink(), "store.db was removed"),
        (lambda directory: (directory / "store.db-wal").unlink(), "store.db-wal was removed"),
        (_replace, "data was removed or replaced"),
    ],
    ids=["removed", "moved", "database", "log", "replaced"],
)
async def test_a_removed_directory_ends_the_store(
    sqlite: SqliteHandle, spoil: Callable[[Path], object], gone: str
) -> None:
    await sqlite.store.write(placed(make_record()))
    spoil(sqlite.directory)
    error = await sqlite.sqlite.wait_failed()
    assert f"{gone}" in str(error)
    with pytest.raises(StoreClosedError, match=gone):
        await sqlite.store.write(placed(make_record("2")))
    with pytest.raises(StoreClosedError, match=gone):
        await scan_all(sqlite.store)


async def test_a_store_that_is_there_is_left_alone(sqlite: SqliteHandle) -> None:
    for number in range(3):
        await sqlite.store.write(placed(make_record(str(number))))
        assert sqlite.sqlite._upkeep._watch.look() is None
    await sqlite.close()
    assert sqlite.failure is None


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ESTALE])
async def test_an_error_of_the_disk_says_nothing_about_the_files(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> os.stat_result:
        raise OSError(code, "refused")

    with monkeypatch.context() as disk:
        disk.setattr(os, "stat", refuse)
        assert sqlite.sqlite._upkeep._watch.look() is None
    await sqlite.store.write(placed(make_record()))


async def test_a_log_that_grows_is_told_once(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    await sqlite.store.write(placed(make_record()))
    with structlog.testing.capture_logs() as logs:
        assert sqlite.sqlite._upkeep._watch.look() is None
        assert logs == []
        monkeypatch.setattr(disk_watch, "WAL_WARN_BYTES", 1000)
        for _ in range(3):
            sqlite.sqlite._upkeep._watch.look()
    (log,) = logs
    assert log["log_level"] == "warning"
    assert log["path"] == str(sqlite.directory / "store.db-wal")
    assert log["bytes"] > 1000
