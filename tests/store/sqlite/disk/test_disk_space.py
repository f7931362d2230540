"""When a store may grow, by what the disk says of itself."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from gossipnode.store.interface import DiskState
from gossipnode.store.sqlite.disk.disk_space import (
    FLOOR_MAX_BYTES,
    FLOOR_MIN_BYTES,
    SHORT_LOG_BELOW_BYTES,
    DiskSpace,
)

MIB = 1 << 20


@dataclass
class Disk:
    """A disk of a size and with a free space that the test chooses."""

    free: int
    total: int = 160 * MIB
    asked: int = 0
    refuses_growth: bool = False
    broken: bool = False
    changes: list[None] = field(default_factory=list[None])

    def statvfs(self, _path: Path) -> SimpleNamespace:
        self.asked += 1
        if self.broken:
            raise OSError(errno.EIO, "broken")
        return SimpleNamespace(f_frsize=1, f_bavail=self.free, f_blocks=self.total)

    def changed(self) -> None:
        self.changes.append(None)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk(100 * MIB)
    monkeypatch.setattr(os, "statvfs", made.statvfs)
    pwrite = os.pwrite

    def limited(descriptor: int, data: bytes, offset: int) -> int:
        if made.refuses_growth:
            raise OSError(errno.EDQUOT, "quota")
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", limited)
    return made


def space_of(disk: Disk, directory: Path) -> DiskSpace:
    (directory / "store.db").write_bytes(b"")
    return DiskSpace(directory / "store.db", disk.changed)


@pytest.mark.parametrize(
    ("total", "floor"),
    [(2 * MIB, FLOOR_MIN_BYTES), (160 * MIB, 10 * MIB), (1 << 40, FLOOR_MAX_BYTES)],
)
def test_the_floor_grows_with_the_disk(disk: Disk, directory: Path, total: int, floor: int) -> None:
    disk.total = total
    disk.free = floor + 100
    space = space_of(disk, directory)
    assert not space.state.full
    assert space.admits(100)
    assert not space.admits(101)


def test_a_roomy_disk_is_not_asked_at_each_write(disk: Disk, directory: Path) -> None:
    disk.total = disk.free = 1 << 40
    space = space_of(disk, directory)
    disk.asked = 0
    for _ in range(1000):
        assert space.admits(MIB)
    assert disk.asked == 0
    assert not space.is_low
    # What was written meanwhile counts: at the end of what was there it is asked again.
    assert space.admits((1 << 40) - 1000 * MIB - SHORT_LOG_BELOW_BYTES - FLOOR_MAX_BYTES)
    assert not space.is_low
    assert space.admits(1)
    assert space.is_low
    assert space.admits(1)
    assert disk.asked == 1


def test_others_use_up_a_small_disk_between_two_writes(disk: Disk, directory: Path) -> None:
    space = space_of(disk, directory)
    assert space.is_low
    assert space.admits(MIB)
    disk.free = 11 * MIB
    assert not space.admits(2 * MIB)
    assert space.state == DiskState(full=True, free_bytes=11 * MIB)
    assert len(disk.changes) == 1


def test_a_write_that_is_too_large_alone_does_not_make_a_disk_full(disk: Disk, directory: Path) -> None:
    space = space_of(disk, directory)
    assert not space.admits(91 * MIB)
    assert space.state == DiskState(full=False, free_bytes=100 * MIB)
    assert space.admits(MIB)
    space.failed()
    assert not space.state.full
    assert disk.changes == []


def test_a_full_disk_has_to_have_some_more_room_to_end(disk: Disk, directory: Path) -> None:
    space = space_of(disk, directory)
    disk.free = 9 * MIB
    space.look()
    assert space.state.full
    for free in (11 * MIB, 22 * MIB):
        disk.free = free
        space.look()
        assert space.state.full
        assert not space.admits(1)
    disk.free = 23 * MIB
    assert space.admits(MIB)
    assert not space.state.full
    assert len(disk.changes) == 2
    disk.free = 15 * MIB
    space.look()
    # It is not full before a write finds too little.
    assert not space.state.full


def test_a_quota_is_a_full_disk_that_only_a_try_can_tell_about(disk: Disk, directory: Path) -> None:
    space = space_of(disk, directory)
    disk.refuses_growth = True
    space.failed()
    assert space.state.full
    for _ in range(2):
        space.look()
        assert space.state.full
        assert space.admits(MIB)
        space.failed()
    assert len(disk.changes) == 1
    disk.refuses_growth = False
    space.grew()
    assert not space.state.full
    disk.refuses_growth = True
    space.failed()
    disk.refuses_growth = False
    space.look()
    assert not space.state.full
    assert len(disk.changes) == 4


def test_a_disk_that_cannot_be_asked_says_nothing_new(disk: Disk, directory: Path) -> None:
    space = space_of(disk, directory)
    disk.broken = True
    space.look()
    assert space.state == DiskState(full=False, free_bytes=100 * MIB)
    assert space.admits(MIB)
