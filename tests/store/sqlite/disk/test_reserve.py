"""The space that is kept for a full disk."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from gossipnode.store.sqlite.disk import reserve
from gossipnode.store.sqlite.disk.reserve import RESERVE_BYTES, RESERVE_NAME, give_up_reserve, make_reserve


@pytest.mark.parametrize("left", [None, 0, 5000])
def test_a_reserve_is_whole_even_after_a_crash_in_the_middle(directory: Path, left: int | None) -> None:
    kept = directory / RESERVE_NAME
    if left is not None:
        kept.write_bytes(bytes(left))
    for _ in range(2):
        make_reserve(directory / "store.db")
        assert kept.stat().st_size == RESERVE_BYTES
    assert kept.stat().st_blocks * 512 >= RESERVE_BYTES
    assert give_up_reserve(directory / "store.db")
    assert not give_up_reserve(directory / "store.db")


def test_none_is_made_where_there_is_little_space(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "RESERVE_MIN_FREE_BYTES", 1 << 62)
    make_reserve(directory / "store.db")
    assert list(directory.iterdir()) == []


def test_a_part_of_a_reserve_is_none(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "full", len(data))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    make_reserve(directory / "store.db")
    assert list(directory.iterdir()) == []
