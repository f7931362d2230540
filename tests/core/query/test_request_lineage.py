"""Which requests the newest version includes, from what replicas tell of the versions that they hold."""

from __future__ import annotations

from gossipnode.core.model.version import Version
from gossipnode.core.query.request_lineage import (
    LINEAGE_MAX_REQUESTS,
    KnownRequest,
    Lineage,
    joined_lineage,
)


def version(stamp: int) -> Version:
    return Version(stamp, 0, b"")


def request(stamp: int) -> KnownRequest:
    """The request that wrote the version of this stamp."""
    return KnownRequest(f"r{stamp}", False, stamp)


def lineage(*stamps: int, since: int = 0) -> Lineage:
    return Lineage(tuple(map(request, stamps)), since)


def test_a_request_is_found_by_its_id() -> None:
    assert lineage(1, 2).find("r2") == request(2)
    assert lineage(1, 2).find("r3") is None
    assert Lineage((KnownRequest("", True, 1),)).find("") is None


def test_where_nothing_is_held_nothing_is_included() -> None:
    assert joined_lineage(None, []) == Lineage()
    assert joined_lineage(None, [(None, Lineage())] * 2) == Lineage()


def test_what_another_version_includes_is_not_in_the_newest() -> None:
    """A failed write is at one replica, and one that had not seen it is at the others."""
    told = [(version(5), lineage(5)), (version(6), lineage(6)), (version(6), lineage(6))]
    assert joined_lineage(version(6), told) == lineage(6)


def test_what_the_newest_was_built_upon_is_included() -> None:
    told = [(version(5), lineage(5)), (version(6), lineage(5, 6))]
    assert joined_lineage(version(6), told) == lineage(5, 6)


def test_a_replica_that_knows_for_certain_decides() -> None:
    """One got the version in a round, and knows an earlier request of which the writer knew nothing."""
    told = [(version(6), lineage(5, since=6)), (version(6), lineage(6))]
    assert joined_lineage(version(6), told) == lineage(6)


def test_where_nobody_knows_for_certain_what_is_known_is_believed() -> None:
    told = [(version(6), lineage(5, since=6)), (version(4), lineage(4))]
    assert joined_lineage(version(6), told) == lineage(4, 5, since=6)
    assert joined_lineage(version(6), [(version(4), lineage(4))]) == lineage(4, since=6)


def test_the_latest_are_handed_on_and_of_the_others_nothing_is_certain() -> None:
    stamps = range(1, LINEAGE_MAX_REQUESTS + 4)
    joined = joined_lineage(version(99), [(version(99), lineage(*stamps))])
    assert joined == lineage(*stamps[3:], since=3)
