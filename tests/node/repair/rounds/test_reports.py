"""Reports of holders: in order, bounded, and never in the way of other ones."""

from __future__ import annotations

from dataclasses import replace

import structlog.testing
import trio
import trio.testing

from gossipnode.config.address import Address
from gossipnode.core.ring.round import Ended, EndedWell, InSession, Report
from gossipnode.core.ring.turn import Cause
from gossipnode.node.peers import call_metadata
from gossipnode.node.repair.reports import REPORT_QUEUE_MESSAGES
from gossipnode.rpc import CallContext, Server
from gossipnode.wire.bounds.message_bounds import SIGNS_MAX
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import ALIVE, REPORT
from tests.node.repair.two_nodes import ADDRESSES, MESSAGE, SHARD, NodeA


def ended(number: int = 0) -> Report:
    return Report(f"r{number}", SHARD, "a", 0, (), Ended("over"))


async def test_reports_go_out_in_order_and_to_the_last_one(autojump_clock: object) -> None:
    heard: list[tuple[str, int]] = []

    async def take(report: v1.ReportRequest, call: CallContext) -> v1.ReportResponse:
        assert call.metadata[call_metadata.NODE] == report.holder == "a"
        await trio.sleep(0.01)
        heard.append((report.round, report.count))
        return v1.ReportResponse()

    node = NodeA()
    async with node.running({REPORT: take}) as peers:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.reports.run)
            for number in range(20):
                peers.tell("b", replace(ended(number % 2), count=number))
            node.reports.stop()
            peers.tell("b", ended(99))
    assert sorted(heard) == sorted((f"r{number % 2}", number) for number in range(20))
    for each in ("r0", "r1"):
        counts = [count for name, count in heard if name == each]
        assert counts == sorted(counts), "the reports of a round go out in order"


async def test_a_report_to_ourselves_takes_the_short_way_and_one_to_a_stranger_none() -> None:
    node = NodeA()
    async with node.running() as peers, trio.open_nursery() as nursery:
        await nursery.start(node.reports.run)
        _, watch = node.origin.open(SHARD, ("a", "b"), Cause.ASKED)
        peers.tell("mallory", ended(1))
        assert watch.now().outcome is None
        assert node.reports.queued("mallory") == node.reports.queued("a") == 0
        peers.tell("a", ended(1))
        assert watch.now().outcome is not None
        assert node.reports.queued("mallory") == node.reports.queued("a") == 0
        nursery.cancel_scope.cancel()


def sign(number: int, peer: str = "c") -> Report:
    return Report(f"r{number}", SHARD, "a", 0, (), InSession(peer))


async def test_one_sign_of_life_tells_of_all_rounds_and_takes_no_place_of_a_report() -> None:
    calls: list[list[tuple[str, str]]] = []

    async def take(alive: v1.AliveRequest, call: CallContext) -> v1.AliveResponse:
        assert call.metadata[call_metadata.NODE] == alive.holder == "a"
        calls.append([(held.round, held.in_session_with) for held in alive.messages])
        return v1.AliveResponse()

    node = NodeA()
    async with node.running({ALIVE: take}) as peers:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.reports.run)
            for number in range(3):
                peers.tell("b", sign(number))
            peers.tell("b", sign(1, "d"))
            assert node.reports.queued("b") == 0
            node.reports.stop()
    assert calls == [[("r0", "c"), ("r1", "d"), ("r2", "c")]]


async def test_reports_overtake_a_sign_of_life_and_those_of_other_rounds(autojump_clock: object) -> None:
    heard: list[float] = []

    async def hang(alive: object, call: object) -> v1.AliveResponse:
        await trio.sleep_forever()
        raise AssertionError

    async def take(report: v1.ReportRequest, call: object) -> v1.ReportResponse:
        await trio.sleep(1)
        heard.append(trio.current_time())
        return v1.ReportResponse()

    node = NodeA()
    async with node.running({ALIVE: hang, REPORT: take}) as peers, trio.open_nursery() as nursery:
        await nursery.start(node.reports.run)
        peers.tell("b", sign(0))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(2):
            peers.tell("b", ended(number))
            peers.tell("b", ended(number))
        await trio.sleep(2.5)
        nursery.cancel_scope.cancel()
    assert heard == [1.0, 1.0, 2.0, 2.0]


async def test_what_goes_beyond_the_queues_is_dropped() -> None:
    node = NodeA()
    async with node.running() as peers, trio.open_nursery() as nursery:
        await nursery.start(node.reports.run)
        for number in range(REPORT_QUEUE_MESSAGES):
            node.reports.tell_ended("b", EndedWell(f"r{number}", SHARD))
        assert node.reports.queued("b") == REPORT_QUEUE_MESSAGES // 2
        for number in range(SIGNS_MAX + 1):
            peers.tell("b", sign(number))
        with structlog.testing.capture_logs() as logs:
            for number in range(REPORT_QUEUE_MESSAGES):
                peers.tell("b", ended(number))
        assert node.reports.queued("b") == REPORT_QUEUE_MESSAGES
        assert logs[0]["event"] == "report dropped"
        nursery.cancel_scope.cancel()


async def test_a_report_outlasts_a_short_outage(autojump_clock: object) -> None:
    """An origin that was not there a moment ago is dialed again at once, whatever the backoff says."""
    heard: list[str] = []

    async def take(report: v1.ReportRequest, call: object) -> v1.ReportResponse:
        heard.append(report.round)
        return v1.ReportResponse()

    node = NodeA()
    async with node.running() as peers, trio.open_nursery() as nursery:
        for _ in range(8):
            await peers.repair("b", MESSAGE)  # each failed dial makes the backoff longer
        await nursery.start(node.reports.run)
        peers.tell("b", ended(1))
        await trio.sleep(0.1)
        listeners = await node.network.listen(ADDRESSES["b"])
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

    node = NodeA()
    async with trio.open_nursery() as nursery:
        await node.network.listen(ADDRESSES_3["b"])  # never accepts
        listeners = await node.network.listen(ADDRESSES_3["c"])
        await nursery.start(Server({REPORT: take}).serve, listeners)
        async with node.running(addresses=ADDRESSES_3) as peers:
            await nursery.start(node.reports.run)
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

    node = NodeA()
    async with node.running({REPORT: take}) as peers:
        with structlog.testing.capture_logs() as logs:
            async with trio.open_nursery() as nursery:
                await nursery.start(node.reports.run)
                peers.tell("b", Report("r1", SHARD, "a", 0, (), Ended("\udc80 cannot be encoded")))
                peers.tell("b", ended(2))
                node.reports.stop()
    assert heard == ["r2"]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["sending a report failed"]
