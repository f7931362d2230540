"""What a replica tells of the requests that its records include, and whom."""

from __future__ import annotations

from typing import Any

import pytest

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.replica_messages import WriteRecords
from gossipnode.core.query.request_lineage import Lineage
from gossipnode.node.replica.lineages import ReplicaLineages
from gossipnode.node.replica.replica import Replica
from gossipnode.rpc import RpcError, Status
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.lineage_codec import decode_kept, decode_page
from tests.node.support import NOW, make_local
from tests.records import record

SHARD = ShardId("sw", 0, 1)
CALL: Any = None


def asked(fence: bytes, group: str = "sw", after: str = "") -> pb.LineagesRequest:
    key = pb.RecordKey(name="n", id=after) if after else None
    return pb.LineagesRequest(group=group, shard=0, incarnation=1, fence=fence, after=key)


async def test_it_tells_those_who_see_the_same_replicas(autojump_clock: object) -> None:
    local = make_local()
    replica = Replica(local)
    fence = local.shards.placement(SHARD).fence
    written = record("n/1", revision=NOW)
    await replica.write([WriteRecords(SHARD, fence, (written,), "one", True, Lineage())])
    serve = ReplicaLineages(local, replica).serve
    page = decode_page("sw", await serve(asked(fence), CALL))
    (found,) = page.found
    kept = decode_kept(found[1])
    assert found[0] == written.entity
    assert kept is not None
    assert kept.of(written.version).find("one") is not None
    assert page.after is None
    assert not (await serve(asked(fence, after="1"), CALL)).found


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asked(b"another"), Status.FAILED_PRECONDITION),
        (asked(b"", group="no such group"), Status.NOT_FOUND),
    ],
)
async def test_others_are_refused(request_: pb.LineagesRequest, status: Status) -> None:
    local = make_local()
    with pytest.raises(RpcError) as refused:
        await ReplicaLineages(local, Replica(local)).serve(request_, CALL)
    assert refused.value.status is status


async def test_a_page_after_what_no_record_can_be_is_refused() -> None:
    local = make_local()
    request = asked(local.shards.placement(SHARD).fence, after="x" * 5000)
    with pytest.raises(RpcError) as refused:
        await ReplicaLineages(local, Replica(local)).serve(request, CALL)
    assert refused.value.status is Status.INVALID_ARGUMENT
