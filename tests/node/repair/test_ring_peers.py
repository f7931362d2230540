"""Peers as a holder meets them: whatever goes wrong becomes the outcome that it deserves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import structlog.testing
import trio

from gossipnode.config.address import Address
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Ended, Hop, InSession, Report
from gossipnode.core.ring.turn import Cause, HopEnd, RoundMessage
from gossipnode.core.session.messages import AnswerTo, DifferSummary, PropertyAnswer, RootCompare
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.members import open_members
from gossipnode.node.repair.neighbours import Neighbours
from gossipnode.node.repair.origin import Origin
from gossipnode.node.repair.reports import REPORT_QUEUE_MESSAGES, Reports
from gossipnode.node.repair.sessions import (
    SERVER_END_SECONDS,
    SERVER_SILENCE_SECONDS,
    VERDICT_END_SECONDS,
    SessionBounds,
    Sessions,
    reasons_text,
)
from gossipnode.rpc import CallContext, Channel, RpcError, Server, ServerStream, Status
from gossipnode.sim.network import MemoryNetwork
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import PROPAGATION, REPAIR, REPORT
from tests.node.cluster import record
from tests.node.support import NOW, make_local, memory_store

SHARD = ShardId("sw", 0)
ADDRESSES = {"a": Address("a", 1), "b": Address("b", 1)}
MESSAGE = RoundMessage("r1", SHARD, "a", ("a", "b"), 0, Cause.ASKED)
DEADLINE_SECONDS = 600.0

Serve = Callable[[ServerStream[Any, Any]], Awaitable[None]]


class Holder:
    """Node a, in a network where b serves what a test gives it."""

    def __init__(self, local: LocalState | None = None) -> None:
        self.local = local or make_local()
        self.network = MemoryNetwork()
        self.origin = Origin("a", wall_clock=lambda: NOW, new_round_id=lambda: "r1", deadline_seconds=1)
        self.peers: Neighbours

    def channel(self, name: str, address: Address) -> Channel:
        async def connect() -> trio.abc.Stream:
            return await self.network.connect(address)

        return Channel(connect, authority=str(address))

    @asynccontextmanager
    async def running(
        self, handlers: dict[Any, Any] | None = None, addresses: dict[str, Address] = ADDRESSES
    ) -> AsyncGenerator[Neighbours]:
        async with trio.open_nursery() as nursery:
            if handlers is not None:
                listeners = await self.network.listen(ADDRESSES["b"])
                await nursery.start(Server(handlers).serve, listeners)
            metadata = {call_metadata.NODE: "a", call_metadata.CLUSTER: "main"}
            async with open_members("a", addresses["a"], self.channel, metadata) as members:
                await members.sync(addresses)
                self.members = members
                bounds = SessionBounds(DEADLINE_SECONDS, page_leaves=64)
                self.reports = Reports(members, self.origin)
                yield Neighbours(members, Sessions(self.local, members, bounds), self.reports)
            nursery.cancel_scope.cancel()


async def hop_with(serve: Serve | None, holder: Holder | None = None) -> Hop:
    holder = holder or Holder()
    async with holder.running(None if serve is None else {REPAIR: serve}) as peers:
        return await peers.repair("b", MESSAGE)


def verdict_then(*steps: Any) -> Serve:
    """A server that judges the roots to differ, then sends messages, or raises."""

    async def serve(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        await stream.send(RootCompare(tree_found=True, root_match=False))
        for step in steps:
            if isinstance(step, Exception):
                raise step
            await stream.send(step)

    return serve


async def test_nobody_there_is_skipped_at_once(autojump_clock: object) -> None:
    hop = await hop_with(None)
    assert (hop.from_node, hop.to_node, hop.end) == ("a", "b", HopEnd.SKIPPED)
    assert "connection refused" in hop.reason
    assert trio.current_time() == 0


async def test_a_hop_dials_at_once_whatever_the_backoff_says(autojump_clock: object) -> None:
    holder = Holder()
    async with holder.running() as peers:
        for _ in range(5):
            assert (await peers.repair("b", MESSAGE)).end is HopEnd.SKIPPED
        assert holder.members.peers["b"].state == "down"

        async def serve(stream: ServerStream[Any, Any]) -> None:
            await stream.recv()
            await stream.send(RootCompare(tree_found=True, root_match=True))

        async with trio.open_nursery() as nursery:
            listeners = await holder.network.listen(ADDRESSES["b"])
            await nursery.start(Server({REPAIR: serve}).serve, listeners)
            assert (await peers.repair("b", MESSAGE)).end is HopEnd.EQUAL
            assert trio.current_time() == 0
            assert holder.members.peers["b"].state == "up"
            nursery.cancel_scope.cancel()


async def test_a_name_that_is_no_member_is_skipped() -> None:
    holder = Holder()
    async with holder.running() as peers:
        hop = await peers.repair("mallory", MESSAGE)
        assert (hop.end, hop.reason) == (HopEnd.SKIPPED, "no member of this cluster")
        assert await peers.propagate("mallory", MESSAGE) == ("no member of this cluster", False)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (RpcError(Status.RESOURCE_EXHAUSTED, "slots"), HopEnd.BUSY),
        (RpcError(Status.UNAVAILABLE, "stopping"), HopEnd.SKIPPED),
        (RpcError(Status.PERMISSION_DENIED, "no"), HopEnd.SKIPPED),
        (RpcError(Status.UNIMPLEMENTED, "what"), HopEnd.SKIPPED),
        (RpcError(Status.FAILED_PRECONDITION, "another incarnation"), HopEnd.SKIPPED),
        (RpcError(Status.INTERNAL, "broken"), HopEnd.FAILED),
    ],
)
async def test_a_refusal_before_the_verdict(error: RpcError, end: HopEnd) -> None:
    async def serve(stream: ServerStream[Any, Any]) -> None:
        raise error

    hop = await hop_with(serve)
    assert hop.end is end
    assert error.message in hop.reason


@pytest.mark.parametrize("status", [Status.RESOURCE_EXHAUSTED, Status.UNAVAILABLE, Status.INTERNAL])
async def test_an_error_behind_the_verdict_is_a_failure(status: Status) -> None:
    hop = await hop_with(verdict_then(RpcError(status, "half way")))
    assert hop.end is HopEnd.FAILED
    assert "half way" in hop.reason


async def test_a_peer_that_breaks_the_protocol() -> None:
    hop = await hop_with(verdict_then(RootCompare(tree_found=True, root_match=True)))
    assert hop.end is HopEnd.FAILED
    assert hop.reason == "protocol: expected one root_compare, after tree_root"
    hop = await hop_with(verdict_then())
    assert hop.end is HopEnd.FAILED


async def test_a_silent_server_ends_at_the_limit_of_silence(autojump_clock: object) -> None:
    async def silent(stream: ServerStream[Any, Any]) -> None:
        await trio.sleep_forever()

    hop = await hop_with(silent)
    assert hop.end is HopEnd.FAILED
    assert hop.reason == "the server said nothing for 300 s"
    assert hop.seconds == pytest.approx(SERVER_SILENCE_SECONDS, abs=1)


async def test_a_server_that_never_ends_is_waited_for_so_long_only(autojump_clock: object) -> None:
    async def endless(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        await stream.send(RootCompare(tree_found=True, root_match=False))
        await stream.send(DifferSummary(()))
        await trio.sleep_forever()

    hop = await hop_with(endless)
    assert hop.end is HopEnd.FAILED
    assert hop.reason == "the server did not end the session in 300 s"
    assert hop.seconds == pytest.approx(SERVER_END_SECONDS, abs=1)


async def test_a_verdict_counts_though_the_server_never_ends(autojump_clock: object) -> None:
    async def endless(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        await stream.send(RootCompare(tree_found=True, root_match=True))
        await trio.sleep_forever()

    hop = await hop_with(endless)
    assert hop.end is HopEnd.EQUAL
    assert hop.seconds == pytest.approx(VERDICT_END_SECONDS, abs=1)


@pytest.mark.parametrize("found", [True, False])
async def test_a_server_is_let_to_end_the_session_after_its_verdict(
    found: bool, autojump_clock: object
) -> None:
    """Going away from it would be a reset, and many of those look like an attack."""
    ended: list[bool] = []

    async def serve(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        await stream.send(RootCompare(tree_found=found, root_match=found))
        await trio.sleep(1)
        ended.append(await stream.recv() is None)

    hop = await hop_with(serve)
    assert hop.end is (HopEnd.EQUAL if found else HopEnd.SKIPPED)
    assert ended == [True]


async def test_what_the_peer_left_out_is_counted() -> None:
    async def serve(stream: ServerStream[Any, Any]) -> None:
        await verdict_then(DifferSummary(()))(stream)
        while await stream.recv_batch(16):
            pass
        stream.call.trailing_metadata[call_metadata.SKIPPED] = "3"

    hop = await hop_with(serve)
    assert (hop.end, hop.skipped, hop.reason) == (HopEnd.REPAIRED, 3, "left out: 3 at the peer")


@pytest.mark.parametrize("said", ["0", "-1", "1e3", "9" * 10])
async def test_nonsense_about_what_was_left_out_counts_for_nothing(said: str) -> None:
    async def serve(stream: ServerStream[Any, Any]) -> None:
        await verdict_then(DifferSummary(()))(stream)
        while await stream.recv_batch(16):
            pass
        stream.call.trailing_metadata[call_metadata.SKIPPED] = said

    hop = await hop_with(serve)
    assert (hop.end, hop.skipped, hop.reason) == (HopEnd.REPAIRED, 0, "")


async def test_a_record_that_cannot_be_taken_is_counted_and_ends_nothing() -> None:
    stranger = PropertyAnswer(AnswerTo.MISSING, record("n/1", group="other"))
    good = PropertyAnswer(AnswerTo.MISSING, record("n/2"))
    holder = Holder()

    async def serve(stream: ServerStream[Any, Any]) -> None:
        await verdict_then(stranger, good, DifferSummary(()))(stream)
        while await stream.recv_batch(16):
            pass

    hop = await hop_with(serve, holder)
    assert (hop.end, hop.received, hop.skipped) == (HopEnd.REPAIRED, 2, 1)
    assert hop.reason == "left out: 1 of another group or shard"
    assert (await holder.local.store.counts(SHARD)).records == 1
    assert hop.bytes_sent > 0
    assert hop.bytes_received > 100


async def test_a_full_store_of_our_own_fails_the_hop() -> None:
    store = memory_store()
    store._full = True

    async def serve(stream: ServerStream[Any, Any]) -> None:
        await verdict_then(PropertyAnswer(AnswerTo.MISSING, record("n/1")))(stream)
        await trio.sleep_forever()

    hop = await hop_with(serve, Holder(make_local(store)))
    assert hop.end is HopEnd.FAILED
    assert hop.reason.startswith("own store: no space left")


async def test_a_defect_becomes_the_outcome_internal() -> None:
    holder = Holder()

    async def broken(shard: ShardId) -> None:
        raise ZeroDivisionError("a defect")

    holder.local.store.tree = broken  # type: ignore[method-assign,assignment]
    with structlog.testing.capture_logs() as logs:
        hop = await hop_with(None, holder)
    assert (hop.end, hop.reason) == (HopEnd.FAILED, "internal")
    assert [entry["log_level"] for entry in logs] == ["error"]


# Propagation


async def test_the_message_crosses_with_its_round_and_cause() -> None:
    taken: list[tuple[banyandb.PropagationRequest, CallContext]] = []

    async def take(asked: banyandb.PropagationRequest, call: CallContext) -> banyandb.PropagationResponse:
        taken.append((asked, call))
        call.trailing_metadata[call_metadata.NODE] = "b"
        return banyandb.PropagationResponse()

    holder = Holder()
    async with holder.running({PROPAGATION: take}) as peers:
        assert await peers.propagate("b", MESSAGE) == ("", False)
    ((asked, call),) = taken
    assert asked.context.nodes == ["a", "b"]
    assert (asked.context.origin_node, asked.context.current_propagation_count) == ("a", 0)
    assert asked.context.max_propagation_count == 1
    assert (asked.group, asked.shard_id) == ("sw", 0)
    assert call.metadata[call_metadata.ROUND] == "r1"
    assert call.metadata[call_metadata.CAUSE] == "asked"
    assert call.metadata[call_metadata.CLUSTER] == "main"


async def test_a_peer_that_does_not_say_its_name_is_foreign() -> None:
    async def take(asked: object, call: object) -> banyandb.PropagationResponse:
        return banyandb.PropagationResponse()

    holder = Holder()
    async with holder.running({PROPAGATION: take}) as peers:
        assert await peers.propagate("b", MESSAGE) == ("", True)


async def test_a_round_whose_id_a_foreign_peer_lost_goes_on_without_one() -> None:
    """There is no metadata without a value: an empty id is none at all."""
    heard: list[object] = []

    async def serve(stream: ServerStream[Any, Any]) -> None:
        heard.append(stream.call.metadata.get(call_metadata.ROUND))
        await stream.recv()
        await stream.send(RootCompare(tree_found=True, root_match=True))

    async def take(asked: object, call: CallContext) -> banyandb.PropagationResponse:
        heard.append(call.metadata.get(call_metadata.ROUND))
        return banyandb.PropagationResponse()

    nameless = replace(MESSAGE, round="")
    holder = Holder()
    async with holder.running({REPAIR: serve, PROPAGATION: take}) as peers:
        assert (await peers.repair("b", nameless)).end is HopEnd.EQUAL
        assert await peers.propagate("b", nameless) == ("", True)
    assert heard == [None, None]


async def test_unavailable_is_tried_five_times_in_all(autojump_clock: object) -> None:
    times: list[float] = []

    async def unavailable(asked: object, call: object) -> None:
        times.append(trio.current_time())
        raise RpcError(Status.UNAVAILABLE, "not now")

    holder = Holder()
    async with holder.running({PROPAGATION: unavailable}) as peers:
        problem, foreign = await peers.propagate("b", MESSAGE)
    assert (problem, foreign) == ("UNAVAILABLE: not now", False)
    pauses = [b - a for a, b in pairwise(times)]
    assert len(pauses) == 4
    assert all(0.8 * wait <= pause <= 1.2 * wait for wait, pause in zip((0.5, 1, 2, 4), pauses, strict=True))


async def test_another_refusal_is_not_tried_again(autojump_clock: object) -> None:
    calls: list[object] = []

    async def refuse(asked: object, call: object) -> None:
        calls.append(asked)
        raise RpcError(Status.NOT_FOUND, "no such shard")

    holder = Holder()
    async with holder.running({PROPAGATION: refuse}) as peers:
        assert (await peers.propagate("b", MESSAGE))[0] == "NOT_FOUND: no such shard"
    assert len(calls) == 1


# Reports


def ended(number: int = 0) -> Report:
    return Report(f"r{number}", SHARD, "a", 0, (), Ended("over"))


async def test_reports_go_out_in_order_and_to_the_last_one(autojump_clock: object) -> None:
    heard: list[str] = []

    async def take(report: v1.ReportRequest, call: CallContext) -> v1.ReportResponse:
        assert call.metadata[call_metadata.NODE] == report.holder == "a"
        await trio.sleep(0.01)
        heard.append(report.round)
        return v1.ReportResponse()

    holder = Holder()
    async with holder.running({REPORT: take}) as peers:
        async with trio.open_nursery() as nursery:
            await nursery.start(holder.reports.run)
            for number in range(20):
                peers.tell("b", ended(number))
            holder.reports.stop()
            peers.tell("b", ended(99))
    assert heard == [f"r{number}" for number in range(20)]


async def test_a_report_to_ourselves_takes_the_short_way_and_one_to_a_stranger_none() -> None:
    holder = Holder()
    async with holder.running() as peers, trio.open_nursery() as nursery:
        await nursery.start(holder.reports.run)
        _, watch = holder.origin.open(SHARD, ("a", "b"), Cause.ASKED)
        peers.tell("mallory", ended(1))
        assert watch.now().outcome is None
        assert holder.reports.queued("mallory") == holder.reports.queued("a") == 0
        peers.tell("a", ended(1))
        assert watch.now().outcome is not None
        assert holder.reports.queued("mallory") == holder.reports.queued("a") == 0
        nursery.cancel_scope.cancel()


async def test_signs_of_life_leave_room_for_what_matters() -> None:
    holder = Holder()
    async with holder.running() as peers, trio.open_nursery() as nursery:
        await nursery.start(holder.reports.run)
        for number in range(REPORT_QUEUE_MESSAGES):
            peers.tell("b", Report(f"r{number}", SHARD, "a", 0, (), InSession("c")))
        assert holder.reports.queued("b") == REPORT_QUEUE_MESSAGES // 2
        peers.tell("b", ended())
        assert holder.reports.queued("b") == REPORT_QUEUE_MESSAGES // 2 + 1
        with structlog.testing.capture_logs() as logs:
            for number in range(REPORT_QUEUE_MESSAGES):
                peers.tell("b", ended(number))
        assert holder.reports.queued("b") == REPORT_QUEUE_MESSAGES
        assert logs[0]["event"] == "report dropped"
        nursery.cancel_scope.cancel()


async def test_a_report_outlasts_a_short_outage(autojump_clock: object) -> None:
    """An origin that was not there a moment ago is dialed anew, whatever the backoff says."""
    heard: list[str] = []

    async def take(report: v1.ReportRequest, call: object) -> v1.ReportResponse:
        heard.append(report.round)
        return v1.ReportResponse()

    holder = Holder()
    async with holder.running() as peers, trio.open_nursery() as nursery:
        for _ in range(8):
            await peers.repair("b", MESSAGE)  # each failed dial makes the backoff longer
        await nursery.start(holder.reports.run)
        peers.tell("b", ended(1))
        await trio.sleep(0.1)
        listeners = await holder.network.listen(ADDRESSES["b"])
        await nursery.start(Server({REPORT: take}).serve, listeners)
        await trio.sleep(3)
        assert heard == ["r1"]
        nursery.cancel_scope.cancel()


async def test_an_origin_that_does_not_answer_delays_no_other(autojump_clock: object) -> None:
    ADDRESSES_3 = {**ADDRESSES, "c": Address("c", 1)}  # noqa: N806
    heard: list[float] = []

    async def take(report: object, call: object) -> v1.ReportResponse:
        heard.append(trio.current_time())
        return v1.ReportResponse()

    holder = Holder()
    async with trio.open_nursery() as nursery:
        await holder.network.listen(ADDRESSES_3["b"])  # never accepts
        listeners = await holder.network.listen(ADDRESSES_3["c"])
        await nursery.start(Server({REPORT: take}).serve, listeners)
        async with holder.running(addresses=ADDRESSES_3) as peers:
            await nursery.start(holder.reports.run)
            peers.tell("b", ended(1))
            peers.tell("c", ended(2))
            await trio.sleep(1)
            assert len(heard) == 1
            nursery.cancel_scope.cancel()


async def test_a_defect_in_one_report_does_not_end_the_others(autojump_clock: object) -> None:
    heard: list[str] = []

    async def take(report: v1.ReportRequest, call: object) -> v1.ReportResponse:
        heard.append(report.round)
        return v1.ReportResponse()

    holder = Holder()
    async with holder.running({REPORT: take}) as peers:
        with structlog.testing.capture_logs() as logs:
            async with trio.open_nursery() as nursery:
                await nursery.start(holder.reports.run)
                peers.tell("b", Report("r1", SHARD, "a", 0, (), Ended("\udc80 cannot be encoded")))
                peers.tell("b", ended(2))
                holder.reports.stop()
    assert heard == ["r2"]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["sending a report failed"]


def test_reasons_in_a_few_words() -> None:
    assert reasons_text({}) == ""
    assert reasons_text({"b": 1, "a": 20}) == "20 a, 1 b"
