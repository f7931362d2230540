"""Which requests the newest version includes, from what replicas tell of the versions that they hold."""

from __future__ import annotations

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.model.version import Version
from gossipnode.core.query.request_lineage import (
    LINEAGE_MAX_REQUESTS,
    REQUESTS_REMEMBERED_NANOSECONDS,
    KeptLineage,
    KnownRequest,
    Lineage,
    continued,
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


# --- what a replica keeps ---


def test_what_is_kept_is_of_the_version_that_was_written() -> None:
    kept = KeptLineage(version(6), lineage(4, 6, since=2))
    assert kept.of(version(6)) == lineage(4, 6, since=2)
    assert kept.of(None) == Lineage()


def test_of_a_version_that_came_on_another_path_nothing_is_certain() -> None:
    kept = KeptLineage(version(6), lineage(4, 6))
    assert kept.of(version(9)) == lineage(4, 6, since=9)
    # And it includes nothing that was written after it.
    assert kept.of(version(5)) == lineage(4, since=5)


def test_a_write_hands_on_what_it_was_built_upon() -> None:
    assert continued(lineage(4, since=2), None, request(6)) == lineage(4, 6, since=2)
    assert continued(lineage(4, since=2), None, None) == lineage(4, since=2)
    assert continued(lineage(6), None, request(6)) == lineage(6)


def test_what_a_replica_knows_stays_where_the_coordinator_knows_nothing_for_certain() -> None:
    assert continued(lineage(5, since=4), lineage(3, 5), request(6)) == lineage(3, 5, 6, since=4)
    assert continued(lineage(5, since=2), lineage(3, 5), request(6)) == lineage(5, 6, since=2)


def test_requests_of_long_ago_are_let_go_of() -> None:
    """They are remembered for ten minutes, by stamps of clocks of which each may be ten minutes ahead."""
    now = 10 * REQUESTS_REMEMBERED_NANOSECONDS
    earliest = now - REQUESTS_REMEMBERED_NANOSECONDS - MAX_CLOCK_SKEW_NANOSECONDS
    told = lineage(earliest - 1, earliest)
    assert continued(told, None, request(now)) == lineage(earliest, now, since=earliest - 1)
    assert REQUESTS_REMEMBERED_NANOSECONDS == 600 * 10**9


def test_of_many_requests_the_latest_are_kept_and_of_the_others_nothing_is_certain() -> None:
    stamps = range(1, LINEAGE_MAX_REQUESTS + 1)
    assert continued(lineage(*stamps), None, request(99)) == lineage(*stamps[1:], 99, since=1)


def test_what_two_replicas_keep_is_joined_for_the_newer_version() -> None:
    older, newer = KeptLineage(version(5), lineage(5)), KeptLineage(version(6), lineage(6, since=5))
    assert newer.joined(older) == older.joined(newer) == KeptLineage(version(6), lineage(5, 6, since=5))
    certain = KeptLineage(version(6), lineage(6))
    assert certain.joined(older) == certain
