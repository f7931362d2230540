"""Which changes a watch tells, and as what."""

from __future__ import annotations

from gossipnode.core.watch.watch_filter import EventKind, WatchFilter
from tests.records import bare_record, entity

LIVE = bare_record("n/1", b"good")
DELETED = bare_record("n/1", b"", delete_time=5)
GOOD = WatchFilter(matches=lambda payload: payload == b"good")


def test_without_conditions_every_change_is_told() -> None:
    everything = WatchFilter()
    assert everything.kind(LIVE, None) is EventKind.PUT
    assert everything.kind(DELETED, None) is EventKind.DELETE
    assert everything.kind(DELETED, None, first=True) is None


def test_name_and_ids() -> None:
    wanted = WatchFilter("n", frozenset({"1"}))
    assert wanted.asks_for(entity("n/1"))
    assert not wanted.asks_for(entity("m/1"))
    assert wanted.kind(bare_record("n/2", b"good"), None) is None


def test_a_record_that_leaves_what_is_asked_for_is_told_as_deleted() -> None:
    bad = bare_record("n/1", b"bad")
    assert GOOD.kind(LIVE, b"bad") is EventKind.PUT
    assert GOOD.kind(bad, b"good") is EventKind.DELETE
    assert GOOD.kind(bad, b"worse") is None
    assert GOOD.kind(bad, None) is EventKind.DELETE, "it may have been there"
    assert GOOD.kind(bad, None, first=True) is None
    assert GOOD.kind(DELETED, b"bad") is None
    assert GOOD.kind(DELETED, b"good") is EventKind.DELETE
