"""What a peer stamps far ahead: every record that a replica holds can still be replaced and deleted."""

from __future__ import annotations

import pytest

from gossipnode.core.model.limits import PEER_STAMP_MAX_NANOSECONDS, STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import check_record
from gossipnode.core.model.version import HybridClock
from gossipnode.core.session.lanes import stamp_max
from gossipnode.core.session.messages import PropertySync, TreeRoot
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.core.session.tree_server import TreeServer
from tests.core.session.talk import DIFFER, NO_MORE_SLOTS, Side, server_of
from tests.core.session.tree_client.client_side import A0, A1, A2, in_pages, sync
from tests.core.support import SHARD, Shelf, record

HIGHEST = record(A1, PEER_STAMP_MAX_NANOSECONDS)
STAMPED = [record(A0, STAMP_MAX_NANOSECONDS), HIGHEST, record(A2, 5, deleted=STAMP_MAX_NANOSECONDS)]


def served(session: TreeServer | None = None) -> Side:
    shelf = Shelf()
    server = Side(session or server_of(shelf), shelf)
    server.hear(TreeRoot("g", 0, "ab"))
    server.hear(NO_MORE_SLOTS)
    return server


def assert_the_highest_alone_was_taken(side: Side) -> None:
    assert list(side.shelf.records.values()) == [HIGHEST]
    assert side.session.counts.reasons == {"stamped too far ahead": 2}


def test_a_client_leaves_them_out() -> None:
    client = in_pages()
    client.hear(*[sync(each) for each in STAMPED])
    assert_the_highest_alone_was_taken(client)


def test_a_server_leaves_them_out() -> None:
    server = served()
    server.hear(*[PropertySync(each) for each in STAMPED])
    assert_the_highest_alone_was_taken(server)


def test_members_pass_on_what_replaces_such_a_record() -> None:
    """We stamp above the record that we replace, and the other replicas must take it."""
    most = stamp_max(foreign=False)
    shelf = Shelf([record(A1, 1)])
    server = served(TreeServer({"g": 1}, page_leaves=10, stamp_max=most))
    client = Side(TreeClient(SHARD, 1, shelf.tree(), page_leaves=10, stamp_max=most), shelf)
    client.settle()
    client.hear(DIFFER)
    replaced = record(A1, PEER_STAMP_MAX_NANOSECONDS + 1)
    server.hear(PropertySync(replaced))
    client.hear(sync(replaced))
    for side in (server, client):
        assert side.shelf.records[replaced.entity] == replaced
        assert side.session.counts.skipped == 0


def test_a_foreign_peer_has_the_lower_bound() -> None:
    assert stamp_max(foreign=True) == PEER_STAMP_MAX_NANOSECONDS < stamp_max(foreign=False)


@pytest.mark.parametrize("deleted", [False, True])
def test_the_highest_record_of_a_peer_can_be_replaced_and_deleted_for_years(deleted: bool) -> None:
    clock = HybridClock()
    now = 1_800_000_000 * 10**9
    stamp = clock.next(now, above=HIGHEST.version.stamp)
    new = record(A1, stamp, deleted=stamp if deleted else 0)
    check_record(new)
    assert STAMP_MAX_NANOSECONDS - stamp > 2 * 365 * 24 * 3600 * 10**9
    assert clock.next(now) < PEER_STAMP_MAX_NANOSECONDS, "our clock does not follow it"
