"""A snapshot appears whole or not at all, and what a crash leaves of one is removed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gossipnode.store.snapshot.manifest import SnapshotError, SnapshotExistsError, SnapshotNameError
from gossipnode.store.snapshot.snapshot_files import (
    NAME_MAX_BYTES,
    check_snapshot_name,
    partial_snapshot,
    remove_remains,
    write_durably,
)


@pytest.mark.parametrize(
    "name", ["nightly", "2026-01-02T03:04", "mit Leerzeichen", "größer", "-o", "n" * 200]
)
def test_names(name: str) -> None:
    check_snapshot_name(name)


@pytest.mark.parametrize(
    "name", ["", "a/b", "/", "a\nb", "\x1b[2J", "a\0", ".", "..", ".hidden", "ü" * (NAME_MAX_BYTES // 2 + 1)]
)
def test_names_that_no_snapshot_can_have(name: str) -> None:
    with pytest.raises(SnapshotNameError) as caught:
        check_snapshot_name(name)
    assert str(caught.value).isprintable()


def test_a_snapshot_appears_when_it_is_whole(tmp_path: Path) -> None:
    directory = tmp_path / "not" / "there"
    with partial_snapshot(directory, "one") as partial:
        write_durably(partial / "file", b"content")
        assert not (directory / "one").exists()
        assert stat.S_IMODE(partial.stat().st_mode) == 0o700
    assert (directory / "one" / "file").read_bytes() == b"content"
    assert os.listdir(directory) == ["one"]


def test_a_name_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(SnapshotExistsError, match="is there already"), partial_snapshot(tmp_path, "one"):
        pytest.fail("it was begun")
    assert os.listdir(tmp_path) == ["one"]


def test_a_name_that_another_node_takes_meanwhile(tmp_path: Path) -> None:
    begun = partial_snapshot(tmp_path, "one")
    begun.__enter__()
    (tmp_path / "one").mkdir()
    with pytest.raises(SnapshotExistsError):
        begun.__exit__(None, None, None)
    assert os.listdir(tmp_path) == ["one"]


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="absent"), partial_snapshot(tmp_path, "one") as partial:
        write_durably(partial / "absent" / "file", b"content")
    assert os.listdir(tmp_path) == []


def test_a_directory_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(SnapshotError, match="snapshot_dir must be"),
        partial_snapshot(tmp_path / "file", "one"),
    ):
        pytest.fail("it was begun")


def test_remains_of_a_crash_are_removed_and_those_under_way_are_not(tmp_path: Path) -> None:
    remains = tmp_path / ".partial-crashed"
    remains.mkdir()
    (remains / "store.db").write_bytes(b"half")
    (tmp_path / "whole").mkdir()
    with partial_snapshot(tmp_path, "next") as partial:
        assert not remains.exists()
        assert remove_remains(tmp_path) == []
        assert partial.exists()
    remains.mkdir()
    assert remove_remains(tmp_path) == [".partial-crashed"]
    assert sorted(os.listdir(tmp_path)) == ["next", "whole"]
    assert remove_remains(tmp_path / "absent") == []
