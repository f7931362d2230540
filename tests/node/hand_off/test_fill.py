"""Filling: with whom a new replica compares, and when a shard counts as filled."""

from __future__ import annotations

from typing import Any

import pytest

from gossipnode.core.cluster.placement import replicas_of
from gossipnode.core.model.property import ShardId
from gossipnode.core.query.request_lineage import KeptLineage, KnownRequest, Lineage, LineagePage
from gossipnode.core.retention.marks import Marks
from gossipnode.core.ring.turn import HopEnd
from gossipnode.node.hand_off.fill import SHARDS_FILLED_AT_ONCE, Filler
from gossipnode.node.local.fill_state import FILLED_NOTE
from gossipnode.node.local.local_state import LocalState
from gossipnode.rpc import RpcError, Status
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.lineage_codec import encode_kept, encode_page
from tests.node.epochs import change, joins
from tests.node.hand_off.stand_ins import Compared, FakeSessions, members_of, peer
from tests.node.support import make_local
from tests.records import bare_record, entity

SHARD = ShardId("sw", 0)


def joined(shards: int = 1) -> LocalState:
    """What d knows, which has just joined a, b and c as a replica of everything."""
    local = make_local(own_name="d", groups={"sw": shards}, members="abc", replicas=5)
    change(local, joins("d"))
    return local


async def fill(local: LocalState, sessions: FakeSessions, *peers: Any) -> list[ShardId]:
    """Try to fill what is unfilled; gives what is still unfilled then."""
    asked: Any = sessions
    view = local.shards.view
    await Filler(local, members_of(local.own_name, *(peers or map(peer, "abc"))), asked).fill_all(view)
    return [placement.shard for placement in await local.fill.unfilled(local.shards.view)]


async def test_a_new_replica_compares_with_all_that_hold_the_shard() -> None:
    local, sessions = joined(), FakeSessions()
    fence = local.shards.placement(SHARD).fence.hex()
    assert await fill(local, sessions) == []
    assert sessions.compared == [Compared(name, SHARD, fence, leaving=False) for name in "abc"]
    # It is not filled a second time.
    assert await fill(local, sessions) == []
    assert len(sessions.compared) == 3


@pytest.mark.parametrize(
    ("failed", "filled"), [("", True), ("a", True), ("c", True), ("ab", False), ("abc", False)]
)
async def test_it_is_filled_once_it_has_compared_with_enough_of_them(failed: str, filled: bool) -> None:
    """Of three that hold the records, one may lack a write that a quorum acknowledged."""
    name = next(each for each in "defghijk" if each in replicas_of(SHARD, [*"abc", each], 3))
    local = make_local(own_name=name, members="abc", replicas=3)
    change(local, joins(name))
    placement = local.shards.placement(SHARD)
    assert (placement.sources, placement.sources_needed) == (("a", "b", "c"), 2)
    sessions = FakeSessions(dict.fromkeys(failed, HopEnd.FAILED))
    assert (await fill(local, sessions) == []) == filled
    assert len(sessions.compared) == 3


async def test_a_session_that_left_records_out_is_not_complete() -> None:
    assert await fill(joined(), FakeSessions(skipped=1)) == [SHARD]


async def test_a_source_that_is_stale_counts_for_nothing() -> None:
    sessions = FakeSessions(told=dict.fromkeys("abc", Marks(9, 5, 9)))
    assert await fill(joined(), sessions) == [SHARD]
    assert sessions.compared == []


async def test_another_new_replica_is_no_source() -> None:
    local, sessions = joined(), FakeSessions()
    change(local, joins("e"))
    assert local.shards.placement(SHARD).joining == ("d", "e")
    assert await fill(local, sessions, *map(peer, "abce")) == []
    assert [each.peer for each in sessions.compared] == ["a", "b", "c"]


async def test_those_that_lack_our_services_and_those_that_are_not_known_are_not_asked() -> None:
    local, sessions = joined(), FakeSessions()
    await fill(local, sessions, peer("a"), peer("b", foreign=True))
    assert [each.peer for each in sessions.compared] == ["a"]


async def test_what_was_filled_while_members_changed_does_not_count() -> None:
    local = joined()

    async def another() -> None:
        change(local, joins("e"))

    assert await fill(local, FakeSessions(meanwhile=another)) == [SHARD]
    assert await local.store.note(FILLED_NOTE) is None
    assert await fill(local, FakeSessions()) == []


async def test_a_few_shards_are_filled_at_once() -> None:
    local, sessions = joined(shards=8), FakeSessions()
    assert await fill(local, sessions) == []
    assert len(sessions.compared) == 24
    assert sessions.most_open == SHARDS_FILLED_AT_ONCE


@pytest.mark.parametrize(("down", "compared"), [("a", "bc"), ("c", "ab"), ("ab", "ca")])
async def test_a_source_that_is_down_is_asked_last_and_only_if_it_is_needed(down: str, compared: str) -> None:
    """One that hangs would hold up the shards after this one for the time of a session."""
    name = next(each for each in "defghijk" if each in replicas_of(SHARD, [*"abc", each], 3))
    local = make_local(own_name=name, members="abc", replicas=3)
    change(local, joins(name))
    sessions = FakeSessions()
    peers = [peer(each, state="down" if each in down else "up") for each in "abc"]
    assert await fill(local, sessions, *peers) == []
    assert [each.peer for each in sessions.compared] == list(compared)


def telling(name: str, *pages: pb.LineagesReply | RpcError) -> Any:
    """A source that keeps something beside its records, told in these pages."""
    source = peer(name)
    source.channel.pages = pages
    return source


async def test_it_copies_what_is_known_of_requests() -> None:
    local = joined()
    record = bare_record("n/1", revision=5)
    await local.store.write([(SHARD, record)])
    kept = encode_kept(KeptLineage(record.version, Lineage((KnownRequest("one", True, 5),))))
    first = encode_page(LineagePage([], entity("n/0")))
    source = telling("a", first, encode_page(LineagePage([(record.entity, kept)], None)))
    assert await fill(local, FakeSessions(), source, peer("b"), peer("c")) == []
    assert [request.after.id for request in source.channel.asked] == ["", "0"]
    assert source.channel.asked[1].fence == local.shards.placement(SHARD).fence
    lineage = await local.requests.lineage(SHARD, record.entity, record.version)
    assert lineage.find("one") is not None


@pytest.mark.parametrize(
    ("answer", "filled"),
    [
        (RpcError(Status.UNAVAILABLE, "gone"), False),
        (RpcError(Status.FAILED_PRECONDITION, "another view"), False),
        # A member of an older version remembers nothing beside its records.
        (RpcError(Status.UNIMPLEMENTED, "no such method"), True),
        (pb.LineagesReply(after=pb.RecordKey(name="n", id="1")), False),
        (pb.LineagesReply(after=pb.RecordKey(name="", id="1")), False),
    ],
)
async def test_a_source_counts_once_it_has_told_what_it_knows_of_requests(
    answer: pb.LineagesReply | RpcError, filled: bool
) -> None:
    sources = [telling(name, answer) for name in "abc"]
    assert (await fill(joined(), FakeSessions(), *sources) == []) == filled
