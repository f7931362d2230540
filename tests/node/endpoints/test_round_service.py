"""Reports that come to the origin of a round: whose reports it takes, and which of them make no sense."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.core.ring.turn import Cause
from gossipnode.node.peers import call_metadata
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster, running
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import ALIVE, REPORT, ROUND_ENDED
from tests.records import record

SHARD = ShardId("sw", 0)


async def tell(cluster: Cluster, caller: str, **fields: object) -> RpcError | None:
    report = v1.ReportRequest(group="sw", shard=0, **fields)  # type: ignore[arg-type]
    async with cluster.channel("a") as channel:
        try:
            await channel.unary(REPORT, report, timeout=5, metadata={call_metadata.NODE: caller})
        except RpcError as error:
            return error
    return None


async def test_reports_of_strangers_and_in_anothers_name_are_ignored(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        cluster.stores["b"].commit_seconds = 3
        await cluster.put("a", record("n/1"))
        watch = cluster.nodes["a"].parts.repair.rounds.start(SHARD, Cause.ASKED)
        await trio.sleep(1)
        round_id = watch.now().round
        hop = v1.Hop(from_="a", to="b", outcome="equal")
        ended = {"round": round_id, "count": 0, "hops": [hop] * 3, "ended": ""}
        assert await tell(cluster, "stranger", holder="stranger", **ended) is None
        refused = await tell(cluster, "stranger", holder="b", **ended)
        assert refused is not None
        assert refused.status is Status.PERMISSION_DENIED
        assert watch.now().outcome is None
        assert watch.now().hops == ()
        while watch.now().outcome is None:
            await watch.changed.wait()
        assert watch.now().outcome is RoundOutcome.REPAIRED


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "without next"),
        ({"ended": "", "hops": [v1.Hop(outcome="great")]}, "great"),
        ({"ended": "", "hops": [v1.Hop(outcome="busy")]}, "expected equal, repaired, skipped or failed"),
        ({"ended": "", "hops": [v1.Hop(outcome="equal", seconds=float("nan"))]}, "nan is no duration"),
        ({"ended": "", "hops": [v1.Hop(outcome="equal")] * 3000}, "3000 hops in one report"),
    ],
)
async def test_a_report_that_makes_no_sense_is_refused(
    fields: dict[str, object], said: str, autojump_clock: object
) -> None:
    cluster = Cluster()
    async with running(cluster, "a"):
        error = await tell(cluster, "b", holder="b", **fields)
        assert error is not None
        assert error.status is Status.INVALID_ARGUMENT
        assert said in error.message


async def test_only_a_replica_can_tell_of_a_round_that_ended_well(autojump_clock: object) -> None:
    cluster = Cluster()

    async def told(caller: str, shard: int = 0) -> Status | None:
        request = v1.RoundEndedRequest(round="r", group="sw", shard=shard)
        async with cluster.channel("a") as channel:
            try:
                await channel.unary(ROUND_ENDED, request, timeout=5, metadata={call_metadata.NODE: caller})
            except RpcError as error:
                return error.status
        return None

    async with running(cluster, "a"):
        origin = cluster.nodes["a"].parts.repair.origin
        assert await told("stranger") is Status.FAILED_PRECONDITION
        assert await told("b", shard=99) is Status.FAILED_PRECONDITION
        assert origin.last_converged(SHARD) == 0
        assert await told("b") is None
        assert origin.last_converged(SHARD) > 0


async def test_a_sign_of_life_keeps_a_round_open_and_comes_from_its_holder_only(
    autojump_clock: object,
) -> None:
    cluster = Cluster()
    async with running(cluster), cluster.channel("a") as channel:
        _, watch = cluster.nodes["a"].parts.repair.origin.open(SHARD, ("a", "b"), Cause.ASKED)
        held = v1.MessageHeld(round=watch.now().round, group="sw", shard=0, in_session_with="c")
        unknown = v1.MessageHeld(round="r", group="sw", shard=0)
        alive = v1.AliveRequest(holder="b", messages=[unknown, held])
        began = watch.open_round.expires
        await trio.sleep(1)
        with pytest.raises(RpcError, match="its holder is not the caller"):
            await channel.unary(ALIVE, alive, timeout=5, metadata={call_metadata.NODE: "c"})
        assert watch.open_round.expires == began
        await channel.unary(ALIVE, alive, timeout=5, metadata={call_metadata.NODE: "b"})
        assert watch.open_round.expires >= began + 1
